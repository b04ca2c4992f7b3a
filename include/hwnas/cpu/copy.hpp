// SPDX-License-Identifier: MIT
// Fill and copy: what the tape itself needs.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

template <class T>
struct Kernel<contract::Fill<T>> {
    static void run(Context& context, const contract::Fill<T>& s) {
        context.for_range(s.n, stream_grain, [&](std::int64_t begin, std::int64_t end) {
            std::fill(s.out + begin, s.out + end, s.value);
        });
    }
};

template <class T>
struct CopyBody {
    [[gnu::always_inline]] static void run(const contract::Copy<T>& s, std::int64_t begin, std::int64_t end) {
        std::int64_t i = begin;
        for (; i + lanes<T> <= end; i += lanes<T>) {
            Vec<T> a, b;
            load<T>(a, s.out + i);
            load<T>(b, s.in + i);
            a += b;
            store<T>(s.out + i, a);
        }
        for (; i < end; ++i) s.out[i] += s.in[i];
    }
};
template <class T>
struct Kernel<contract::Copy<T>> {
    static void run(Context& context, const contract::Copy<T>& s) {
        context.for_range(s.n, stream_grain, [&](std::int64_t begin, std::int64_t end) {
            if (s.accumulate)
                dispatch<T, CopyBody<T>>(context.isa, s, begin, end);
            else
                std::copy(s.in + begin, s.in + end, s.out + begin);
        });
    }
};

}  // namespace hwnas::cpu
