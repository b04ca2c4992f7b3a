// SPDX-License-Identifier: MIT
// Batch assembly: a block looks up its row once, then copies a piece of it, four elements a thread where rows are whole
// packs. A byte is divided, shifted and scaled: one rounding each and nothing that could become a fused multiply-add,
// so that values have the CPU's bits.
#pragma once

#include "platform.cuh"

#include <hwnas/core/random.hpp>

#include <algorithm>

namespace hwnas::cuda {

template <int V>
struct alignas(V) PackedBytes {
    u8 v[V];
};

template <int V>
struct GatherBatchKernel {
    static constexpr int threads = 256, registers = 48;
    static constexpr int piece = 4 * threads;  // packs of a row that a block copies
    contract::GatherBatch<float> s;
    i64 pieces;
    __device__ void operator()() const {
        const i64 to = blockIdx.x / pieces, begin = blockIdx.x % pieces * piece,
                  end = std::min<i64>(s.row / V, begin + piece);
        i64* const row = shared_memory<i64>();
        if (threadIdx.x == 0) *row = source(to);
        __syncthreads();
        const i64 from = *row;
        float* const out = s.out + to * s.row;
        for (i64 i = begin + threadIdx.x; i < end; i += blockDim.x) {
            if (s.bytes) {
                const auto bytes = *reinterpret_cast<const PackedBytes<V>*>(s.bytes + from * s.row + i * V);
                Pack<V> x;
#pragma unroll
                for (int k = 0; k < V; ++k) x[k] = (static_cast<float>(bytes.v[k]) / 255.0f - s.mean) * s.inv_std;
                store(out + i * V, x);
            } else {
                store(out + i * V, load<V>(s.values + from * s.row + i * V));
            }
        }
        if (begin != 0) return;
        if (s.labels_out && threadIdx.x == 0) s.labels_out[to] = s.labels[from];
        if (s.targets_out)
            for (i64 i = threadIdx.x; i < s.target_row; i += blockDim.x)
                s.targets_out[to * s.target_row + i] = s.targets[from * s.target_row + i];
    }

private:
    __device__ i64 source(i64 to) const {
        const i64 position = *s.step % s.batches * s.n + to, epoch = *s.step / s.batches;
        return s.shuffle ? random::permuted(position, s.count, s.key, static_cast<std::uint64_t>(epoch))
                         : s.first + position;
    }
};

template <int V>
void start_gather(const Stream& stream, const contract::GatherBatch<float>& s) {
    using Kernel = GatherBatchKernel<V>;
    const i64 packs = s.row / V, pieces = std::max<i64>(1, blocks_of(packs, Kernel::piece));
    const i64 threads = std::min<i64>(Kernel::threads, std::max<i64>(1, blocks_of(packs, 32)) * 32);
    start(stream, Kernel{s, pieces}, s.n * pieces, static_cast<int>(threads), sizeof(i64));
}
inline void launch(const Stream& stream, const contract::GatherBatch<float>& s) {
    const bool bytes_fit = reinterpret_cast<std::uintptr_t>(s.bytes) % 4 == 0;
    if (bytes_fit && packs(4, s.row, s.out, s.values))
        start_gather<4>(stream, s);
    else
        start_gather<1>(stream, s);
}

}  // namespace hwnas::cuda
