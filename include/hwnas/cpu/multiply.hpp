// SPDX-License-Identifier: MIT
// Product of two arrays, the second one repeated along the first, and the gradient of that second one.
#pragma once

#include <hwnas/cpu/add.hpp>
#include <hwnas/cpu/column_sum.hpp>

namespace hwnas::cpu {

template <class T>
struct MultiplyBody {
    [[gnu::always_inline]] static void run(const contract::Multiply<T>& s, std::int64_t begin, std::int64_t end) {
        periodic_runs(s.b, s.period, begin, end,
                      [&](std::int64_t at, const T* b, std::int64_t count) __attribute__((always_inline)) {
                          const T* const a = s.a + at;
                          T* const out = s.out + at;
                          std::int64_t i = 0;
                          for (; i + lanes<T> <= count; i += lanes<T>) {
                              Vec<T> u, v, old;
                              load<T>(u, a + i);
                              load<T>(v, b + i);
                              if (s.accumulate) {
                                  load<T>(old, out + i);
                                  u = old + u * v;  // one expression, as below: clang fuses within one only
                              } else {
                                  u *= v;
                              }
                              store<T>(out + i, u);
                          }
                          for (; i < count; ++i) out[i] = s.accumulate ? out[i] + a[i] * b[i] : a[i] * b[i];
                      });
    }
};
template <class T>
struct Kernel<contract::Multiply<T>> {
    static void run(Context& context, const contract::Multiply<T>& s) {
        context.for_range(s.n, stream_grain, [&](std::int64_t begin, std::int64_t end) {
            dispatch<T, MultiplyBody<T>>(context.isa, s, begin, end);
        });
    }
};

template <class T>
struct Kernel<contract::MultiplyReduce<T>> {
    static void run(Context& context, const contract::MultiplyReduce<T>& s) {
        if (s.period <= 0) return;
        const std::int64_t chunks = column_sum_chunks(s.n, s.period);
        const auto finish = [&](std::int64_t j, double sum) {
            s.out[j] = static_cast<T>(sum) + (s.accumulate ? s.out[j] : T(0));
        };
        double
            partial[column_pieces * column_block];  // more than one chunk only where chunks x blocks <= column_pieces
        column_sums<T, true>(context, s.a, s.b, s.n / s.period, s.period, chunks,
                             [&](std::int64_t chunk, std::int64_t column, std::int64_t column_end, const double* sums) {
                                 for (std::int64_t j = column; j < column_end; ++j) {
                                     if (chunks == 1)
                                         finish(j, sums[j - column]);
                                     else
                                         partial[chunk * s.period + j] = sums[j - column];
                                 }
                             });
        if (chunks == 1) return;
        for (std::int64_t j = 0; j < s.period; ++j) {
            double sum = 0;
            for (std::int64_t chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk * s.period + j];
            finish(j, sum);
        }
    }
};

}  // namespace hwnas::cpu
