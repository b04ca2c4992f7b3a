// SPDX-License-Identifier: MIT
// The filters of a relaxed node and their gradients. Forward a thread gathers one element of a filter. Backward some
// blocks sum the gradient of the weights over the draws, lanes of draws side by side, and the warps of the others take
// a dot product each for gamma.
#pragma once

#include "weighted_sum.cuh"

namespace hwnas::cuda {

struct MergeFiltersForwardKernel {
    static constexpr int threads = 128, registers = 48;
    contract::MergeFiltersForward<float> s;
    unsigned blocks_a_filter;
    __device__ void operator()() const {
        const unsigned filter = blockIdx.x / blocks_a_filter, edges = static_cast<unsigned>(s.edges);
        const unsigned group = filter / edges;
        const int edge = static_cast<int>(filter - group * edges), c = static_cast<int>(s.c),
                  i = static_cast<int>((blockIdx.x - filter * blocks_a_filter) * threads + threadIdx.x);
        if (i >= 9 * c) return;
        const float* const gamma = s.gamma + group * s.gamma_stride;
        float* const out = s.filters + filter * 9 * s.c + i;
        float sum = s.accumulate ? *out : 0.0f;
        for (int j = 0; j < s.count; ++j) {
            if (s.edge[j] != edge) continue;
            const float gate = gamma[s.column[j]];
            if (gate == 0.0f) continue;
            if (s.w[j])
                sum += gate * s.w[j][i];
            else if (i >= 4 * c && i < 5 * c)
                sum += gate;
        }
        *out = sum;
    }
};

struct MergeFiltersBackwardKernel {
    static constexpr int threads = 256, registers = 48, columns = 32, lanes = threads / columns;
    contract::MergeFiltersBackward<float> s;
    unsigned tiles, weight_blocks;
    __device__ void operator()() const {
        if (blockIdx.x < weight_blocks)
            weights();
        else
            gates();
    }

private:
    __device__ const float* dfilter(unsigned group, int j) const {
        return s.dfilters + (group * s.edges + s.edge[j]) * 9 * s.c;
    }
    /// 32 elements of the gradient of one w; of terms that share a w the first adds for all.
    __device__ void weights() const {
        const int j = static_cast<int>(blockIdx.x / tiles);
        float* const dw = s.dw[j];
        bool first = dw != nullptr;
        for (int k = 0; k < j; ++k) first = first && s.dw[k] != dw;
        if (!first) return;  // the whole block
        const int column = static_cast<int>(threadIdx.x % columns), lane = static_cast<int>(threadIdx.x / columns),
                  i = static_cast<int>(blockIdx.x % tiles) * columns + column;
        const bool inside = i < 9 * s.c;
        float sum = 0;
        for (int k = j; k < s.count; ++k) {
            if (s.dw[k] != dw) continue;
#pragma unroll 4
            for (int group = lane; group < s.groups; group += lanes) {
                const float gate = s.gamma[group * s.gamma_stride + s.column[k]];
                if (gate != 0.0f && inside) sum += gate * dfilter(static_cast<unsigned>(group), k)[i];
            }
        }
        float* const sums = shared_memory<float>();
        sums[threadIdx.x] = sum;
        __syncthreads();
        if (lane != 0 || !inside) return;
        for (int l = 1; l < lanes; ++l) sum += sums[l * columns + column];
        dw[i] += sum;
    }
    /// A warp takes the gradient of one gate; of terms that share a gate the first adds for all.
    __device__ void gates() const {
        const i64 item = i64{blockIdx.x - weight_blocks} * (threads / 32) + threadIdx.x / 32;
        if (item >= s.groups * s.count) return;  // the whole warp
        const unsigned group = static_cast<unsigned>(item / s.count);
        const int j = static_cast<int>(item - i64{group} * s.count), lane = static_cast<int>(threadIdx.x % 32),
                  c = static_cast<int>(s.c);
        float* const out = s.dgamma + group * s.gamma_stride;
        add_to_columns(out, s.column, s.count, j, lane == 0, [&](int k) {
            const float *const w = s.w[k], *const d = dfilter(group, k);
            float dot = 0;
            if (w)
                for (int i = lane; i < 9 * c; i += 32) dot += w[i] * d[i];
            else
                for (int i = lane; i < c; i += 32) dot += d[4 * c + i];
            return warp_sum(dot);
        });
    }
};

/// dfilters and dgamma: `lanes` threads sum an element over the chunks of a group, the elements of `columns` side by
/// side.
struct MixedSourceReduceKernel {
    static constexpr int threads = 512, registers = 64;
    contract::MixedSourceReduce<float> s;
    int columns, lanes, chunks;
    unsigned tiles;
    __device__ void operator()() const {
        const unsigned item = blockIdx.x / tiles, count = static_cast<unsigned>(s.count), group = item / count;
        const int j = static_cast<int>(item - group * count),
                  lane = static_cast<int>(threadIdx.x / static_cast<unsigned>(columns)),
                  column = static_cast<int>(threadIdx.x) - lane * columns,
                  i = static_cast<int>(blockIdx.x - item * tiles) * columns + column, size = static_cast<int>(9 * s.c);
        // The last element is the gate's; of edges that share a gate the first adds for all.
        const bool gate = i == size;
        bool wanted = gate ? s.dgamma && s.column[j] >= 0 : s.dfilters && i < size;
        if (gate)
            for (int k = 0; k < j; ++k) wanted = wanted && s.column[k] != s.column[j];
        float sum = 0;
        for (int k = j; k < (gate ? s.count : j + 1) && wanted; ++k) {
            if (s.column[k] != s.column[j]) continue;
            const i64 block = i64{size} + s.products;
            const float* const from = s.partial + (group * chunks * s.count + k) * block + i;
            for (int product = 0; product < (gate ? s.products : 1); ++product)
#pragma unroll 4
                for (int chunk = lane; chunk < chunks; chunk += lanes) sum += from[chunk * s.count * block + product];
        }
        if (lanes > 1) {
            float* const sums = shared_memory<float>();
            sums[threadIdx.x] = sum;
            __syncthreads();
            for (int l = 1; l < lanes && lane == 0; ++l) sum += sums[l * columns + column];
        }
        if (lane != 0 || !wanted) return;
        float* const out = gate ? s.dgamma + group * s.gamma_stride + s.column[j]
                                : s.dfilters + (group * s.edges + s.edge[j]) * size + i;
        *out += sum;
    }
};

inline void launch(const Stream& stream, const contract::MergeFiltersForward<float>& s) {
    const i64 blocks = blocks_of(9 * s.c, MergeFiltersForwardKernel::threads);
    start(stream, MergeFiltersForwardKernel{s, static_cast<unsigned>(blocks)}, s.groups * s.edges * blocks);
}
inline void launch(const Stream& stream, const contract::MergeFiltersBackward<float>& s) {
    using Kernel = MergeFiltersBackwardKernel;
    const bool weights = std::any_of(s.dw, s.dw + s.count, [](const float* dw) { return dw != nullptr; });
    const i64 tiles = blocks_of(9 * s.c, Kernel::columns), weight_blocks = weights ? s.count * tiles : 0,
              gate_blocks = s.dgamma ? blocks_of(s.groups * s.count, Kernel::threads / 32) : 0;
    start(stream, Kernel{s, static_cast<unsigned>(tiles), static_cast<unsigned>(weight_blocks)},
          weight_blocks + gate_blocks, Kernel::threads, Kernel::threads * sizeof(float));
}
inline void launch(const Stream& stream, const contract::MixedSourceReduce<float>& s) {
    using Kernel = MixedSourceReduceKernel;
    const i64 chunks = s.groups > 1 ? 1 : s.chunks;
    const int lanes = static_cast<int>(std::clamp<i64>(chunks, 1, 16)), columns = lanes > 1 ? 32 : 128;
    const i64 tiles = blocks_of(9 * s.c + 1, columns);
    start(stream, Kernel{s, columns, lanes, static_cast<int>(chunks), static_cast<unsigned>(tiles)},
          s.groups * s.count * tiles, columns * lanes, static_cast<std::size_t>(columns * lanes) * sizeof(float));
}

}  // namespace hwnas::cuda
