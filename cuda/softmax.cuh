// SPDX-License-Identifier: MIT
// Softmax kernels, and what kernels over rows share. Rows are short (primitives, classes): as many neighbouring threads
// as hold a row, up to a warp, keep an element each in a register and meet in shuffles; longer rows are walked.
#pragma once

#include "platform.cuh"

#include <climits>
#include <cmath>

namespace hwnas::cuda {

/// Threads that share a row: a power of two, at most a warp.
inline int row_lanes(i64 columns) {
    int lanes = 1;
    while (lanes < columns && lanes < 32) lanes *= 2;
    return lanes;
}
/// The sum over the `lanes` threads of a row, in all of them.
template <class T>
__device__ T row_sum(T value, int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}
__device__ inline float row_max(float value, int lanes) {  // of numbers
    for (int step = lanes / 2; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

/// An element and where it stands; of equals the first is better.
struct Best {
    float value = -INFINITY;
    int index = INT_MAX;
    __device__ void meet(const Best& other) {
        if (other.value > value || (other.value == value && other.index < index)) *this = other;
    }
};
__device__ inline Best row_best(Best best, int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2)
        best.meet({__shfl_xor_sync(0xffffffffu, best.value, step), __shfl_xor_sync(0xffffffffu, best.index, step)});
    return best;
}

/// Which row a thread works on, and which of its lanes it is.
struct RowLane {
    i64 row;
    int lane;
    __device__ explicit RowLane(int lanes)
        : row(static_cast<i64>(blockIdx.x) * (static_cast<int>(blockDim.x) / lanes) +
              static_cast<int>(threadIdx.x) / lanes),
          lane(static_cast<int>(threadIdx.x) % lanes) {}
};
/// Starts a kernel with `lanes` threads a row.
template <class Body>
void start_rows(const Stream& stream, const Body& body, i64 rows, int lanes) {
    start(stream, body, blocks_of(rows, Body::threads / lanes));
}

/// y = softmax of x / temperature, by `lanes` threads of which this is one; `own` is x[lane] (or -inf beyond the row).
/// x and y may be one. A NaN or an infinity that cannot win makes `sum`, and with it the row, NaN. A thread without a
/// row calls it with columns = 0, since the shuffles need it.
struct RowSoftmax {
    float largest, sum, own;
};
__device__ inline RowSoftmax softmax_row(float* y, const float* x, float own, int columns, int lane, int lanes,
                                         float inverse_temperature = 1.0f) {
    RowSoftmax result{own, 0.0f, 0.0f};
    for (int c = lane + lanes; c < columns; c += lanes) result.largest = fmaxf(result.largest, x[c]);
    result.largest = row_max(result.largest, lanes);
    const auto power = [&](float v) { return expf((v - result.largest) * inverse_temperature); };
    own = power(own);
    float sum = lane < columns ? own : 0.0f;
    for (int c = lane + lanes; c < columns; c += lanes) sum += power(x[c]);
    result.sum = row_sum(sum, lanes);
    const float factor = 1.0f / result.sum;
    result.own = own * factor;
    if (lane < columns) y[lane] = result.own;
    for (int c = lane + lanes; c < columns; c += lanes) y[c] = power(x[c]) * factor;  // cheaper than to keep
    return result;
}

struct SoftmaxForwardKernel {
    static constexpr int threads = 128, registers = 40;
    float* y;
    const float* x;
    i64 rows;
    int columns, lanes;
    __device__ void operator()() const {
        const RowLane at(lanes);
        const int width = at.row < rows ? columns : 0;
        const i64 first = at.row * columns;
        softmax_row(y + first, x + first, at.lane < width ? x[first + at.lane] : -INFINITY, width, at.lane, lanes);
    }
};
struct SoftmaxBackwardKernel {
    static constexpr int threads = 128, registers = 40;
    float* dx;
    const float *dy, *y;
    i64 rows;
    int columns, lanes;
    i32 accumulate;
    __device__ void operator()() const {
        const RowLane at(lanes);
        const int width = at.row < rows ? columns : 0;
        const i64 first = at.row * columns;
        const float *const d = dy + first, *const v = y + first;
        float dot = 0.0f;
        for (int c = at.lane; c < width; c += lanes) dot += d[c] * v[c];
        dot = row_sum(dot, lanes);
        for (int c = at.lane; c < width; c += lanes) {
            float* const out = dx + first + c;
            *out = (accumulate ? *out : 0.0f) + v[c] * (d[c] - dot);
        }
    }
};

inline void launch(const Stream& stream, const contract::SoftmaxForward<float>& s) {
    const int lanes = row_lanes(s.columns);
    start_rows(stream, SoftmaxForwardKernel{s.y, s.x, s.rows, static_cast<int>(s.columns), lanes}, s.rows, lanes);
}
inline void launch(const Stream& stream, const contract::SoftmaxBackward<float>& s) {
    const int lanes = row_lanes(s.columns);
    start_rows(stream, SoftmaxBackwardKernel{s.dx, s.dy, s.y, s.rows, static_cast<int>(s.columns), lanes, s.accumulate},
               s.rows, lanes);
}

}  // namespace hwnas::cuda
