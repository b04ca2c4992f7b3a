// SPDX-License-Identifier: MIT
// The end of every sum over a batch: partial sums of its chunks, added in their order.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

template <class T, int B>
struct ReduceChunksBody {
    [[gnu::always_inline]] static void run(const contract::ReduceChunks<T>& s, std::int64_t begin, std::int64_t end) {
        std::int64_t i = begin;
        for (; i + 4 * lanes<T, B> <= end; i += 4 * lanes<T, B>) {
            Vec<T, B> sum[4] = {}, v;
            for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk)
#pragma GCC unroll 4
                for (int k = 0; k < 4; ++k) load<T>(v, s.partial + chunk * s.n + i + k * lanes<T, B>), sum[k] += v;
#pragma GCC unroll 4
            for (int k = 0; k < 4; ++k) {
                if (s.accumulate) load<T>(v, s.out + i + k * lanes<T, B>), sum[k] += v;
                store<T>(s.out + i + k * lanes<T, B>, sum[k]);
            }
        }
        for (; i < end; ++i) {
            T sum = 0;
            for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk) sum += s.partial[chunk * s.n + i];
            s.out[i] = s.accumulate ? s.out[i] + sum : sum;
        }
    }
};
template <class T>
struct Kernel<contract::ReduceChunks<T>> {
    static void run(Context& context, const contract::ReduceChunks<T>& s) {
        context.for_range(s.n, 4096, [&](std::int64_t begin, std::int64_t end) {
            dispatch_wide<T, ReduceChunksBody>(context.isa, s, begin, end);
        });
    }
};

}  // namespace hwnas::cpu
