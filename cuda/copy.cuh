// SPDX-License-Identifier: MIT
// Fill and copy kernels: elementwise, 16 bytes a thread where the arrays allow it.
#pragma once

#include "platform.cuh"

namespace hwnas::cuda {

template <int V>
struct FillKernel {
    static constexpr int registers = 16;
    float* out;
    float value;
    __device__ void operator()(i64 i) const {
        Pack<V> v;
#pragma unroll
        for (int k = 0; k < V; ++k) v[k] = value;
        store(out + i * V, v);
    }
};
template <int V, bool accumulate>
struct CopyKernel {
    static constexpr int registers = 24;
    float* out;
    const float* in;
    __device__ void operator()(i64 i) const {
        auto v = load<V>(in + i * V);
        if constexpr (accumulate) {
            const auto before = load<V>(out + i * V);
#pragma unroll
            for (int k = 0; k < V; ++k) v[k] += before[k];
        }
        store(out + i * V, v);
    }
};

inline void launch(const Stream& stream, const contract::Fill<float>& s) {
    if (packs(4, s.n, s.out))
        for_each(stream, s.n / 4, FillKernel<4>{s.out, s.value});
    else
        for_each(stream, s.n, FillKernel<1>{s.out, s.value});
}
inline void launch(const Stream& stream, const contract::Copy<float>& s) {
    const bool by_four = packs(4, s.n, s.out, s.in);
    if (by_four && s.accumulate)
        for_each(stream, s.n / 4, CopyKernel<4, true>{s.out, s.in});
    else if (by_four)
        for_each(stream, s.n / 4, CopyKernel<4, false>{s.out, s.in});
    else if (s.accumulate)
        for_each(stream, s.n, CopyKernel<1, true>{s.out, s.in});
    else
        for_each(stream, s.n, CopyKernel<1, false>{s.out, s.in});
}

}  // namespace hwnas::cuda
