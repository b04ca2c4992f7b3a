// SPDX-License-Identifier: MIT
// Accuracy kernel: one block counts rows, which are shared as in softmax.cuh.
#pragma once

#include "softmax.cuh"

#include <algorithm>

namespace hwnas::cuda {

struct AccuracyKernel {
    static constexpr int threads = 1024, registers = 48;
    float* out;
    const float* logits;
    const i32* labels;
    i64 n;
    int classes, lanes;
    __device__ void operator()() const {
        const RowLane at(lanes);
        const int together = static_cast<int>(blockDim.x) / lanes;
        i64 right = 0;
        for (i64 begin = 0; begin < n; begin += together) {
            const i64 row = begin + at.row;
            const float* const x = logits + row * classes;
            Best best;
            for (int c = at.lane; c < (row < n ? classes : 0); c += lanes)
                best.meet(x[c] == x[c] ? Best{x[c], c} : Best{INFINITY, -1});  // a row with a NaN has no largest logit
            best = row_best(best, lanes);
            if (at.lane == 0 && row < n) right += best.index >= 0 && best.index == labels[row];
        }
        right = block_sum(right, shared_memory<i64>());
        if (threadIdx.x == 0) *out = static_cast<float>(static_cast<double>(right) / static_cast<double>(n));
    }
};

inline void launch(const Stream& stream, const contract::Accuracy<float>& s) {
    const int lanes = row_lanes(s.classes);
    const i64 threads = std::min<i64>(blocks_of(s.n * lanes, 32) * 32, AccuracyKernel::threads);
    start(stream, AccuracyKernel{s.out, s.logits, s.labels, s.n, static_cast<int>(s.classes), lanes}, 1,
          static_cast<int>(threads), 32 * sizeof(i64));
}

}  // namespace hwnas::cuda
