// SPDX-License-Identifier: MIT
// Schedule kernel: one number, computed in double by one thread.
#pragma once

#include "platform.cuh"

#include <cmath>

namespace hwnas::cuda {

/// (1 + cos(pi progress)) / 2 = cos^2(pi progress / 2) for progress in [0, 1], by the series of the sine up to pi / 4:
/// cos() of the library keeps a stack for arguments that do not occur.
__device__ inline double half_cosine(double progress) {
    const bool late = progress > 0.5;
    const double x = 1.5707963267948966 * (late ? 1 - progress : progress), square = x * x;
    double series = 1;
#pragma unroll
    for (int k = 16; k >= 2; k -= 2) series = 1 - square * (1.0 / (k * (k + 1))) * series;
    const double sine = x * series;
    return late ? sine * sine : 1 - sine * sine;
}

struct ScheduleKernel {
    static constexpr int threads = 32, registers = 40;
    float* out;
    const i64* step;
    i64 warmup, total;
    float start, end;
    i32 cosine;
    __device__ void operator()() const {
        if (threadIdx.x != 0) return;
        const double from = static_cast<double>(start), to = static_cast<double>(end);
        const i64 at = *step, length = total - 1 - warmup;
        if (at < warmup) {
            *out = static_cast<float>(from * static_cast<double>(at + 1) / static_cast<double>(warmup));
            return;
        }
        const double progress =
            fmin(static_cast<double>(at - warmup) / static_cast<double>(length > 1 ? length : 1), 1.0);
        const double share = cosine ? half_cosine(progress) : 1 - progress;
        *out = static_cast<float>(from * share + to * (1 - share));
    }
};

inline void launch(const Stream& stream, const contract::Schedule<float>& s) {
    start(stream, ScheduleKernel{s.out, s.step, s.warmup, s.total, s.start, s.end, s.cosine}, 1);
}

}  // namespace hwnas::cuda
