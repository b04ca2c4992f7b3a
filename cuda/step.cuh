// SPDX-License-Identifier: MIT
// Counters and running sums of a training step: one number, one thread.
#pragma once

#include "platform.cuh"

namespace hwnas::cuda {

struct AdvanceKernel {
    static constexpr int threads = 32, registers = 16;
    i64* counter;
    i64 by;
    __device__ void operator()() const {
        if (threadIdx.x == 0) *counter += by;
    }
};
struct ScalarAccumulateKernel {
    static constexpr int threads = 32, registers = 16;
    double* sum;
    const float* value;
    double weight;
    __device__ void operator()() const {
        if (threadIdx.x == 0) *sum += weight * static_cast<double>(*value);
    }
};

inline void launch(const Stream& stream, const contract::Advance& s) {
    start(stream, AdvanceKernel{s.counter, s.by}, 1);
}
inline void launch(const Stream& stream, const contract::ScalarAccumulate<float>& s) {
    start(stream, ScalarAccumulateKernel{s.sum, s.value, s.weight}, 1);
}

}  // namespace hwnas::cuda
