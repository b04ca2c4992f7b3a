// SPDX-License-Identifier: MIT
// What kernels of relaxed cells share: running maxima.
#pragma once

#include "platform.cuh"

#include <cmath>

namespace hwnas::cuda {

/// A running maximum and its tap: the first largest, and the first NaN.
struct CellLargest {
    float value;
    int tap;
    __device__ void offer(float x, int x_tap) {
        const bool take = !(x <= value) && value == value;
        value = take ? x : value;
        tap = take ? x_tap : tap;
    }
};
/// The larger of two, NaN where one is.
__device__ inline float larger(float a, float b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    float most;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(most) : "f"(a), "f"(b));
    return most;
#else
    return b > a || b != b ? b : a;
#endif
}

}  // namespace hwnas::cuda
