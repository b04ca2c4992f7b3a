// SPDX-License-Identifier: MIT
// Concatenation kernels: a thread finds out once which operand its column lies in, then copies down the rows.
#pragma once

#include "rows.cuh"

namespace hwnas::cuda {

/// The operands of a concatenation, side by side; extents in packs.
template <class Pointer>
struct ConcatOperands {
    Pointer at[contract::max_operands];
    int width[contract::max_operands], count;
    struct Place {
        Pointer at = nullptr;
        int index = 0, width = 0, column = 0;
    };
    __device__ Place find(int column) const {
        Place place;
        for (int j = 0; j < count; ++j) {
            if (column >= 0 && column < width[j]) place = {at[j], j, width[j], column};
            column -= width[j];
        }
        return place;
    }
};

template <int V>
struct ConcatForwardKernel {
    static constexpr int threads = 256, registers = 48, unroll = 4;
    float* y;
    ConcatOperands<const float*> from;
    Sweep sweep;
    __device__ void operator()() const {
        const Walk walk = sweep.walk();
        const auto place = from.find(walk.column);
        const i64 step = i64{sweep.rows.lanes} * sweep.rows.packs * V,
                  from_step = i64{sweep.rows.lanes} * place.width * V;
        float* to = y + (walk.first * sweep.rows.packs + walk.column) * V;
        const float* x = place.at + (walk.first * place.width + place.column) * V;
        for (int left = walk.left; left > 0; left -= unroll, to += unroll * step, x += unroll * from_step) {
            Pack<V> v[unroll];
#pragma unroll
            for (int u = 0; u < unroll; ++u) v[u] = load_if<V>(u < left, x + u * from_step);
#pragma unroll
            for (int u = 0; u < unroll; ++u)
                if (u < left) store(to + u * step, v[u]);
        }
    }
};

template <int V>
struct ConcatBackwardKernel {
    static constexpr int threads = 256, registers = 64, unroll = 4;
    const float* dy;
    ConcatOperands<float*> to;
    Sweep sweep;
    std::uint32_t accumulate;
    __device__ void operator()() const {
        const Walk walk = sweep.walk();
        const auto place = to.find(walk.column);
        if (!place.at) return;
        const bool add = accumulate >> place.index & 1u;
        const i64 step = i64{sweep.rows.lanes} * sweep.rows.packs * V,
                  to_step = i64{sweep.rows.lanes} * place.width * V;
        const float* from = dy + (walk.first * sweep.rows.packs + walk.column) * V;
        float* dx = place.at + (walk.first * place.width + place.column) * V;
        for (int left = walk.left; left > 0; left -= unroll, from += unroll * step, dx += unroll * to_step) {
            Pack<V> v[unroll], old[unroll];
#pragma unroll
            for (int u = 0; u < unroll; ++u) {
                v[u] = load_if<V>(u < left, from + u * step);
                old[u] = load_if<V>(add && u < left, dx + u * to_step);
            }
#pragma unroll
            for (int u = 0; u < unroll; ++u) {
#pragma unroll
                for (int k = 0; k < V; ++k) v[u][k] = add ? old[u][k] + v[u][k] : v[u][k];
                if (u < left) store(dx + u * to_step, v[u]);
            }
        }
    }
};

/// Whether all operands and `whole` move 16 bytes at a time.
template <class Pointer>
bool concat_packs(const Pointer* operands, const i64* channels, int count, const float* whole) {
    bool fits = packs(4, 0, whole);
    for (int j = 0; j < count; ++j) fits = fits && packs(4, channels[j], operands[j]);
    return fits;
}
template <int V, class Pointer>
ConcatOperands<Pointer> concat_operands(const Pointer* operands, const i64* channels, int count) {
    ConcatOperands<Pointer> all{};
    all.count = count;
    for (int j = 0; j < count; ++j) all.at[j] = operands[j], all.width[j] = static_cast<int>(channels[j] / V);
    return all;
}
template <int V>
void launch_concat(const Stream& stream, const contract::ConcatForward<float>& s, i64 total) {
    using Kernel = ConcatForwardKernel<V>;
    const Sweep sweep(stream, s.rows, total / V, Kernel::threads);
    start(stream, Kernel{s.y, concat_operands<V>(s.x, s.channels, s.count), sweep}, sweep.blocks(),
          sweep.rows.threads());
}
template <int V>
void launch_concat(const Stream& stream, const contract::ConcatBackward<float>& s, i64 total) {
    using Kernel = ConcatBackwardKernel<V>;
    const Sweep sweep(stream, s.rows, total / V, Kernel::threads);
    start(stream, Kernel{s.dy, concat_operands<V>(s.dx, s.channels, s.count), sweep, s.accumulate}, sweep.blocks(),
          sweep.rows.threads());
}
template <class S, class Pointer>
void launch_concat(const Stream& stream, const S& s, const Pointer* operands, const float* whole) {
    i64 total = 0;
    for (int j = 0; j < s.count; ++j) total += s.channels[j];
    if (total == 0 || s.rows == 0) return;
    if (concat_packs(operands, s.channels, s.count, whole))
        launch_concat<4>(stream, s, total);
    else
        launch_concat<1>(stream, s, total);
}

inline void launch(const Stream& stream, const contract::ConcatForward<float>& s) {
    launch_concat(stream, s, s.x, s.y);
}
inline void launch(const Stream& stream, const contract::ConcatBackward<float>& s) {
    launch_concat(stream, s, s.dx, s.dy);
}

}  // namespace hwnas::cuda
