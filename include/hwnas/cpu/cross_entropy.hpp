// SPDX-License-Identifier: MIT
// Cross-entropy kernels. Forward runs in one piece: a batch has about a thousand logits, and the mean is summed in row
// order in double.
#pragma once

#include <hwnas/cpu/device.hpp>

#include <cmath>
#include <limits>

namespace hwnas::cpu {

template <class T>
struct Kernel<contract::CrossEntropyForward<T>> {
    static void run(Context& context, const contract::CrossEntropyForward<T>& s) {
        context.parallel(1, [&](std::int64_t) {
            double sum = 0;
            for (std::int64_t n = 0; n < s.n; ++n) sum += row(s, n);
            *s.loss = static_cast<T>(sum / static_cast<double>(s.n));
        });
    }

private:
    static double row(const contract::CrossEntropyForward<T>& s, std::int64_t n) {
        const T* x = s.logits + n * s.classes;
        T* p = s.probs + n * s.classes;
        T largest = x[0];
        for (std::int64_t c = 1; c < s.classes; ++c) largest = x[c] > largest ? x[c] : largest;
        T sum = 0;
        for (std::int64_t c = 0; c < s.classes; ++c) sum += p[c] = std::exp(x[c] - largest);
        const T factor = T(1) / sum;
        for (std::int64_t c = 0; c < s.classes; ++c) p[c] *= factor;
        const std::int64_t label = s.labels[n];
        if (label < 0 || label >= s.classes) return std::numeric_limits<double>::quiet_NaN();
        double expected = static_cast<double>(x[label] - largest);  // sum_c q (x - largest)
        if (s.smoothing != T(0)) {
            double all = 0;
            for (std::int64_t c = 0; c < s.classes; ++c) all += static_cast<double>(x[c] - largest);
            const double smoothing = static_cast<double>(s.smoothing);
            expected = (1 - smoothing) * expected + smoothing * all / static_cast<double>(s.classes);
        }
        return std::log(static_cast<double>(sum)) - expected;
    }
};

template <class T>
struct Kernel<contract::CrossEntropyBackward<T>> {
    static void run(Context& context, const contract::CrossEntropyBackward<T>& s) {
        const T scale = *s.dloss / static_cast<T>(s.n), off = s.smoothing / static_cast<T>(s.classes),
                on = T(1) - s.smoothing + off;
        context.for_range(
            s.n, std::max<std::int64_t>(1, stream_grain / s.classes), [&](std::int64_t begin, std::int64_t end) {
                for (std::int64_t n = begin; n < end; ++n) {
                    const T* p = s.probs + n * s.classes;
                    T* dx = s.dlogits + n * s.classes;
                    for (std::int64_t c = 0; c < s.classes; ++c)
                        dx[c] = (s.accumulate ? dx[c] : T(0)) + scale * (p[c] - (c == s.labels[n] ? on : off));
                }
            });
    }
};

}  // namespace hwnas::cpu
