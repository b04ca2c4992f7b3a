// SPDX-License-Identifier: MIT
// Product of two arrays, the second one repeated along the first, and the gradient of that second one.
#pragma once

#include "add.cuh"
#include "column_sum.cuh"

namespace hwnas::cuda {

template <int V, bool whole>
struct MultiplyKernel {
    static constexpr int registers = 32;
    float* out;
    const float *a, *b;
    i64 period;
    i32 accumulate;
    __device__ void operator()(i64 i) const {
        const auto u = load<V>(a + i * V), v = load_periodic<V, whole>(b, i * V, period);
        auto product = accumulate ? load<V>(out + i * V) : zeros<V>();
#pragma unroll
        for (int k = 0; k < V; ++k) product[k] += u[k] * v[k];
        store(out + i * V, product);
    }
};

inline void launch(const Stream& stream, const contract::Multiply<float>& s) {
    with_packs(
        s.n, s.period, s.b,
        [&]<int V, bool whole>() {
            for_each(stream, s.n / V, MultiplyKernel<V, whole>{s.out, s.a, s.b, s.period, s.accumulate});
        },
        s.out, s.a);
}
inline void launch(const Stream& stream, const contract::MultiplyReduce<float>& s) {
    column_sums<true>(stream, {s.out, s.a, s.b, s.n, s.period, 1.0f, s.accumulate}, nullptr);
}

}  // namespace hwnas::cuda
