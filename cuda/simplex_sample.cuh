// SPDX-License-Identifier: MIT
// Simplex kernel: k exponentials divided by their sum. Threads draw, and each of them adds up all draws in order, as
// the CPU does: with core/random.hpp's exponentials (see gumbel_softmax.cuh) the sample has the CPU's bits.
#pragma once

#include "platform.cuh"

#include <hwnas/core/random.hpp>

#include <algorithm>

namespace hwnas::cuda {

struct SimplexSampleKernel {
    static constexpr int threads = 256, registers = 48;
    float* out;
    const i64* step;
    i64 k;
    random::Key key;
    __device__ double draw(i64 i) const {
        return random::exponential(
            random::words_at(key, static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(*step)).w[0]);
    }
    __device__ void operator()() const {
        double* const draws = shared_memory<double>();
        const int t = static_cast<int>(threadIdx.x), size = static_cast<int>(blockDim.x);
        double sum = 0, own = 0;
        for (i64 begin = 0; begin < k; begin += size) {
            const int count = static_cast<int>(std::min<i64>(size, k - begin));
            if (t < count) draws[t] = own = draw(begin + t);
            __syncthreads();
            for (int i = 0; i < count; ++i) sum += draws[i];
            __syncthreads();
        }
        for (i64 i = t; i < k; i += size) out[i] = static_cast<float>((k <= size ? own : draw(i)) / sum);
    }
};

inline void launch(const Stream& stream, const contract::SimplexSample<float>& s) {
    const i64 threads = std::min<i64>(blocks_of(s.k, 32) * 32, SimplexSampleKernel::threads);
    start(stream, SimplexSampleKernel{s.out, s.step, s.k, s.key}, 1, static_cast<int>(threads),
          static_cast<std::size_t>(threads) * sizeof(double));
}

}  // namespace hwnas::cuda
