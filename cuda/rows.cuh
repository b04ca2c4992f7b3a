// SPDX-License-Identifier: MIT
// How kernels share out rows of c channels and the images of a chunk. A row is cut into packs of neighbouring channels.
// The threads of a block stand over `columns` packs and `lanes` rows, and a thread walks down its column: what belongs
// to a channel is read once a thread, neighbours in a warp read neighbouring bytes, and nothing is divided on the way.
#pragma once

#include "platform.cuh"

#include <algorithm>

namespace hwnas::cuda {

/// The images of a chunk: chunk k of `count` holds those from n k / count on.
struct Chunks {
    i64 whole;
    unsigned rest, count;  // rest is 0 where every image is a chunk, and count at most 65536 elsewhere: 32 bits suffice
    Chunks(i64 n, i64 chunks)
        : whole(n / chunks), rest(static_cast<unsigned>(n % chunks)), count(static_cast<unsigned>(chunks)) {}
    __device__ i64 begin(unsigned chunk) const { return whole * chunk + rest * chunk / count; }
    __device__ int images(unsigned chunk) const { return static_cast<int>(begin(chunk + 1) - begin(chunk)); }
    i64 most() const { return whole + (rest != 0); }
};

/// What one thread does: `left` rows, the first and every one that lies `lanes` further, of one column of packs.
struct Walk {
    i64 first;
    int column, local, lane, left;  // local: column within the block's
};

/// A block's threads: `columns` times `lanes` of them; `groups` blocks stand side by side over a row of `packs`.
struct Rows {
    int packs, columns, groups, lanes;
    /// At most so many columns, threads and rows a block.
    Rows(i64 row, i64 most_columns, int most_threads, i64 most_rows)
        : packs(static_cast<int>(row)),
          columns(static_cast<int>(blocks_of(row, blocks_of(row, most_columns)))),
          groups(static_cast<int>(blocks_of(row, columns))),
          lanes(static_cast<int>(std::clamp<i64>(most_threads / columns, 1, std::max<i64>(1, most_rows)))) {}
    int threads() const { return columns * lanes; }
    /// Which of the `groups` blocks over the same rows this one is, and which rows these are.
    __device__ unsigned group() const { return blockIdx.x % static_cast<unsigned>(groups); }
    __device__ unsigned item() const { return blockIdx.x / static_cast<unsigned>(groups); }
    /// This thread's part of rows [begin, end).
    __device__ Walk walk(i64 begin, i64 end) const {
        Walk walk;
        walk.lane = static_cast<int>(threadIdx.x / static_cast<unsigned>(columns));
        walk.local = static_cast<int>(threadIdx.x) - walk.lane * columns;
        walk.column = static_cast<int>(group()) * columns + walk.local;
        walk.first = begin + walk.lane;
        const int rows = static_cast<int>(end - walk.first);
        walk.left = walk.column < packs && rows > 0
                        ? static_cast<int>((static_cast<unsigned>(rows) - 1) / static_cast<unsigned>(lanes)) + 1
                        : 0;
        return walk;
    }
};

/// A pass over rows in which every element stands for itself: block b takes rows from b * rows_a_block() on.
struct Sweep {
    Rows rows;
    i64 count;
    int passes;  // rows a thread
    Sweep(const Stream& stream, i64 n, i64 row, int threads) : rows(row, threads, threads, n), count(n), passes(4) {
        // More rows a thread save reads of what belongs to its channels, as long as there is work for everybody.
        while (passes < 32 && blocks() > 16 * i64{stream.multiprocessors}) passes *= 2;
    }
    i64 blocks() const { return rows.groups * blocks_of(count, i64{rows.lanes} * passes); }
    __device__ Walk walk() const {
        const i64 size = i64{rows.lanes} * passes, begin = rows.item() * size;
        return rows.walk(begin, begin + size < count ? begin + size : count);
    }
};

template <int V>
__device__ Pack<V> load_if(bool wanted, const float* from) {
    return wanted ? load<V>(from) : zeros<V>();
}

/// Adds up K packs of every column over the lanes; the sums arrive in lane 0. All threads of the block call it;
/// `scratch` is K packs a thread and must be free; it is in use until the next barrier.
template <int K, int V>
__device__ void sum_lanes(Pack<V> (&sum)[K], Pack<V>* scratch, const Rows& rows, const Walk& walk) {
    constexpr int fold = 8;  // lanes that are left after the first step
    const int size = rows.columns * rows.lanes;
    const auto at = [&](int lane, int k) { return k * size + lane * rows.columns + walk.local; };
    const auto add = [&](int from, int step) {
        for (int lane = from; lane < rows.lanes; lane += step)
#pragma unroll
            for (int k = 0; k < K; ++k)
#pragma unroll
                for (int v = 0; v < V; ++v) sum[k][v] += scratch[at(lane, k)].v[v];
    };
#pragma unroll
    for (int k = 0; k < K; ++k) scratch[at(walk.lane, k)] = sum[k];
    __syncthreads();
    if (walk.lane < fold) {
        add(walk.lane + fold, fold);
#pragma unroll
        for (int k = 0; k < K; ++k) scratch[at(walk.lane, k)] = sum[k];
    }
    __syncthreads();
    if (walk.lane == 0)
        for (int lane = 1; lane < fold && lane < rows.lanes; ++lane)
#pragma unroll
            for (int k = 0; k < K; ++k)
#pragma unroll
                for (int v = 0; v < V; ++v) sum[k][v] += scratch[at(lane, k)].v[v];
}

}  // namespace hwnas::cuda
