// SPDX-License-Identifier: MIT
// Gradient of a depthwise convolution's filter. A block has some channels of a chunk of images; for a usual window each
// of its threads marches down strips of a few columns with a sum for every tap of its channel in registers, and the
// block adds them up in shared memory at the end. For other windows a block has one tap.
#pragma once

#include "window.cuh"

namespace hwnas::cuda {

/// How a block that sums over a chunk of images is laid out: `width` channels, `slices` threads for each.
struct ChunkBlock {
    Divisor groups, width;  // of channels; block = chunk groups + group, thread = slice width + channel
    int slices;
    /// `items` pieces of work for at most `threads` threads.
    ChunkBlock(i64 c, i64 most_width, i64 threads, i64 items) {
        // As even as sectors of eight channels allow.
        const i64 even = blocks_of(c, blocks_of(c, most_width)), wide = std::min(c, blocks_of(even, 8) * 8);
        groups = Divisor(blocks_of(c, wide));
        width = Divisor(wide);
        slices = static_cast<int>(blocks_of(items, blocks_of(items, std::max<i64>(1, threads / wide))));
    }
    int threads() const { return width.value() * slices; }
};

/// Adds the sums of a block's threads, tap by tap; `partial` is that of the block's first channel, `channels` of the
/// block's are there.
template <int Taps>
__device__ void reduce_taps(const float (&sum)[Taps], float* partial, const ChunkBlock& block, int channels, i64 c,
                            bool resume) {
    float* const sums = shared_memory<float>();
    const int threads = static_cast<int>(blockDim.x), mine = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int k = 0; k < Taps; ++k) sums[k * threads + mine] = sum[k];
    __syncthreads();
    for (int i = mine; i < Taps * block.width.value(); i += threads) {
        const auto [tap, channel] = block.width.split(i);
        if (channel >= channels) continue;
        const float* from = sums + tap * threads + channel;
        float total = 0;
        for (int slice = 0; slice < block.slices; ++slice) total += from[slice * block.width.value()];
        float* const to = partial + tap * c + channel;
        *to = resume ? *to + total : total;
    }
}

template <int K, int S>
struct DepthwiseWeight {
    static constexpr int threads = K == 3 ? 512 : K == 5 ? 256 : 192, resident = 2;
    static constexpr int registers = most_registers(threads, resident);
    static constexpr int columns = S == 1 ? 4 : 2, width = S * (columns - 1) + K, depth = (K - 1) / S + 1;
    float* partial;
    const float *x, *dy;
    ChunkBlock block;
    Divisor groups, strips, step;  // of columns, of rows
    int rows;                      // of a strip
    i64 n, chunks;
    Lines from, to;
    int padding;
    i32 resume;

    __device__ void operator()() const {
        const auto [chunk, channels] = block.groups.split(blockIdx.x);
        const auto [slice, lane] = block.width.split(threadIdx.x);
        const int first_channel = channels * block.width.value(), channel = first_channel + lane;
        const i64 begin = n * chunk / chunks, end = n * (chunk + 1) / chunks;
        float sum[K * K] = {};
        const int items = channel < to.c ? static_cast<int>(end - begin) * strips.value() * groups.value() : 0;
        for (int item = slice; item < items; item += block.slices) {
            const auto [line, group] = groups.split(item);
            const auto [image, strip] = strips.split(line);
            march(sum, begin + image, strip, group, channel);
        }
        reduce_taps(sum, partial + static_cast<i64>(chunk) * K * K * to.c + first_channel, block, to.c - first_channel,
                    to.c, resume);
    }
    __device__ void march(float (&sum)[K * K], i64 image, int strip, int group, int channel) const {
        const auto [nth_row, row_residue] = step.split(strip);
        const auto [nth_column, column_residue] = step.split(group);
        const int apart = to.step, first = nth_row * rows * apart + row_residue,
                  end = std::min(to.h, first + rows * apart), column = nth_column * columns * apart + column_residue;
        if (first >= to.h || column >= to.w) return;
        const int above = first - (depth - 1) * apart, row = above * S - padding + (K - S) * apart,
                  left = column * S - padding;
        RowReader<width, Pack<1>> seen(from, x + from.at(image, row, left) + channel, row, left, first * S - padding,
                                       (end - 1) * S - padding + (K - 1) * apart + 1);
        RowReader<columns, Pack<1>> seeing(to, dy + to.at(image, first, column) + channel, first, column, first, end);
        // As forwards: at place p arrive the last S rows that it sees; d[i] is dy of the place i steps below, the last
        // of which is needed late enough not to be fetched ahead.
        Pack<1> v[width], next[width], d[depth][columns] = {};
        seen.next(v);
#pragma unroll(S == 1 ? 2 : 1)
        for (int p = above; p < end; p += apart) {
#pragma unroll
            for (int j = 0; j < columns; ++j)
#pragma unroll
                for (int i = 0; i + 1 < depth; ++i) d[i][j] = d[i + 1][j];
            seeing.next(d[depth - 1]);
#pragma unroll
            for (int e = 0; e < S; ++e) {
                seen.next(next);
#pragma unroll
                for (int i = 0; i < depth; ++i) {
                    const int a = K - S + e - i * S;
                    if (a < 0) continue;
#pragma unroll
                    for (int b = 0; b < K; ++b)
#pragma unroll
                        for (int j = 0; j < columns; ++j) sum[a * K + b] += v[S * j + b][0] * d[i][j][0];
                }
#pragma unroll
                for (int j = 0; j < width; ++j) v[j] = next[j];
            }
        }
    }
};

/// Any window: a block has one tap of some channels of a chunk, a thread every so-many-th row.
struct DepthwiseWeightTap {
    static constexpr int threads = 256, registers = 64;
    float* partial;
    const float *x, *dy;
    ChunkBlock block;
    Divisor taps, lines;
    Axis rows, columns;
    i64 n, chunks;
    Lines to;
    i32 resume;

    __device__ void operator()() const {
        const auto [unit, channels] = block.groups.split(blockIdx.x);
        const auto [chunk, tap] = taps.split(unit);
        const auto [slice, lane] = block.width.split(threadIdx.x);
        const int first_channel = channels * block.width.value(), channel = first_channel + lane;
        const i64 begin = n * chunk / chunks, end = n * (chunk + 1) / chunks;
        const int stride = rows.stride, down = tap / rows.kernel * rows.dilation - rows.padding,
                  across = tap % rows.kernel * rows.dilation - rows.padding;
        // Columns q whose tap is inside: 0 <= q stride + across < w.
        const int q_begin = across < 0 ? (-across + stride - 1) / stride : 0,
                  q_end = std::min(to.w, across < columns.from ? (columns.from - 1 - across) / stride + 1 : 0);
        float sum[1] = {};
        const int items = channel < to.c ? static_cast<int>(end - begin) * to.h : 0;
        for (int item = slice; item < items; item += block.slices) {
            const auto [image, p] = lines.split(item);
            const int i = p * stride + down;
            if (i < 0 || i >= rows.from) continue;
            const float* d = dy + ((begin + image) * to.h + p) * to.w * to.c + channel;
            const float* v = x + (((begin + image) * rows.from + i) * columns.from + across) * to.c + channel;
#pragma unroll 4
            for (int q = q_begin; q < q_end; ++q)
                sum[0] += v[static_cast<i64>(q) * stride * to.c] * d[static_cast<i64>(q) * to.c];
        }
        const i64 kernel = rows.kernel;
        reduce_taps(sum, partial + (chunk * kernel * kernel + tap) * to.c + first_channel, block, to.c - first_channel,
                    to.c, resume);
    }
};

}  // namespace hwnas::cuda
