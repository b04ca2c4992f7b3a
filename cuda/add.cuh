// SPDX-License-Identifier: MIT
// Sum and difference of two arrays, the second one repeated along the first; and how a repeated operand is read. A
// thread does 16 bytes where the arrays allow it: one remainder for four elements, in 32 bits while it fits, is hidden
// behind memory.
#pragma once

#include "platform.cuh"

namespace hwnas::cuda {

/// i mod period
__device__ inline i64 phase_of(i64 i, i64 period) {
    if (i < period) return i;  // always, where nothing is repeated
    if ((i | period) >> 32) return i % period;
    return static_cast<unsigned>(i) % static_cast<unsigned>(period);
}
/// b[i mod period] for the V elements from i on; `whole`: period is a multiple of V and b is aligned.
template <int V, bool whole>
__device__ Pack<V> load_periodic(const float* b, i64 i, i64 period) {
    i64 phase = phase_of(i, period);
    if constexpr (whole) {
        return load<V>(b + phase);
    } else {
        Pack<V> v;
#pragma unroll
        for (int k = 0; k < V; ++k) {
            v[k] = b[phase];
            if (++phase == period) phase = 0;
        }
        return v;
    }
}
/// Calls f.template operator()<V, whole>() with what load_periodic() can do for these arrays.
template <class F, class... Pointers>
void with_packs(i64 n, i64 period, const float* b, F&& f, const Pointers*... pointers) {
    if (!packs(4, n, pointers...))
        f.template operator()<1, true>();
    else if (packs(4, period, b))
        f.template operator()<4, true>();
    else
        f.template operator()<4, false>();
}

template <int V, bool whole>
struct AddKernel {
    static constexpr int registers = 32;
    float* out;
    const float *a, *b;
    i64 period;
    float beta;
    __device__ void operator()(i64 i) const {
        const auto u = load<V>(a + i * V), v = load_periodic<V, whole>(b, i * V, period);
        Pack<V> sum;
#pragma unroll
        for (int k = 0; k < V; ++k) sum[k] = u[k] + beta * v[k];
        store(out + i * V, sum);
    }
};

inline void launch(const Stream& stream, const contract::Add<float>& s) {
    with_packs(
        s.n, s.period, s.b,
        [&]<int V, bool whole>() { for_each(stream, s.n / V, AddKernel<V, whole>{s.out, s.a, s.b, s.period, s.beta}); },
        s.out, s.a);
}

}  // namespace hwnas::cuda
