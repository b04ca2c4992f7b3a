// SPDX-License-Identifier: MIT
// Adam kernel: one stream over the parameters, 16 bytes of each array a thread. Two threads of a block compute what the
// step number and the learning rate come to, in double, while the loads of all are under way.
#pragma once

#include "platform.cuh"

#include <cmath>

namespace hwnas::cuda {

template <int V>
struct AdamKernel {
    static constexpr int threads = 256, registers = 56;
    contract::Adam<float> s;
    __device__ void operator()() const {
        const i64 i = (static_cast<i64>(blockIdx.x) * threads + threadIdx.x) * V;
        const bool inside = i < s.n;
        Pack<V> p, m, v, g;
        if (inside) p = load<V>(s.p + i), m = load<V>(s.m + i), v = load<V>(s.v + i), g = load<V>(s.g + i);
        float* const factors = shared_memory<float>();  // lr / (1 - beta1^t); 1 / sqrt(1 - beta2^t)
        if (threadIdx.x < 2) {
            const double beta = static_cast<double>(threadIdx.x == 0 ? s.beta1 : s.beta2),
                         left = 1 - pow(beta, static_cast<double>(*s.step + 1));
            factors[threadIdx.x] =
                static_cast<float>(threadIdx.x == 0 ? static_cast<double>(*s.learning_rate) / left : 1 / sqrt(left));
        }
        __syncthreads();
        if (!inside) return;
        const float rate = factors[0], root = factors[1], new1 = 1.0f - s.beta1, new2 = 1.0f - s.beta2,
                    keep = static_cast<float>(1 - static_cast<double>(*s.learning_rate) *
                                                      static_cast<double>(s.weight_decay));
#pragma unroll
        for (int k = 0; k < V; ++k) {
            m[k] = m[k] * s.beta1 + g[k] * new1;
            v[k] = v[k] * s.beta2 + g[k] * g[k] * new2;
            p[k] = p[k] * keep - m[k] * rate / (sqrtf(v[k]) * root + s.epsilon);
        }
        store(s.m + i, m);
        store(s.v + i, v);
        store(s.p + i, p);
    }
};

inline void launch(const Stream& stream, const contract::Adam<float>& s) {
    const auto run = [&]<int V>(const AdamKernel<V>& kernel) {
        start(stream, kernel, blocks_of(s.n / V, AdamKernel<V>::threads), AdamKernel<V>::threads, 2 * sizeof(float));
    };
    if (packs(4, s.n, s.p, s.m, s.v, s.g))
        run(AdamKernel<4>{s});
    else
        run(AdamKernel<1>{s});
}

}  // namespace hwnas::cuda
