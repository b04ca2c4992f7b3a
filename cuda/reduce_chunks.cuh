// SPDX-License-Identifier: MIT
// The end of every sum over a batch. A block sums 32 neighbouring elements: each of its warps every so-many-th chunk,
// then the first warp over the warps, so that few elements and many chunks still make many loads in flight.
#pragma once

#include "platform.cuh"

namespace hwnas::cuda {

struct ReduceChunksKernel {
    static constexpr int threads = 1024, registers = 32;
    float* out;
    const float* partial;
    i64 n;
    int chunks;
    i32 accumulate;
    __device__ void operator()() const {
        float* const sums = shared_memory<float>();
        const int warps = static_cast<int>(blockDim.x) / 32, warp = static_cast<int>(threadIdx.x) / 32;
        const i64 i = static_cast<i64>(blockIdx.x) * 32 + threadIdx.x % 32;
        float sum = 0;
        if (i < n) {
            const float* from = partial + warp * n + i;
#pragma unroll 8
            for (int chunk = warp; chunk < chunks; chunk += warps, from += warps * n) sum += *from;
        }
        sums[threadIdx.x] = sum;
        __syncthreads();
        if (warp > 0 || i >= n) return;
        for (int other = 1; other < warps; ++other) sum += sums[other * 32 + static_cast<int>(threadIdx.x)];
        out[i] = accumulate ? out[i] + sum : sum;
    }
};

inline void launch(const Stream& stream, const contract::ReduceChunks<float>& s) {
    const i64 blocks = blocks_of(s.n, 32);
    // Warps enough to fill the device where there are few blocks, but two chunks or more for each.
    int warps = blocks > 8 * stream.multiprocessors ? 4 : 32;
    while (warps > 1 && warps * 2 > s.chunks) warps /= 2;
    start(stream, ReduceChunksKernel{s.out, s.partial, s.n, static_cast<int>(s.chunks), s.accumulate}, blocks,
          warps * 32, static_cast<std::size_t>(warps) * 32 * sizeof(float));
}

}  // namespace hwnas::cuda
