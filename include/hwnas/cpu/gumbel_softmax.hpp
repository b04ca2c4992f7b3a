// SPDX-License-Identifier: MIT
// Gumbel-softmax kernels. The noise costs ten Philox rounds and two logarithms an element, and depends on nothing but
// (key, step, position); backward sums the draws of one row in order.
#pragma once

#include <hwnas/cpu/softmax.hpp>

namespace hwnas::cpu {

/// Dispatched for the fused multiply-adds in random::log, which are calls elsewhere: the bits are the same.
template <class T>
struct GumbelSoftmaxBody {
    [[gnu::always_inline]] static void run(const contract::GumbelSoftmaxForward<T>& s, std::int64_t begin,
                                           std::int64_t end) {
        const T inverse = T(1) / *s.temperature;
        const auto step = static_cast<std::uint64_t>(*s.step);
        for (std::int64_t r = begin; r < end; ++r) row(s, r, inverse, step);
    }

private:
    [[gnu::always_inline]] static void row(const contract::GumbelSoftmaxForward<T>& s, std::int64_t r, T inverse,
                                           std::uint64_t step) {
        const std::int64_t e = r % s.rows, columns = s.columns;
        const T* alpha = s.alpha + e * columns;
        T *soft = s.soft + r * columns, *out = s.out + r * columns;
        std::int64_t best = 0;
        for (std::int64_t c = 0; c < columns; ++c) {
            soft[c] = alpha[c] + static_cast<T>(random::gumbel(
                                     random::words_at(s.key, static_cast<std::uint64_t>(r * columns + c), step).w[0]));
            if (soft[c] > soft[best]) best = c;
        }
        if (r < s.rows) s.selected[e] = static_cast<std::int32_t>(best);
        const T largest = soft[best];
        T sum = 0;  // the largest is subtracted before the division by the temperature, which could overflow
        for (std::int64_t c = 0; c < columns; ++c) sum += soft[c] = std::exp((soft[c] - largest) * inverse);
        const T factor = T(1) / sum;
        for (std::int64_t c = 0; c < columns; ++c) soft[c] *= factor;
        if (s.hard) {
            for (std::int64_t c = 0; c < columns; ++c)
                out[c] = soft[c] != soft[c] ? soft[c] : T(c == best);  // NaN stays visible
        } else if (out != soft) {
            for (std::int64_t c = 0; c < columns; ++c) out[c] = soft[c];
        }
    }
};
template <class T>
struct Kernel<contract::GumbelSoftmaxForward<T>> {
    static void run(Context& context, const contract::GumbelSoftmaxForward<T>& s) {
        context.for_range(s.groups * s.rows, exp_rows(4 * s.columns), [&](std::int64_t begin, std::int64_t end) {
            dispatch<T, GumbelSoftmaxBody<T>>(context.isa, s, begin, end);
        });
    }
};

template <class T>
struct Kernel<contract::GumbelSoftmaxBackward<T>> {
    static void run(Context& context, const contract::GumbelSoftmaxBackward<T>& s) {
        const T inverse = T(1) / *s.temperature;
        const std::int64_t columns = s.columns, size = s.rows * columns;
        const std::int64_t grain = std::max<std::int64_t>(1, stream_grain / (s.groups * columns));
        context.for_range(s.rows, grain, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t e = begin; e < end; ++e) {
                T* dalpha = s.dalpha + e * columns;
                if (!s.accumulate) std::fill(dalpha, dalpha + columns, T(0));
                for (std::int64_t g = 0; g < s.groups; ++g) {
                    const T *dout = s.dout + g * size + e * columns, *soft = s.soft + g * size + e * columns;
                    T dot = 0;
                    for (std::int64_t c = 0; c < columns; ++c) dot += dout[c] * soft[c];
                    for (std::int64_t c = 0; c < columns; ++c) dalpha[c] += soft[c] * (dout[c] - dot) * inverse;
                }
            }
        });
    }
};

}  // namespace hwnas::cpu
