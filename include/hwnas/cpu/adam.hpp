// SPDX-License-Identifier: MIT
// Adam kernel: one stream over the parameters. Vectors have no square root operator, and the scalar one of the C
// library is slow because it may set errno: on x86-64 the halves of a vector go through SSE2, which every such
// processor has.
#pragma once

#include <hwnas/cpu/device.hpp>

#include <cmath>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace hwnas::cpu {

template <class T>
[[gnu::always_inline]] inline void square_root(Vec<T>& v) {
#if defined(__x86_64__)
    if constexpr (std::is_same_v<T, float>) {
        const __m128 low = _mm_sqrt_ps(__builtin_shufflevector(v, v, 0, 1, 2, 3)),
                     high = _mm_sqrt_ps(__builtin_shufflevector(v, v, 4, 5, 6, 7));
        v = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
    } else {
        const __m128d low = _mm_sqrt_pd(__builtin_shufflevector(v, v, 0, 1)),
                      high = _mm_sqrt_pd(__builtin_shufflevector(v, v, 2, 3));
        v = __builtin_shufflevector(low, high, 0, 1, 2, 3);
    }
#else
    for (int i = 0; i < lanes<T>; ++i) v[i] = std::sqrt(v[i]);
#endif
}

/// What one step uses for every parameter; computed in double from the learning rate and the step.
template <class T>
struct AdamFactors {
    T keep, rate, root;  ///< 1 - lr weight_decay; lr / (1 - beta1^t); 1 / sqrt(1 - beta2^t)
};

template <class T>
struct AdamBody {
    [[gnu::always_inline]] static void run(const contract::Adam<T>& s, const AdamFactors<T>& f, std::int64_t begin,
                                           std::int64_t end) {
        // Copies in locals: through the references they would be read again after every store.
        T *const p = s.p, *const m = s.m, *const v = s.v;
        const T* const g = s.g;
        const T old1 = s.beta1, old2 = s.beta2, new1 = T(1) - old1, new2 = T(1) - old2, epsilon = s.epsilon;
        const T keep = f.keep, rate = f.rate, root = f.root;
        std::int64_t i = begin;
        for (; i + lanes<T> <= end; i += lanes<T>) {
            Vec<T> pi, mi, vi, gi;
            load<T>(pi, p + i);
            load<T>(mi, m + i);
            load<T>(vi, v + i);
            load<T>(gi, g + i);
            mi = mi * old1 + gi * new1;
            vi = vi * old2 + gi * gi * new2;
            store<T>(m + i, mi);
            store<T>(v + i, vi);
            square_root<T>(vi);
            pi = pi * keep - mi * rate / (vi * root + epsilon);
            store<T>(p + i, pi);
        }
        for (; i < end; ++i) {
            m[i] = m[i] * old1 + g[i] * new1;
            v[i] = v[i] * old2 + g[i] * g[i] * new2;
            p[i] = p[i] * keep - m[i] * rate / (std::sqrt(v[i]) * root + epsilon);
        }
    }
};
template <class T>
struct Kernel<contract::Adam<T>> {
    static void run(Context& context, const contract::Adam<T>& s) {
        const double t = static_cast<double>(*s.step + 1), rate = static_cast<double>(*s.learning_rate);
        const AdamFactors<T> factors{static_cast<T>(1 - rate * static_cast<double>(s.weight_decay)),
                                     static_cast<T>(rate / (1 - std::pow(static_cast<double>(s.beta1), t))),
                                     static_cast<T>(1 / std::sqrt(1 - std::pow(static_cast<double>(s.beta2), t)))};
        context.for_range(s.n, stream_grain / 2, [&](std::int64_t begin, std::int64_t end) {
            dispatch<T, AdamBody<T>>(context.isa, s, factors, begin, end);
        });
    }
};

}  // namespace hwnas::cpu
