// SPDX-License-Identifier: MIT
// A constant times an array, and a constant times one number spread over an array (the gradient of a sum).
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

template <class T>
struct ScaleBody {
    [[gnu::always_inline]] static void run(const contract::Scale<T>& s, std::int64_t begin, std::int64_t end) {
        Vec<T> factor;
        splat<T>(factor, s.factor);
        std::int64_t i = begin;
        for (; i + lanes<T> <= end; i += lanes<T>) {
            Vec<T> x, out;
            load<T>(x, s.x + i);
            if (s.accumulate) {
                load<T>(out, s.out + i);
                x = out + factor * x;  // one expression, as below: clang fuses within one only
            } else {
                x *= factor;
            }
            store<T>(s.out + i, x);
        }
        for (; i < end; ++i) s.out[i] = s.accumulate ? s.out[i] + s.factor * s.x[i] : s.factor * s.x[i];
    }
};
template <class T>
struct Kernel<contract::Scale<T>> {
    static void run(Context& context, const contract::Scale<T>& s) {
        context.for_range(s.n, stream_grain, [&](std::int64_t begin, std::int64_t end) {
            dispatch<T, ScaleBody<T>>(context.isa, s, begin, end);
        });
    }
};

template <class T>
struct BroadcastBody {
    [[gnu::always_inline]] static void run(const contract::Broadcast<T>& s, std::int64_t begin, std::int64_t end) {
        const T value = s.factor * s.x[0];
        Vec<T> values;
        splat<T>(values, value);
        std::int64_t i = begin;
        for (; i + lanes<T> <= end; i += lanes<T>) {
            Vec<T> out{};
            if (s.accumulate) load<T>(out, s.out + i);
            out += values;
            store<T>(s.out + i, out);
        }
        for (; i < end; ++i) s.out[i] = (s.accumulate ? s.out[i] : T(0)) + value;
    }
};
template <class T>
struct Kernel<contract::Broadcast<T>> {
    static void run(Context& context, const contract::Broadcast<T>& s) {
        context.for_range(s.n, stream_grain, [&](std::int64_t begin, std::int64_t end) {
            dispatch<T, BroadcastBody<T>>(context.isa, s, begin, end);
        });
    }
};

}  // namespace hwnas::cpu
