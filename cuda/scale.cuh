// SPDX-License-Identifier: MIT
// A constant times an array, and a constant times one number spread over an array (the gradient of a sum).
#pragma once

#include "platform.cuh"

namespace hwnas::cuda {

template <int V>
struct ScaleKernel {
    static constexpr int registers = 24;
    float* out;
    const float* x;
    float factor;
    i32 accumulate;
    __device__ void operator()(i64 i) const {
        const auto v = load<V>(x + i * V);
        auto y = accumulate ? load<V>(out + i * V) : zeros<V>();
#pragma unroll
        for (int k = 0; k < V; ++k) y[k] += factor * v[k];
        store(out + i * V, y);
    }
};
template <int V>
struct BroadcastKernel {
    static constexpr int registers = 24;
    float* out;
    const float* x;
    float factor;
    i32 accumulate;
    __device__ void operator()(i64 i) const {
        const float value = factor * x[0];
        auto y = accumulate ? load<V>(out + i * V) : zeros<V>();
#pragma unroll
        for (int k = 0; k < V; ++k) y[k] += value;
        store(out + i * V, y);
    }
};

inline void launch(const Stream& stream, const contract::Scale<float>& s) {
    if (packs(4, s.n, s.out, s.x))
        for_each(stream, s.n / 4, ScaleKernel<4>{s.out, s.x, s.factor, s.accumulate});
    else
        for_each(stream, s.n, ScaleKernel<1>{s.out, s.x, s.factor, s.accumulate});
}
inline void launch(const Stream& stream, const contract::Broadcast<float>& s) {
    if (packs(4, s.n, s.out))
        for_each(stream, s.n / 4, BroadcastKernel<4>{s.out, s.x, s.factor, s.accumulate});
    else
        for_each(stream, s.n, BroadcastKernel<1>{s.out, s.x, s.factor, s.accumulate});
}

}  // namespace hwnas::cuda
