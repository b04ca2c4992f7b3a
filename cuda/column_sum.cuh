// SPDX-License-Identifier: MIT
// Sums over the leading dimensions: of one array (column_sum) or of a product (multiply_reduce in multiply.cuh). A
// block is a grid of threads, `across` packs of neighbouring columns times `lanes` rows; a thread adds every lanes-th
// row in double, then the lanes are folded in halves. Short rows go several at a time, so that they are whole packs.
// Only a sum that would keep few multiprocessors busy for long is cut into chunks of rows, which a second kernel adds
// up.
#pragma once

#include "platform.cuh"

#include <algorithm>

namespace hwnas::cuda {

/// out[j] (+)= factor sum_r a[r, j] (b[r, j])
struct ColumnSums {
    float* out;
    const float *a, *b;
    i64 n, period;
    float factor;
    i32 accumulate;
    __device__ void finish(i64 j, double sum) const {
        out[j] = static_cast<float>(static_cast<double>(factor) * sum) + (accumulate ? out[j] : 0.0f);
    }
};

template <int V, bool product>
struct ColumnSumKernel {
    static constexpr int threads = 512, registers = 64;
    static constexpr int unroll = product ? 4 : 8;  // 16-byte loads under way
    ColumnSums sums;
    float* partial;  // null: this is all
    i64 wide;        // elements of a row as it is walked: a multiple of period
    i64 chunks;
    int across, lanes, blocks;  // of columns
    __device__ void operator()() const {
        const int chunk = static_cast<int>(blockIdx.x) / blocks, block = static_cast<int>(blockIdx.x) % blocks;
        const int lane = static_cast<int>(threadIdx.x) / across, width = across * V;
        const i64 first = static_cast<i64>(block) * width, column = first + static_cast<int>(threadIdx.x) % across * V;
        double sum[V] = {};
        if (lane < lanes && column < wide) {
            const i64 rows = blocks_of(sums.n, wide), stride = lanes * wide,
                      end = std::min(sums.n, rows * (chunk + 1) / chunks * wide);
            for (i64 i = (rows * chunk / chunks + lane) * wide + column; i < end; i += unroll * stride)
                add(sum, i, stride, end);
        }
        double* const folded = shared_memory<double>();
        double* const mine = folded + threadIdx.x * V;
        if (lane < lanes) {
#pragma unroll
            for (int k = 0; k < V; ++k) mine[k] = sum[k];
        }
        __syncthreads();
        for (int left = lanes; left > 1;) {
            const int half = (left + 1) / 2;
            if (lane < left - half) {
#pragma unroll
                for (int k = 0; k < V; ++k) mine[k] += mine[half * width + k];
            }
            __syncthreads();
            left = half;
        }
        const int columns = static_cast<int>(std::min<i64>(width, sums.period - first));
        for (int j = static_cast<int>(threadIdx.x); j < columns; j += static_cast<int>(blockDim.x)) {
            double total = folded[j];
            for (i64 i = j + sums.period; i < wide; i += sums.period) total += folded[i];
            if (partial)
                partial[chunk * sums.period + first + j] = static_cast<float>(total);
            else
                sums.finish(first + j, total);
        }
    }

private:
    __device__ void add(double (&sum)[V], i64 i, i64 stride, i64 end) const {
        // Beyond the end the first element is read again, and not used: loads without branches are all under way at
        // once.
        Pack<V> x[unroll], y[product ? unroll : 1];
#pragma unroll
        for (int u = 0; u < unroll; ++u) {
            const i64 at = i + u * stride < end ? i + u * stride : i;
            x[u] = load<V>(sums.a + at);
            if constexpr (product) y[u] = load<V>(sums.b + at);
        }
#pragma unroll
        for (int u = 0; u < unroll; ++u) {
            if (i + u * stride >= end) break;
#pragma unroll
            for (int k = 0; k < V; ++k) {
                if constexpr (product)
                    sum[k] += static_cast<double>(x[u][k]) * static_cast<double>(y[u][k]);
                else
                    sum[k] += static_cast<double>(x[u][k]);
            }
        }
    }
};
struct AddColumnChunks {
    static constexpr int registers = 40;
    ColumnSums sums;
    const float* partial;
    i64 chunks;
    __device__ void operator()(i64 j) const {
        double sum = 0;
        for (i64 chunk = 0; chunk < chunks; ++chunk) sum += static_cast<double>(partial[chunk * sums.period + j]);
        sums.finish(j, sum);
    }
};

/// Chunks that `partial` has room for: what the op allocates.
constexpr i64 column_sum_chunks(i64 n, i64 period) {
    const i64 pieces = 32 / blocks_of(period, 64), most = n / 16'384 < pieces ? n / 16'384 : pieces;
    return most < 1 ? 1 : most;
}

/// `partial` is column_sum_chunks() rows, or null: then there is one chunk.
template <int V, bool product>
void start_column_sums(const Stream& stream, const ColumnSums& s, float* partial, i64 wide) {
    using Kernel = ColumnSumKernel<V, product>;
    const i64 packs = wide / V, rows = blocks_of(s.n, wide);
    const bool whole = wide != s.period;  // rows are added up at the end: one block must have all of them
    // 32 bytes side by side are a full sector; 128 where there are blocks enough.
    i64 across = whole ? packs : std::min<i64>(packs, (s.period < 32 * stream.multiprocessors ? 8 : 32) / V);
    const i64 chunks = partial && s.n / blocks_of(packs, across) >= 32'768 ? column_sum_chunks(s.n, s.period) : 1;
    const i64 busy = std::max<i64>(1, blocks_of(blocks_of(rows, chunks), Kernel::unroll));  // lanes with work
    while (across < packs && 2 * across * busy <= Kernel::threads) across *= 2;
    across = std::min(across, packs);
    const i64 lanes = std::min(Kernel::threads / across, busy), blocks = blocks_of(packs, across),
              threads = blocks_of(lanes * across, 32) * 32;
    start(stream,
          Kernel{s, chunks > 1 ? partial : nullptr, wide, chunks, static_cast<int>(across), static_cast<int>(lanes),
                 static_cast<int>(blocks)},
          blocks * chunks, static_cast<int>(threads), static_cast<std::size_t>(threads * V) * sizeof(double));
    if (chunks > 1) for_each(stream, s.period, AddColumnChunks{s, partial, chunks});
}
template <bool product>
void column_sums(const Stream& stream, const ColumnSums& s, float* partial) {
    if (s.period <= 0) return;
    const i64 together = s.period % 4 == 0 ? 1 : s.period % 2 == 0 ? 2 : 4;
    if (packs(4, s.n, s.a, s.b) && (together == 1 || together * s.period <= 4 * ColumnSumKernel<4, product>::threads))
        start_column_sums<4, product>(stream, s, partial, together * s.period);
    else
        start_column_sums<1, product>(stream, s, partial, s.period);
}

inline void launch(const Stream& stream, const contract::ColumnSum<float>& s) {
    column_sums<false>(stream, {s.out, s.x, nullptr, s.n, s.period, s.factor, s.accumulate}, s.partial);
}

}  // namespace hwnas::cuda
