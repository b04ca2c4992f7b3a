// SPDX-License-Identifier: MIT
// Both gradients of a depthwise convolution at stride 1 in one pass: what a thread has of dy in its registers gives dx,
// summed over the filter, and the filter's gradient, weighed with the x it stands over. Three tensors pass where two
// kernels move four: dy is read once. Blocks are those of the filter's gradient (depthwise_weight.cuh): some channels
// of a chunk of images.
#pragma once

#include "depthwise_weight.cuh"

namespace hwnas::cuda {

template <int K>
struct DepthwiseBackward {
    static constexpr int threads = K == 3 ? 320 : K == 5 ? 192 : 128, resident = 2;
    static constexpr int registers = K == 7 ? 255 : most_registers(threads, resident);
    static constexpr int columns = 4, width = columns + K - 1;
    float *dx, *partial;
    const float *x, *dy, *w;
    ChunkBlock block;
    Divisor groups, strips, step;  // of columns, of rows
    int rows;                      // of a strip
    i64 n, chunks;
    Lines from, to;  // dy; x and dx
    int padding;     // of dy
    i32 accumulate, resume;

    __device__ void operator()() const {
        const auto [chunk, channels] = block.groups.split(blockIdx.x);
        const auto [slice, lane] = block.width.split(threadIdx.x);
        const int first_channel = channels * block.width.value(), channel = first_channel + lane;
        const i64 begin = n * chunk / chunks, end = n * (chunk + 1) / chunks;
        float filter[K * K] = {}, sum[K * K] = {};
        int items = 0;
        if (channel < to.c) {
            items = static_cast<int>(end - begin) * strips.value() * groups.value();
#pragma unroll
            for (int k = 0; k < K * K; ++k) filter[k] = w[k * to.c + channel];
        }
        for (int item = slice; item < items; item += block.slices) {
            const auto [line, group] = groups.split(item);
            const auto [image, strip] = strips.split(line);
            march(sum, filter, begin + image, strip, group, channel);
        }
        reduce_taps(sum, partial + static_cast<i64>(chunk) * K * K * to.c + first_channel, block, to.c - first_channel,
                    to.c, resume);
    }
    __device__ void march(float (&sum)[K * K], const float (&filter)[K * K], i64 image, int strip, int group,
                          int channel) const {
        const auto [nth_row, row_residue] = step.split(strip);
        const auto [nth_column, column_residue] = step.split(group);
        const int apart = to.step, first = nth_row * rows * apart + row_residue,
                  end = std::min(to.h, first + rows * apart), column = nth_column * columns * apart + column_residue;
        if (first >= to.h || column >= to.w) return;
        const int above = first - (K - 1) * apart, row = first - padding, left = column - padding;
        RowReader<width, Pack<1>> seeing(from, dy + from.at(image, row, left) + channel, row, left, row,
                                         end - padding + (K - 1) * apart);
        const i64 start = to.at(image, first, column) + channel;
        RowReader<columns, Pack<1>> centre(to, x + start, first, column, first, end),
            before(to, dx + start, first, column, first, end);
        RowWriter<columns, 1> writer(to, dx + start, column);
        // At place p arrives the row of dy that its lowest tap sees; out[d] and v[d] belong to the place d steps below.
        // Rows of x beyond the strip count as zeros: every product belongs to the strip of its x.
        Pack<1> d[width], next[width], out[K][columns] = {}, v[K][columns] = {};
        seeing.next(d);
        if (accumulate) before.next(out[K - 1]);
#pragma unroll 2
        for (int p = above; p < end; p += apart) {
            seeing.next(next);
            centre.next(v[K - 1]);
#pragma unroll
            for (int i = 0; i < K; ++i)
#pragma unroll
                for (int b = 0; b < K; ++b)
#pragma unroll
                    for (int j = 0; j < columns; ++j) {
                        const int tap = i * K + K - 1 - b;
                        out[i][j][0] += d[j + b][0] * filter[tap];
                        sum[tap] += v[i][j][0] * d[j + b][0];
                    }
            if (p >= first) writer.next(out[0]);
#pragma unroll
            for (int j = 0; j < columns; ++j) {
#pragma unroll
                for (int i = 0; i + 1 < K; ++i) out[i][j] = out[i + 1][j], v[i][j] = v[i + 1][j];
                out[K - 1][j] = zeros<1>();
            }
            if (accumulate) before.next(out[K - 1]);
#pragma unroll
            for (int j = 0; j < width; ++j) d[j] = next[j];
        }
    }
};

/// As many threads a channel as keep the block full, each with a strip of rows of a few columns.
template <int K>
void start_depthwise_backward(const Stream& stream, const contract::DepthwiseConvBackward<float>& call,
                              i64 most_channels) {
    using Kernel = DepthwiseBackward<K>;
    const auto& s = call.window;
    const i64 step = s.dilation, lines = blocks_of(s.h, step),
              groups = step * blocks_of(blocks_of(s.w, step), Kernel::columns), images = blocks_of(s.n, call.chunks),
              slices = Kernel::threads / std::min(s.c, most_channels),
              wanted = std::min(blocks_of(lines, 4), blocks_of(slices, images * groups * step)),
              rows = blocks_of(lines, wanted), strips = step * blocks_of(lines, rows);
    const ChunkBlock block(s.c, most_channels, Kernel::threads, images * groups * strips);
    start(stream,
          Kernel{call.dx, call.partial, call.x, call.dy, call.w, block, Divisor(groups), Divisor(strips), Divisor(step),
                 static_cast<int>(rows), s.n, call.chunks, Lines(s.oh, s.ow, s.c, s.dilation),
                 Lines(s.h, s.w, s.c, s.dilation), (K - 1) * s.dilation - s.padding, call.accumulate, call.resume},
          call.chunks * block.groups.value(), block.threads(),
          static_cast<std::size_t>(K * K * block.threads()) * sizeof(float));
}

}  // namespace hwnas::cuda
