// SPDX-License-Identifier: MIT
// Stream: where a device's kernels are launched, and under which condition they run.
#pragma once

#include <hwnas/core/guard.hpp>

#if !defined(HWNAS_CUDA_EMULATED)
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#endif

namespace hwnas::cuda {

/// Kernels of a guarded call run if *guard.flag == guard.value when they begin.
struct Stream {
#if !defined(HWNAS_CUDA_EMULATED)
    cudaStream_t handle = nullptr;
    int device = 0;
#endif
    Guard guard = {};
    int multiprocessors = 132;
};

#if !defined(HWNAS_CUDA_EMULATED)
/// Throws Error naming what failed, unless `status` is success, and takes it back from the runtime, which would
/// otherwise blame the next call for it; in device.cpp.
void check(cudaError_t status, const char* what);
/// Launches a kernel of platform.cuh, whose arguments are *body and the stream's guard; in device.cpp.
void launch_kernel(const Stream& stream, const void* kernel, const void* body, std::int64_t blocks, int threads,
                   std::size_t shared);
/// A kernel that every build has: whether a device can run it tells whether it can run any; in copy.cu.
const void* any_kernel();
#endif

}  // namespace hwnas::cuda
