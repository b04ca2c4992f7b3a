// SPDX-License-Identifier: MIT
// Sum and difference of two arrays, the second one repeated along the first; and how a repeated operand is walked.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

/// Calls f(i, p, count) over [begin, end) in runs along which p[0 .. count) stands for b[i mod period ...]. A short
/// period is first written out several times, so that runs are long enough for vectors.
template <class T, class F>
[[gnu::always_inline]] inline void periodic_runs(const T* b, std::int64_t period, std::int64_t begin, std::int64_t end,
                                                 F&& f) {
    constexpr std::int64_t tile_size = 256;
    T tile[tile_size];
    std::int64_t length = period, phase = begin % period;
    if (4 * period <= tile_size && end - begin >= tile_size) {
        length = tile_size / period * period;
        for (std::int64_t i = 0; i < length; ++i) {
            tile[i] = b[phase];
            if (++phase == period) phase = 0;
        }
        b = tile;
        phase = 0;
    }
    for (std::int64_t i = begin; i < end;) {
        const std::int64_t count = std::min(end - i, length - phase);
        f(i, b + phase, count);
        i += count;
        phase = 0;
    }
}

template <class T>
struct AddBody {
    [[gnu::always_inline]] static void run(const contract::Add<T>& s, std::int64_t begin, std::int64_t end) {
        Vec<T> beta;
        splat<T>(beta, s.beta);
        periodic_runs(s.b, s.period, begin, end,
                      [&](std::int64_t at, const T* b, std::int64_t count) __attribute__((always_inline)) {
                          const T* const a = s.a + at;
                          T* const out = s.out + at;
                          std::int64_t i = 0;
                          for (; i + lanes<T> <= count; i += lanes<T>) {
                              Vec<T> u, v;
                              load<T>(u, a + i);
                              load<T>(v, b + i);
                              u += beta * v;
                              store<T>(out + i, u);
                          }
                          for (; i < count; ++i) out[i] = a[i] + s.beta * b[i];
                      });
    }
};
template <class T>
struct Kernel<contract::Add<T>> {
    static void run(Context& context, const contract::Add<T>& s) {
        context.for_range(s.n, stream_grain, [&](std::int64_t begin, std::int64_t end) {
            dispatch<T, AddBody<T>>(context.isa, s, begin, end);
        });
    }
};

}  // namespace hwnas::cpu
