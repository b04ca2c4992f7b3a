// SPDX-License-Identifier: MIT
// Batch normalisation kernels: sums over the batch (norm_sums.cuh), and passes that apply what they say, what belongs
// to a channel held in registers.
#pragma once

#include "norm_sums.cuh"

namespace hwnas::cuda {

template <int V>
struct BatchNormApplyKernel {
    static constexpr int threads = 256, registers = 48, unroll = 2;
    float* y;
    const float *x, *mean, *gain, *offset, *skip, *gate;
    Sweep sweep;
    i32 accumulate;
    __device__ void operator()() const {
        const Walk walk = sweep.walk();
        if (walk.left == 0) return;
        const i64 c = i64{sweep.rows.packs} * V, step = sweep.rows.lanes * c;
        const float take = gate ? gate[0] : 1.0f, keep = skip ? gate[1] : 0.0f;
        const auto m = load<V>(mean + walk.column * V);
        auto g = load<V>(gain + walk.column * V), b = load<V>(offset + walk.column * V);
#pragma unroll
        for (int k = 0; k < V; ++k) g[k] *= take, b[k] *= take;
        i64 at = walk.first * c + walk.column * V;
        for (int left = walk.left; left > 0; left -= unroll, at += unroll * step) {
            Pack<V> v[unroll], other[unroll], old[unroll];
#pragma unroll
            for (int u = 0; u < unroll; ++u) {
                v[u] = load_if<V>(u < left, x + at + u * step);
                other[u] = load_if<V>(skip && u < left, skip + at + u * step);
                old[u] = load_if<V>(accumulate && u < left, y + at + u * step);
            }
#pragma unroll
            for (int u = 0; u < unroll; ++u) {
#pragma unroll
                for (int k = 0; k < V; ++k) {
                    v[u][k] = (v[u][k] - m[k]) * g[k] + b[k];
                    if (skip) v[u][k] += keep * other[u][k];
                    v[u][k] += old[u][k];
                }
                if (u < left) store(y + at + u * step, v[u]);
            }
        }
    }
};

struct BatchNormFreezeKernel {
    static constexpr int registers = 32;
    contract::BatchNormFreeze<float> s;
    __device__ void operator()(i64 j) const {
        const auto inverse =
            static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.var[j]) + static_cast<double>(s.epsilon)));
        s.inv_std[j] = inverse;
        s.gain[j] = inverse * (s.scale ? s.scale[j] : 1.0f);
        s.offset[j] = s.shift ? s.shift[j] : 0.0f;
    }
};

template <int V>
struct BatchNormBackwardKernel {
    static constexpr int threads = 256, registers = 64, unroll = 2;
    float *dx, *dskip;
    const float *dy, *x, *scale, *mean, *inv_std, *means, *gate;
    Sweep sweep;
    i32 accumulate, accumulate_skip;
    __device__ void operator()() const {
        const Walk walk = sweep.walk();
        if (walk.left == 0) return;
        const i64 c = i64{sweep.rows.packs} * V, step = sweep.rows.lanes * c;
        const int channel = walk.column * V;
        const float take = gate ? gate[0] : 1.0f, keep = dskip ? gate[1] : 0.0f;
        const auto m = load<V>(mean + channel), inverse = load<V>(inv_std + channel);
        auto gain = inverse, base = load_if<V>(means, means + channel), slope = load_if<V>(means, means + c + channel);
#pragma unroll
        for (int k = 0; k < V; ++k) {
            gain[k] *= scale ? scale[channel + k] : 1.0f;
            base[k] *= -gain[k];
            slope[k] *= -gain[k] * inverse[k];
            gain[k] *= take;
        }
        i64 at = walk.first * c + channel;
        for (int left = walk.left; left > 0; left -= unroll, at += unroll * step) {
            Pack<V> d[unroll], v[unroll], old[unroll];
#pragma unroll
            for (int u = 0; u < unroll; ++u) {
                d[u] = load_if<V>(u < left, dy + at + u * step);
                v[u] = load_if<V>(means && u < left, x + at + u * step);
                old[u] = load_if<V>(accumulate && u < left, dx + at + u * step);
            }
#pragma unroll
            for (int u = 0; u < unroll; ++u) {
#pragma unroll
                for (int k = 0; k < V; ++k) {
                    float out = d[u][k] * gain[k];
                    if (means) out += (v[u][k] - m[k]) * slope[k] + base[k];
                    old[u][k] += out;
                }
                if (u < left) store(dx + at + u * step, old[u]);
            }
            if (!dskip) continue;
#pragma unroll
            for (int u = 0; u < unroll; ++u) old[u] = load_if<V>(accumulate_skip && u < left, dskip + at + u * step);
#pragma unroll
            for (int u = 0; u < unroll; ++u) {
#pragma unroll
                for (int k = 0; k < V; ++k) old[u][k] += keep * d[u][k];
                if (u < left) store(dskip + at + u * step, old[u]);
            }
        }
    }
};

template <int V>
void launch_packs(const Stream& stream, const contract::BatchNormApply<float>& s) {
    using Kernel = BatchNormApplyKernel<V>;
    const Sweep sweep(stream, s.rows, s.c / V, Kernel::threads);
    start(stream, Kernel{s.y, s.x, s.mean, s.gain, s.offset, s.skip, s.gate, sweep, s.accumulate}, sweep.blocks(),
          sweep.rows.threads());
}
template <int V>
void launch_packs(const Stream& stream, const contract::BatchNormBackward<float>& s) {
    using Kernel = BatchNormBackwardKernel<V>;
    const Sweep sweep(stream, s.rows, s.c / V, Kernel::threads);
    start(stream,
          Kernel{s.dx, s.dskip, s.dy, s.x, s.scale, s.mean, s.inv_std, s.means, s.gate, sweep, s.accumulate,
                 s.accumulate_skip},
          sweep.blocks(), sweep.rows.threads());
}
template <class S>
void launch_norm(const Stream& stream, const S& s, bool fits) {
    if (fits)
        launch_packs<4>(stream, s);
    else
        launch_packs<1>(stream, s);
}

inline void launch(const Stream& stream, const contract::BatchNormStatistics<float>& s) {
    launch_norm(stream, s, packs(4, s.c, s.partial, s.x));
}
inline void launch(const Stream& stream, const contract::BatchNormGradientSums<float>& s) {
    launch_norm(stream, s, packs(4, s.c, s.partial, s.dy, s.x, s.mean, s.inv_std, s.skip));
}
inline void launch(const Stream& stream, const contract::BatchNormApply<float>& s) {
    launch_norm(stream, s, packs(4, s.c, s.y, s.x, s.mean, s.gain, s.offset, s.skip));
}
inline void launch(const Stream& stream, const contract::BatchNormBackward<float>& s) {
    launch_norm(stream, s, packs(4, s.c, s.dx, s.dskip, s.dy, s.x, s.mean, s.inv_std, s.means));
}
inline void launch(const Stream& stream, const contract::BatchNormFreeze<float>& s) {
    for_each(stream, s.c, BatchNormFreezeKernel{s});
}

}  // namespace hwnas::cuda
