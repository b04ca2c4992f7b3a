// SPDX-License-Identifier: MIT
// Cross-entropy kernels, rows as in softmax.cuh. Forward is one block: a batch has about a thousand logits, and their
// mean, in double, is one number.
#pragma once

#include "softmax.cuh"

#include <algorithm>

namespace hwnas::cuda {

struct CrossEntropyForwardKernel {
    static constexpr int threads = 1024, registers = 40;
    float *loss, *probs;
    const float* logits;
    const i32* labels;
    i64 n;
    int classes, lanes;
    double on, off;  // smoothed: what the label's logit and what every logit counts
    __device__ void operator()() const {
        const RowLane at(lanes);
        const int together = static_cast<int>(blockDim.x) / lanes;
        double sum = 0;
        for (i64 begin = 0; begin < n; begin += together) {
            const i64 row = begin + at.row, first = row * classes;
            const int width = row < n ? classes : 0;
            const float* const x = logits + first;
            const auto softmax =
                softmax_row(probs + first, x, at.lane < width ? x[at.lane] : -INFINITY, width, at.lane, lanes);
            double all = 0;  // sum_c (x - largest)
            if (off != 0) {
                for (int c = at.lane; c < width; c += lanes) all += static_cast<double>(x[c] - softmax.largest);
                all = off * row_sum(all, lanes);
            }
            if (at.lane == 0 && row < n) {
                const int label = labels[row];
                const bool exists = label >= 0 && label < classes;
                const double expected = exists ? static_cast<double>(x[label] - softmax.largest) : NAN;
                sum += log(static_cast<double>(softmax.sum)) - (on * expected + all);
            }
        }
        sum = block_sum(sum, shared_memory<double>());
        if (threadIdx.x == 0) *loss = static_cast<float>(sum / static_cast<double>(n));
    }
};
struct CrossEntropyBackwardKernel {
    static constexpr int threads = 128, registers = 40;
    float* dlogits;
    const float *dloss, *probs;
    const i32* labels;
    i64 n;
    int classes, lanes;
    float on, off;  // q at the label and elsewhere
    i32 accumulate;
    __device__ void operator()() const {
        const RowLane at(lanes);
        if (at.row >= n) return;
        const float scale = *dloss / static_cast<float>(n);
        const int label = labels[at.row];
        for (int c = at.lane; c < classes; c += lanes) {
            const i64 i = at.row * classes + c;
            dlogits[i] = (accumulate ? dlogits[i] : 0.0f) + scale * (probs[i] - (c == label ? on : off));
        }
    }
};

inline void launch(const Stream& stream, const contract::CrossEntropyForward<float>& s) {
    const int lanes = row_lanes(s.classes);
    const i64 threads = std::min<i64>(blocks_of(s.n * lanes, 32) * 32, CrossEntropyForwardKernel::threads);
    const double smoothing = static_cast<double>(s.smoothing);
    start(stream,
          CrossEntropyForwardKernel{s.loss, s.probs, s.logits, s.labels, s.n, static_cast<int>(s.classes), lanes,
                                    1 - smoothing, smoothing / static_cast<double>(s.classes)},
          1, static_cast<int>(threads), 32 * sizeof(double));
}
inline void launch(const Stream& stream, const contract::CrossEntropyBackward<float>& s) {
    const int lanes = row_lanes(s.classes);
    const float off = s.smoothing / static_cast<float>(s.classes), on = 1.0f - s.smoothing + off;
    start_rows(stream,
               CrossEntropyBackwardKernel{s.dlogits, s.dloss, s.probs, s.labels, s.n, static_cast<int>(s.classes),
                                          lanes, on, off, s.accumulate},
               s.n, lanes);
}

}  // namespace hwnas::cuda
