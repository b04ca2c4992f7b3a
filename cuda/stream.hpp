// SPDX-License-Identifier: MIT
// Stream: where a device's kernels are launched, and under which condition they run.
#pragma once

#include <hwnas/core/guard.hpp>

#if !defined(HWNAS_CUDA_EMULATED)
#include <cuda_runtime_api.h>
#endif

namespace hwnas::cuda {

/// Kernels of a guarded call run if *guard.flag == guard.value when they begin.
struct Stream {
#if !defined(HWNAS_CUDA_EMULATED)
    cudaStream_t handle = nullptr;
#endif
    Guard guard = {};
    int multiprocessors = 132;
};

#if !defined(HWNAS_CUDA_EMULATED)
/// Throws Error naming what failed, unless `status` is success; in device.cpp.
void check(cudaError_t status, const char* what);
#endif

}  // namespace hwnas::cuda
