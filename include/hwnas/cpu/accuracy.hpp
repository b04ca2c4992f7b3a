// SPDX-License-Identifier: MIT
// Accuracy kernel: one pass over a few thousand logits, in one piece.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

template <class T>
struct Kernel<contract::Accuracy<T>> {
    static void run(Context& context, const contract::Accuracy<T>& s) {
        context.parallel(1, [&](std::int64_t) {
            std::int64_t right = 0;
            for (std::int64_t n = 0; n < s.n; ++n) {
                const T* x = s.logits + n * s.classes;
                std::int64_t best = 0;
                bool ordered = x[0] == x[0];  // a row with a NaN has no largest logit: wrong
                for (std::int64_t c = 1; c < s.classes; ++c) {
                    if (x[c] > x[best]) best = c;
                    ordered &= x[c] == x[c];
                }
                right += ordered && best == s.labels[n];
            }
            *s.out = static_cast<T>(static_cast<double>(right) / static_cast<double>(s.n));
        });
    }
};

}  // namespace hwnas::cpu
