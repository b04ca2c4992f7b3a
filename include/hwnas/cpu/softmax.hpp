// SPDX-License-Identifier: MIT
// Softmax kernels. Rows are short (primitives, classes), so the time goes into exp() of the C library and plain loops
// serve as well as vectors.
#pragma once

#include <hwnas/cpu/device.hpp>

#include <cmath>

namespace hwnas::cpu {

/// Rows per piece of work when every element costs an exp(): about 4,096 elements.
inline std::int64_t exp_rows(std::int64_t columns) {
    return std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, columns));
}

template <class T>
struct Kernel<contract::SoftmaxForward<T>> {
    static void run(Context& context, const contract::SoftmaxForward<T>& s) {
        context.for_range(s.rows, exp_rows(s.columns), [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t r = begin; r < end; ++r) row(s.y + r * s.columns, s.x + r * s.columns, s.columns);
        });
    }

private:
    static void row(T* y, const T* x, std::int64_t columns) {
        T largest = x[0];
        for (std::int64_t c = 1; c < columns; ++c) largest = x[c] > largest ? x[c] : largest;
        T sum = 0;
        for (std::int64_t c = 0; c < columns; ++c) sum += y[c] = std::exp(x[c] - largest);
        const T factor = T(1) / sum;
        for (std::int64_t c = 0; c < columns; ++c) y[c] *= factor;
    }
};

template <class T>
struct Kernel<contract::SoftmaxBackward<T>> {
    static void run(Context& context, const contract::SoftmaxBackward<T>& s) {
        context.for_range(s.rows, std::max<std::int64_t>(1, stream_grain / s.columns),
                          [&](std::int64_t begin, std::int64_t end) {
                              for (std::int64_t r = begin; r < end; ++r) {
                                  const T *dy = s.dy + r * s.columns, *y = s.y + r * s.columns;
                                  T* dx = s.dx + r * s.columns;
                                  T dot = 0;
                                  for (std::int64_t c = 0; c < s.columns; ++c) dot += dy[c] * y[c];
                                  for (std::int64_t c = 0; c < s.columns; ++c)
                                      dx[c] = (s.accumulate ? dx[c] : T(0)) + y[c] * (dy[c] - dot);
                              }
                          });
    }
};

}  // namespace hwnas::cpu
