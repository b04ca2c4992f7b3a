// SPDX-License-Identifier: MIT
// Global average pooling kernels: one mean per image and channel, four partial sums in flight.
#pragma once

#include <hwnas/cpu/taps.hpp>

namespace hwnas::cpu {

template <class T>
struct GlobalAveragePoolBody {
    [[gnu::always_inline]] static void run(const contract::GlobalAveragePoolForward<T>& call, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        const T factor = T(1) / static_cast<T>(s.pixels);
        for (std::int64_t n = begin; n < end; ++n)
            for_channels<T>(s.c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                const T* x = s.x + n * s.pixels * s.c + b;
                V sum[4] = {}, v;
                std::int64_t i = 0;
                for (; i + 4 <= s.pixels; i += 4)
#pragma GCC unroll 4
                    for (int j = 0; j < 4; ++j) {
                        load_block(v, x + (i + j) * s.c);
                        sum[j] += v;
                    }
                for (; i < s.pixels; ++i) {
                    load_block(v, x + i * s.c);
                    sum[0] += v;
                }
                sum[0] += sum[1];
                sum[2] += sum[3];
                sum[0] += sum[2];
                sum[0] *= factor;
                store_block(s.y + n * s.c + b, sum[0]);
            });
    }
};
template <class T>
struct Kernel<contract::GlobalAveragePoolForward<T>> {
    static void run(Context& context, const contract::GlobalAveragePoolForward<T>& s) {
        context.for_range(s.n, row_grain(s.pixels, s.c), [&](std::int64_t begin, std::int64_t end) {
            dispatch<T, GlobalAveragePoolBody<T>>(context.isa, s, begin, end);
        });
    }
};

template <class T>
struct GlobalAveragePoolBackwardBody {
    [[gnu::always_inline]] static void run(const contract::GlobalAveragePoolBackward<T>& call, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        const T factor = T(1) / static_cast<T>(s.pixels);
        for (std::int64_t n = begin; n < end; ++n)
            for_channels<T>(s.c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                V dy;
                load_block(dy, s.dy + n * s.c + b);
                dy *= factor;
                for (std::int64_t i = 0; i < s.pixels; ++i)
                    store_block(s.dx + (n * s.pixels + i) * s.c + b, dy, s.accumulate);
            });
    }
};
template <class T>
struct Kernel<contract::GlobalAveragePoolBackward<T>> {
    static void run(Context& context, const contract::GlobalAveragePoolBackward<T>& s) {
        context.for_range(s.n, row_grain(s.pixels, s.c), [&](std::int64_t begin, std::int64_t end) {
            dispatch<T, GlobalAveragePoolBackwardBody<T>>(context.isa, s, begin, end);
        });
    }
};

}  // namespace hwnas::cpu
