// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/cpu/schedule.hpp>
#include <hwnas/ops/step.hpp>

#include <cmath>

namespace hwnas {

/// A value that follows the step: a learning rate, a temperature.
struct ScheduleOptions {
    double start = 0, end = 0;  ///< values at the first step (after warm-up) and at the last
    std::int64_t total = 1;     ///< steps; the last of them, total - 1, has `end`, as have all after it
    std::int64_t warmup = 0;    ///< steps that rise linearly to `start` first
    bool cosine = false;        ///< half a cosine instead of a line
};

/// Submits a kernel that writes the value at step [] into out []: start (step + 1) / warmup while step < warmup, then
/// start -> end over steps warmup .. total - 1, then end. With one step after the warm-up that step has `start`. Throws
/// Error for options that do not fit.
template <class T>
void schedule(const Tensor<T>& out, const Tensor<std::int64_t>& step, const ScheduleOptions& options) {
    detail::require_scalar("schedule", "out", out);
    detail::require_scalar("schedule", "step", step);
    detail::require_same_device("schedule", "out", out.device(), "step", step.device());
    require(options.total >= 1, "schedule: {} steps in total, at least 1 is needed", options.total);
    require(options.warmup >= 0 && options.warmup < options.total,
            "schedule: warm-up of {} steps is not in 0 to {} (total {})", options.warmup, options.total - 1,
            options.total);
    require(std::isfinite(options.start) && std::isfinite(options.end), "schedule: start {} and end {} must be finite",
            options.start, options.end);
    submit(out.device(),
           contract::Schedule<T>{out.data(), step.data(), options.warmup, options.total, static_cast<T>(options.start),
                                 static_cast<T>(options.end), options.cosine});
}

}  // namespace hwnas
