// SPDX-License-Identifier: MIT
// Schedule kernel: one number, computed in double.
#pragma once

#include <hwnas/cpu/device.hpp>

#include <cmath>
#include <numbers>

namespace hwnas::cpu {

template <class T>
struct Kernel<contract::Schedule<T>> {
    static void run(Context&, const contract::Schedule<T>& s) {
        const std::int64_t step = *s.step;
        const double start = static_cast<double>(s.start), end = static_cast<double>(s.end);
        if (step < s.warmup) {
            *s.out = static_cast<T>(start * static_cast<double>(step + 1) / static_cast<double>(s.warmup));
            return;
        }
        const double length = static_cast<double>(std::max<std::int64_t>(1, s.total - 1 - s.warmup));
        const double progress = std::clamp(static_cast<double>(step - s.warmup) / length, 0.0, 1.0);
        const double share = s.cosine ? (1 + std::cos(std::numbers::pi * progress)) / 2 : 1 - progress;
        *s.out = static_cast<T>(start * share + end * (1 - share));
    }
};

}  // namespace hwnas::cpu
