// SPDX-License-Identifier: MIT
// ReLU kernels: elementwise, 16 bytes a thread where the arrays allow it.
#pragma once

#include "platform.cuh"

namespace hwnas::cuda {

template <int V>
struct ReluForwardKernel {
    static constexpr int registers = 24;
    float* y;
    const float* x;
    __device__ void operator()(i64 i) const {
        auto v = load<V>(x + i * V);
#pragma unroll
        for (int k = 0; k < V; ++k) v[k] = v[k] < 0.0f ? 0.0f : v[k];  // keeps NaN
        store(y + i * V, v);
    }
};
template <int V>
struct ReluBackwardKernel {
    static constexpr int registers = 32;
    float* dx;
    const float *dy, *y;
    i32 accumulate;
    __device__ void operator()(i64 i) const {
        const auto d = load<V>(dy + i * V), v = load<V>(y + i * V);
        auto out = accumulate ? load<V>(dx + i * V) : zeros<V>();
#pragma unroll
        for (int k = 0; k < V; ++k) out[k] += v[k] > 0.0f ? d[k] : 0.0f;
        store(dx + i * V, out);
    }
};

inline void launch(const Stream& stream, const contract::ReluForward<float>& s) {
    if (packs(4, s.n, s.y, s.x))
        for_each(stream, s.n / 4, ReluForwardKernel<4>{s.y, s.x});
    else
        for_each(stream, s.n, ReluForwardKernel<1>{s.y, s.x});
}
inline void launch(const Stream& stream, const contract::ReluBackward<float>& s) {
    if (packs(4, s.n, s.dx, s.dy, s.y))
        for_each(stream, s.n / 4, ReluBackwardKernel<4>{s.dx, s.dy, s.y, s.accumulate});
    else
        for_each(stream, s.n, ReluBackwardKernel<1>{s.dx, s.dy, s.y, s.accumulate});
}

}  // namespace hwnas::cuda
