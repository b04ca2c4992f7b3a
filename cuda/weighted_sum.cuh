// SPDX-License-Identifier: MIT
// The mixture of a search node. Forward a thread gathers one pack from all terms, two loads at a time. Backward a block
// takes a few terms of a chunk: it reads dy and, in one pass over x_j, takes the dot product for the weight and writes
// dx_j. Whether a term is read depends on its weight, which is the same for all threads of a block.
#pragma once

#include "rows.cuh"

namespace hwnas::cuda {

template <int V>
struct WeightedSumForwardKernel {
    static constexpr int threads = 256, registers = 40, together = 2;
    float* y;
    const float* x[contract::max_operands];
    const float* weights;
    i64 packs, weight_stride;  // packs: that one row of weights weighs
    unsigned blocks_a_group;
    i32 columns[contract::max_operands];
    i32 count, accumulate;
    __device__ void operator()() const {
        const unsigned group = blockIdx.x / blocks_a_group;
        const i64 in_group = i64{blockIdx.x - group * blocks_a_group} * threads + threadIdx.x;
        if (in_group >= packs) return;
        const i64 i = (group * packs + in_group) * V;
        const float* const w = weights + group * weight_stride;
        auto sum = load_if<V>(accumulate, y + i);
        for (int first = 0; first < count; first += together) {
            float factor[together];
            Pack<V> v[together];
#pragma unroll
            for (int j = 0; j < together; ++j) factor[j] = first + j < count ? w[columns[first + j]] : 0.0f;
#pragma unroll
            for (int j = 0; j < together; ++j)  // what a term of weight 0 holds may be anything
                v[j] = factor[j] != 0.0f ? load<V>(x[first + j] + i) : zeros<V>();
#pragma unroll
            for (int j = 0; j < together; ++j)
#pragma unroll
                for (int k = 0; k < V; ++k) sum[k] += factor[j] * v[j][k];
        }
        store(y + i, sum);
    }
};

/// A block takes `terms` terms of a chunk, J in one pass.
template <int V, int J>
struct WeightedSumBackwardKernel {
    static constexpr int threads = 512, registers = V == 1 ? 88 : 64;
    float* dx[contract::max_operands];
    float* partial;
    const float* x[contract::max_operands];
    const float *dy, *weights;
    Chunks chunks;
    i64 image, weight_stride;
    i32 columns[contract::max_operands];
    i32 count, terms, selected_only, resume;
    std::uint32_t accumulate;
    __device__ void operator()() const {
        const unsigned parts = static_cast<unsigned>((count + terms - 1) / terms), chunk = blockIdx.x / parts;
        const int first = static_cast<int>(blockIdx.x - chunk * parts) * terms;
        for (int j = first; j < first + terms && j < count; j += J) pass(chunk, j);
    }

private:
    __device__ void pass(unsigned chunk, int first) const {
        const i64 begin = chunks.begin(chunk) * image, end = chunks.begin(chunk + 1) * image;
        float factor[J], dot[J] = {};
        float* to[J];
        const float* from[J];
        bool add[J];
#pragma unroll
        for (int j = 0; j < J; ++j) {
            const bool there = first + j < count;
            const int term = there ? first + j : first;
            factor[j] = weights[chunk * weight_stride + columns[term]];
            const bool zero = factor[j] == 0.0f, skipped = !there || (zero && selected_only);
            add[j] = accumulate >> term & 1u;
            to[j] = skipped || (zero && add[j]) ? nullptr : dx[term];
            from[j] = skipped || !partial ? nullptr : x[term];
        }
#pragma unroll 2
        for (i64 i = begin + threadIdx.x * V; i < end; i += blockDim.x * V) {
            const auto d = load<V>(dy + i);
            Pack<V> v[J], old[J];
#pragma unroll
            for (int j = 0; j < J; ++j) {
                v[j] = from[j] ? load<V>(from[j] + i) : zeros<V>();
                old[j] = to[j] && add[j] ? load<V>(to[j] + i) : zeros<V>();
            }
#pragma unroll
            for (int j = 0; j < J; ++j) {
                if (from[j])
#pragma unroll
                    for (int k = 0; k < V; ++k) dot[j] += d[k] * v[j][k];
                if (!to[j]) continue;
#pragma unroll
                for (int k = 0; k < V; ++k)  // dx of a term of weight 0 is 0 whatever dy holds
                    old[j][k] += factor[j] == 0.0f ? 0.0f : factor[j] * d[k];
                store(to[j] + i, old[j]);
            }
        }
        if (!partial) return;
#pragma unroll
        for (int j = 0; j < J; ++j) {
            const float total = block_sum(dot[j], shared_memory<float>());
            if (threadIdx.x != 0 || first + j >= count) continue;
            float* const out = partial + i64{chunk} * count + first + j;
            *out = (resume ? *out : 0.0f) + total;
        }
    }
};

/// out[columns[j]] += sum(j) for the terms j of one row of weights. Terms that share a column are added by the first of
/// them. A warp may call it as one, if only one lane writes.
template <class Sum>
__device__ void add_to_columns(float* out, const i32* columns, int count, int j, bool writes, const Sum& sum) {
    for (int k = 0; k < j; ++k)
        if (columns[k] == columns[j]) return;
    float total = 0;
    for (int k = j; k < count; ++k)
        if (columns[k] == columns[j]) total += sum(k);
    if (writes) out[columns[j]] += total;
}
/// One row of weights: a warp sums a term over the chunks.
struct WeightedSumReduceKernel {
    static constexpr int threads = 32 * contract::max_operands, registers = 32;
    float* dweights;
    const float* partial;
    i32 columns[contract::max_operands];
    i32 count, chunks;
    __device__ void operator()() const {
        float* const sums = shared_memory<float>();
        const int term = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
        double sum = 0;
        for (int chunk = lane; chunk < chunks && term < count; chunk += 32)
            sum += static_cast<double>(partial[i64{chunk} * count + term]);
        sum = warp_sum(sum);
        if (lane == 0) sums[term] = static_cast<float>(sum);
        __syncthreads();
        const int j = static_cast<int>(threadIdx.x);
        if (j < count) add_to_columns(dweights, columns, count, j, true, [&](int k) { return sums[k]; });
    }
};
/// A row of weights for every chunk.
struct WeightedSumScatterKernel {
    static constexpr int registers = 40;
    float* dweights;
    const float* partial;
    i64 weight_stride;
    i32 columns[contract::max_operands];
    i32 count;
    __device__ void operator()(i64 i) const {
        const i64 group = i / count;
        const float* const sums = partial + group * count;
        add_to_columns(dweights + group * weight_stride, columns, count, static_cast<int>(i - group * count), true,
                       [&](int k) { return sums[k]; });
    }
};

template <int V>
void launch_packs(const Stream& stream, const contract::WeightedSumForward<float>& s, i64 group) {
    using Kernel = WeightedSumForwardKernel<V>;
    const i64 blocks = blocks_of(group / V, Kernel::threads);
    Kernel kernel{s.y, {},      s.weights,   group / V, s.weight_stride, static_cast<unsigned>(blocks),
                  {},  s.count, s.accumulate};
    std::copy(s.x, s.x + s.count, kernel.x);
    std::copy(s.columns, s.columns + s.count, kernel.columns);
    start(stream, kernel, s.groups * blocks);
}
inline void launch(const Stream& stream, const contract::WeightedSumForward<float>& s) {
    const i64 group = s.groups > 1 ? s.image : s.n * s.image;
    if (group == 0) return;
    bool fits = packs(4, group, s.y);
    for (int j = 0; j < s.count; ++j) fits = fits && packs(4, group, s.x[j]);
    if (fits)
        launch_packs<4>(stream, s, group);
    else
        launch_packs<1>(stream, s, group);
}

template <int V, int J>
void launch_terms(const Stream& stream, const contract::WeightedSumBackward<float>& s, int terms) {
    using Kernel = WeightedSumBackwardKernel<V, J>;
    const Chunks chunks(s.n, s.chunks);
    Kernel kernel{{},        s.partial,   {},      s.dy,
                  s.weights, chunks,      s.image, s.groups > 1 ? s.weight_stride : 0,
                  {},        s.count,     terms,   s.selected_only,
                  s.resume,  s.accumulate};
    std::copy(s.dx, s.dx + s.count, kernel.dx);
    std::copy(s.x, s.x + s.count, kernel.x);
    std::copy(s.columns, s.columns + s.count, kernel.columns);
    const i64 packs = chunks.most() * s.image / V,
              warps = std::clamp<i64>(blocks_of(packs, 32), 1, Kernel::threads / 32);
    start(stream, kernel, s.chunks * blocks_of(s.count, terms), static_cast<int>(32 * warps),
          static_cast<std::size_t>(warps) * sizeof(float));
}
template <int V>
void launch_packs(const Stream& stream, const contract::WeightedSumBackward<float>& s) {
    // A value that stands in the list twice: one thread must add to its gradient for all terms, one after the other.
    bool repeated = false;
    for (int j = 0; j < s.count; ++j)
        for (int k = 0; k < j; ++k) repeated = repeated || (s.dx[j] && s.dx[j] == s.dx[k]);
    constexpr int together = 4;
    if (repeated)
        launch_terms<V, 1>(stream, s, s.count);
    else if (s.count > 1 && s.chunks * blocks_of(s.count, together) >= 2 * stream.multiprocessors)
        launch_terms<V, together>(stream, s, together);
    else
        launch_terms<V, 1>(stream, s, 1);
}
inline void launch(const Stream& stream, const contract::WeightedSumBackward<float>& s) {
    bool fits = packs(4, s.image, s.dy);
    for (int j = 0; j < s.count; ++j) fits = fits && packs(4, s.image, s.dx[j], s.x[j]);
    if (fits)
        launch_packs<4>(stream, s);
    else
        launch_packs<1>(stream, s);
}

inline void launch(const Stream& stream, const contract::WeightedSumReduce<float>& s) {
    if (s.groups > 1) {
        WeightedSumScatterKernel kernel{s.dweights, s.partial, s.weight_stride, {}, s.count};
        std::copy(s.columns, s.columns + s.count, kernel.columns);
        return for_each(stream, s.groups * s.count, kernel);
    }
    WeightedSumReduceKernel kernel{s.dweights, s.partial, {}, s.count, static_cast<i32>(s.chunks)};
    std::copy(s.columns, s.columns + s.count, kernel.columns);
    const int warps = std::max(1, s.count);
    start(stream, kernel, 1, 32 * warps, static_cast<std::size_t>(warps) * sizeof(float));
}

}  // namespace hwnas::cuda
