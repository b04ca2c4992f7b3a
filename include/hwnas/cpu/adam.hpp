// SPDX-License-Identifier: MIT
// Adam kernel: one stream over the parameters. Vectors have no square root operator, and the scalar one of the C library
// is five times slower because it may set errno: on x86-64 its halves go through SSE2, which every such processor has.
#pragma once

#include <hwnas/cpu/device.hpp>

#include <cmath>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace hwnas::cpu {

template <class T> [[gnu::always_inline]] inline void square_root(Vec<T>& v) {
#if defined(__x86_64__)
    for (int half = 0; half < 2; ++half) {
        T* part = reinterpret_cast<T*>(&v) + half * (lanes<T> / 2);
        if constexpr (sizeof(T) == sizeof(float)) _mm_storeu_ps(part, _mm_sqrt_ps(_mm_loadu_ps(part)));
        else _mm_storeu_pd(part, _mm_sqrt_pd(_mm_loadu_pd(part)));
    }
#else
    for (int i = 0; i < lanes<T>; ++i) v[i] = std::sqrt(v[i]);
#endif
}

/// What one step uses for every parameter; computed in double from the learning rate and the step.
template <class T> struct AdamFactors {
    T keep, rate, root;  ///< 1 - lr weight_decay; lr / (1 - beta1^t); 1 / sqrt(1 - beta2^t)
};

template <class T> struct AdamBody {
    [[gnu::always_inline]] static void run(const contract::Adam<T>& s, const AdamFactors<T>& f, std::int64_t begin, std::int64_t end) {
        const T new1 = T(1) - s.beta1, new2 = T(1) - s.beta2;
        std::int64_t i = begin;
        for (; i + lanes<T> <= end; i += lanes<T>) {
            Vec<T> p, m, v, g;
            load<T>(p, s.p + i);
            load<T>(m, s.m + i);
            load<T>(v, s.v + i);
            load<T>(g, s.g + i);
            m = m * s.beta1 + g * new1;
            v = v * s.beta2 + g * g * new2;
            store<T>(s.m + i, m);
            store<T>(s.v + i, v);
            square_root<T>(v);
            p = p * f.keep - m * f.rate / (v * f.root + s.epsilon);
            store<T>(s.p + i, p);
        }
        for (; i < end; ++i) {
            const T g = s.g[i];
            s.m[i] = s.m[i] * s.beta1 + g * new1;
            s.v[i] = s.v[i] * s.beta2 + g * g * new2;
            s.p[i] = s.p[i] * f.keep - s.m[i] * f.rate / (std::sqrt(s.v[i]) * f.root + s.epsilon);
        }
    }
};
template <class T> struct Kernel<contract::Adam<T>> {
    static void run(Context& context, const contract::Adam<T>& s) {
        const double t = static_cast<double>(*s.step + 1), rate = static_cast<double>(*s.learning_rate);
        const AdamFactors<T> factors{static_cast<T>(1 - rate * static_cast<double>(s.weight_decay)),
                                     static_cast<T>(rate / (1 - std::pow(static_cast<double>(s.beta1), t))),
                                     static_cast<T>(1 / std::sqrt(1 - std::pow(static_cast<double>(s.beta2), t)))};
        context.for_range(s.n, stream_grain / 2,
                          [&](std::int64_t begin, std::int64_t end) { dispatch<T, AdamBody<T>>(context.isa, s, factors, begin, end); });
    }
};

}  // namespace hwnas::cpu
