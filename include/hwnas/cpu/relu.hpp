// SPDX-License-Identifier: MIT
// ReLU kernels: streams.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

template <class T, int B>
struct ReluForwardBody {
    [[gnu::always_inline]] static void run(const contract::ReluForward<T>& call, std::int64_t begin, std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        std::int64_t i = begin;
        for (; i + lanes<T, B> <= end; i += lanes<T, B>) {
            Vec<T, B> x;
            load<T>(x, s.x + i);
            x = x < Vec<T, B>{} ? Vec<T, B>{} : x;  // keeps NaN
            store<T>(s.y + i, x);
        }
        for (; i < end; ++i) s.y[i] = s.x[i] < T(0) ? T(0) : s.x[i];
    }
};
template <class T>
struct Kernel<contract::ReluForward<T>> {
    static void run(Context& context, const contract::ReluForward<T>& s) {
        context.for_range(s.n, stream_grain, [&](std::int64_t begin, std::int64_t end) {
            dispatch_wide<T, ReluForwardBody>(context.isa, s, begin, end);
        });
    }
};

template <class T, int B>
struct ReluBackwardBody {
    [[gnu::always_inline]] static void run(const contract::ReluBackward<T>& call, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        std::int64_t i = begin;
        for (; i + lanes<T, B> <= end; i += lanes<T, B>) {
            Vec<T, B> y, dy, dx{};
            load<T>(y, s.y + i);
            load<T>(dy, s.dy + i);
            if (s.accumulate) load<T>(dx, s.dx + i);
            dx += y > Vec<T, B>{} ? dy : Vec<T, B>{};
            store<T>(s.dx + i, dx);
        }
        for (; i < end; ++i) s.dx[i] = (s.accumulate ? s.dx[i] : T(0)) + (s.y[i] > T(0) ? s.dy[i] : T(0));
    }
};
template <class T>
struct Kernel<contract::ReluBackward<T>> {
    static void run(Context& context, const contract::ReluBackward<T>& s) {
        context.for_range(s.n, stream_grain, [&](std::int64_t begin, std::int64_t end) {
            dispatch_wide<T, ReluBackwardBody>(context.isa, s, begin, end);
        });
    }
};

}  // namespace hwnas::cpu
