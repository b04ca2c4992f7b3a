// SPDX-License-Identifier: MIT
// Gumbel-softmax kernels, rows as in softmax.cuh. The noise is core/random.hpp's, whose every step is exact or one
// rounding that the source spells out (std::fma), so that no compiler has a product and a sum to contract: it has the
// CPU's bits, as has its sum with alpha, and with them the choice. Backward adds the draws of a row in one block.
#pragma once

#include "softmax.cuh"

#include <algorithm>

namespace hwnas::cuda {

struct GumbelSoftmaxForwardKernel {
    static constexpr int threads = 128, registers = 56;
    float *out, *soft;
    i32* selected;
    const float *alpha, *temperature;
    const i64* step;
    i64 groups, rows;
    int columns, lanes;
    random::Key key;
    i32 hard;
    __device__ void operator()() const {
        const RowLane at(lanes);
        const int width = at.row < groups * rows ? columns : 0;
        const i64 e = at.row % rows, first = at.row * columns;
        const float inverse = 1.0f / *temperature;
        const auto draw = static_cast<std::uint64_t>(*step);
        float own = -INFINITY;
        Best best;
        for (int c = at.lane; c < width; c += lanes) {
            const auto word = random::words_at(key, static_cast<std::uint64_t>(first + c), draw).w[0];
            const float z = alpha[e * columns + c] + random::gumbel(word);
            if (c == at.lane)
                own = z;
            else
                soft[first + c] = z;
            // As if compared one after the other: a NaN never wins, but in front it is never beaten.
            best.meet({z == z ? z : c == 0 ? INFINITY : -INFINITY, c});
        }
        best = row_best(best, lanes);
        if (at.lane < width && at.lane == 0 && at.row < rows) selected[e] = best.index;
        const auto row = softmax_row(soft + first, soft + first, own, width, at.lane, lanes, inverse);
        for (int c = at.lane; c < width; c += lanes) {
            if (hard)
                out[first + c] =
                    row.sum != row.sum ? row.sum : static_cast<float>(c == best.index);  // NaN stays visible
            else if (out != soft)
                out[first + c] = c == at.lane ? row.own : soft[first + c];
        }
    }
};

/// A block for each row of alpha and each `lanes` of its columns; its threads are `lanes` columns times some draws.
struct GumbelSoftmaxBackwardKernel {
    static constexpr int threads = 256, registers = 40;
    float* dalpha;
    const float *dout, *soft, *temperature;
    i64 groups, rows;
    int columns, lanes, tiles;
    i32 accumulate;
    __device__ void operator()() const {
        const i64 e = static_cast<int>(blockIdx.x) / tiles;
        const int t = static_cast<int>(threadIdx.x), lane = t % lanes, part = t / lanes,
                  parts = static_cast<int>(blockDim.x) / lanes,
                  column = static_cast<int>(blockIdx.x) % tiles * lanes + lane;
        float sum = 0.0f;
        for (i64 begin = 0; begin < groups; begin += parts) {
            const i64 g = begin + part, first = (g * rows + e) * columns;
            const int width = g < groups ? columns : 0;
            float dot = 0.0f;
            for (int c = lane; c < width; c += lanes) dot += dout[first + c] * soft[first + c];
            dot = row_sum(dot, lanes);
            if (column < width) sum += soft[first + column] * (dout[first + column] - dot);
        }
        float* const sums = shared_memory<float>();
        sums[t] = sum;
        __syncthreads();
        for (int half = parts / 2; half > 0; half /= 2) {
            if (part < half) sums[t] += sums[t + half * lanes];
            __syncthreads();
        }
        if (part == 0 && column < columns) {
            float* const to = dalpha + e * columns + column;
            *to = (accumulate ? *to : 0.0f) + sums[t] * (1.0f / *temperature);
        }
    }
};

inline void launch(const Stream& stream, const contract::GumbelSoftmaxForward<float>& s) {
    const int lanes = row_lanes(s.columns);
    start_rows(stream,
               GumbelSoftmaxForwardKernel{s.out, s.soft, s.selected, s.alpha, s.temperature, s.step, s.groups, s.rows,
                                          static_cast<int>(s.columns), lanes, s.key, s.hard},
               s.groups * s.rows, lanes);
}
inline void launch(const Stream& stream, const contract::GumbelSoftmaxBackward<float>& s) {
    const int lanes = row_lanes(s.columns), tiles = static_cast<int>(blocks_of(s.columns, lanes));
    int threads = 32;  // a power of two, for the halving
    while (threads < s.groups * lanes && threads < GumbelSoftmaxBackwardKernel::threads) threads *= 2;
    start(stream,
          GumbelSoftmaxBackwardKernel{s.dalpha, s.dout, s.soft, s.temperature, s.groups, s.rows,
                                      static_cast<int>(s.columns), lanes, tiles, s.accumulate},
          s.rows * tiles, threads, static_cast<std::size_t>(threads) * sizeof(float));
}

}  // namespace hwnas::cuda
