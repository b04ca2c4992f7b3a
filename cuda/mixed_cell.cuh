// SPDX-License-Identifier: MIT
// Kernels of whole relaxed cells of bare primitives. A block has some channels of one image, all vertices of which it
// keeps: in shared memory what neighbours have to see, with a border of zeros, in registers what a thread sums. A
// thread stands over a few rows of one column of one channel. Forward, source by source: a vertex lies in shared
// memory, its pool is made once, and it is added to the sums of all later nodes, which every thread holds for its own
// places. Backward, from the last node to the inputs: the gradients of all nodes lie in shared memory; a window of one
// gives the gradient of its source and the correlation with it at once. Only inputs, nodes and their gradients pass
// through global memory.
#pragma once

#include "cell_unit.cuh"

namespace hwnas::cuda {

template <int R>
struct MixedCellForwardKernel {
    static constexpr std::size_t shared_limit = most_shared_bytes_of_any;
    static constexpr int threads = R == 7 ? 448 : 512, resident = R == 7 ? 2 : 1, registers = R == 7 ? 72 : 128;
    contract::MixedCellForward<float> s;
    CellUnit unit;
    CellSlots slots;
    using Sums = float[cell_nodes][R];

    static std::size_t shared_bytes(const CellUnit& unit, int edges) {
        return static_cast<std::size_t>((edges * CellSlots::size << unit.shift) + 2 * unit.plane()) * sizeof(float);
    }
    __device__ void operator()() const {
        const auto groups = static_cast<unsigned>(unit.groups);
        const i64 image = blockIdx.x / groups;
        const int group = static_cast<int>(blockIdx.x % groups);
        const auto place = unit.mine(group);
        float* const taps = shared_memory<float>();
        float* const planes = taps + (s.graph.count * CellSlots::size << unit.shift);
        const int plane = unit.plane();
        CellSlots::fill(taps, s, unit, s.groups > 1 ? image : 0, group);
        unit.for_border([&](int i) { planes[i] = planes[plane + i] = 0.0f; });
        for (int v = 0; v < s.graph.inputs; ++v) {
            float* const to = planes + v * plane;
            const float* const x = s.x[v];
            unit.for_rows<R>(image, place, [&](int, i64 at, int inner) { to[inner] = x[at]; });
        }
        __syncthreads();
        Sums sum = {};
        for (int v = 0; v < s.graph.inputs; ++v) push<0>(sum, planes + v * plane, taps, v, place);
        finish<0>(sum, planes, taps, image, place);
    }

private:
    /// Node K is complete: stores it and adds it to the nodes behind it. A plane is written when nobody reads it any
    /// more: of the two, that which was read before the last barrier.
    template <int K>
    __device__ void finish(Sums& sum, float* planes, const float* taps, i64 image, const CellUnit::Place& place) const {
        if (K >= s.graph.nodes) return;
        const bool last = K + 1 == s.graph.nodes;
        if (K == 0 && !last) __syncthreads();
        float* const plane = planes + K % 2 * unit.plane();
        float* const u = s.u[K];
        unit.for_rows<R>(image, place, [&](int r, i64 at, int inner) {
            u[at] = sum[K][r];
            if (!last) plane[inner] = sum[K][r];
        });
        if (last) return;
        __syncthreads();
        if constexpr (K + 1 < cell_nodes) {
            push<K + 1>(sum, plane, taps, s.graph.inputs + K, place);
            finish<K + 1>(sum, planes, taps, image, place);
        }
    }
    /// Adds vertex v to the sums of nodes First and later.
    template <int First>
    __device__ void push(Sums& sum, const float* plane, const float* taps, int v, const CellUnit::Place& place) const {
        if (place.count == 0) return;
        if (slots.pools[v]) {
            float gate[cell_nodes];
#pragma unroll
            for (int k = First; k < cell_nodes; ++k)
                gate[k] = CellTaps::gate_of(taps, slots.slot[v][k], unit, place.local);
            pool_rows<R>(plane, unit, place, [&](int r, const CellLargest& best) {
#pragma unroll
                for (int k = First; k < cell_nodes; ++k)
                    if (gate[k] != 0.0f) sum[k][r] += gate[k] * best.value;
            });
        }
        add<First>(sum, plane, taps, v, place);
    }
    /// Node by node: more filters at once, and two blocks would not find registers.
    template <int K>
    __device__ void add(Sums& sum, const float* plane, const float* taps, int v, const CellUnit::Place& place) const {
        CellTaps edge;
        keep_order();
        edge.read(taps, slots.slot[v][K], unit, place.local);
        if (edge.live) {
            float window[3][3];
            WindowRows rows(plane, unit, place);
            rows.next(window[0]);
            rows.next(window[1]);
#pragma unroll
            for (int r = 0; r < R; ++r) {
                keep_order();
                rows.next(window[(r + 2) % 3]);
                float more = 0;
#pragma unroll
                for (int k = 0; k < 9; ++k) more += edge.tap[k] * window[(r + k / 3) % 3][k % 3];
                sum[K][r] += more;
            }
        }
        if constexpr (K + 1 < cell_nodes) add<K + 1>(sum, plane, taps, v, place);
    }
};

template <int R>
struct MixedCellBackwardKernel {
    static constexpr std::size_t shared_limit = most_shared_bytes_of_any;
    static constexpr int threads = R % 7 == 0 ? 224 : 256, resident = 2, registers = 128;
    static constexpr int sums = 10;  // of an edge and channel: correlations and the product with the pool
    contract::MixedCellBackward<float> s;
    CellUnit unit;
    CellSlots slots;
    Chunks chunks;
    int warps;

    /// Shared memory, part by part.
    struct Shared {
        float *taps, *totals, *parts, *vertex, *gradients;
        u8* chosen;
        __device__ Shared(const MixedCellBackwardKernel& kernel) {
            const int edges = kernel.s.graph.count << kernel.unit.shift;
            taps = shared_memory<float>();
            totals = taps + edges * CellSlots::size;
            parts = totals + edges * sums;
            vertex = parts + (cell_nodes * sums * kernel.warps << kernel.unit.shift);
            gradients = vertex + kernel.unit.plane();
            chosen = reinterpret_cast<u8*>(gradients + cell_nodes * kernel.unit.plane());
        }
    };
    using Column = float[R];

    __device__ void operator()() const {
        const auto groups = static_cast<unsigned>(unit.groups), chunk = blockIdx.x / groups;
        const int group = static_cast<int>(blockIdx.x % groups), t = static_cast<int>(threadIdx.x),
                  block = static_cast<int>(blockDim.x);
        const auto place = unit.mine(group);
        const Shared shared(*this);
        CellSlots::fill(shared.taps, s, unit, s.groups > 1 ? chunk : 0, group);
        for (int i = t; i < s.graph.count * sums << unit.shift; i += block) shared.totals[i] = 0.0f;
        unit.for_border([&](int i) {
            shared.vertex[i] = 0.0f;
            shared.chosen[i] = 255;  // no tap
            for (int k = 0; k < s.graph.nodes; ++k) shared.gradients[k * unit.plane() + i] = 0.0f;
        });
        for (i64 image = chunks.begin(chunk); image < chunks.begin(chunk + 1); ++image) {
            for (int k = s.graph.nodes - 1; k >= 0; --k) {
                Column d = {};
                const float* const dy = s.dy[k];
                if (dy) unit.for_rows<R>(image, place, [&](int r, i64 at, int) { d[r] = dy[at]; });
                if (k + 1 < s.graph.nodes) gather(d, shared, s.u[k], s.graph.inputs + k, k + 1, true, image, place);
                float* const to = shared.gradients + k * unit.plane();
                unit.for_rows<R>(image, place, [&](int r, i64, int inner) { to[inner] = d[r]; });
            }
            for (int v = 0; v < s.graph.inputs; ++v) {
                float* const dx = s.dx[v];
                Column d = {};
                if (dx && s.accumulate >> v & 1u)
                    unit.for_rows<R>(image, place, [&](int r, i64 at, int) { d[r] = dx[at]; });
                gather(d, shared, s.x[v], v, 0, dx != nullptr, image, place);
                if (dx) unit.for_rows<R>(image, place, [&](int r, i64 at, int) { dx[at] = d[r]; });
            }
        }
        if (s.partial) store_totals(shared, chunk, group);
    }

private:
    /// Adds to d, unless it is not wanted, the gradient of vertex v, x, from nodes `first` and later, and to the totals
    /// what their edges correlate. All threads call it; what was written to the gradients before is visible inside.
    __device__ void gather(Column& d, const Shared& shared, const float* x, int v, int first, bool wanted, i64 image,
                           const CellUnit::Place& place) const {
        const bool pools = slots.pools[v];
        Column pooled = {}, gated = {};
        unit.for_rows<R>(image, place, [&](int, i64 at, int inner) { shared.vertex[inner] = x[at]; });
        __syncthreads();
        std::uint64_t chosen = 0;  // taps, four bits each
        if (pools && place.count > 0)
            pool_rows<R>(shared.vertex, unit, place, [&](int r, const CellLargest& best) {
                pooled[r] = best.value;
                chosen |= static_cast<std::uint64_t>(best.tap) << 4 * r;
            });
        for (int k = first; k < s.graph.nodes; ++k) {
            if (slots.slot[v][k] < 0) continue;
            float sum[sums] = {};
            if (place.count > 0) window(d, gated, sum, pooled, shared, v, k, place);
            if (!s.partial) continue;
            const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
            for (int i = 0; i < sums; ++i) {
                for (int step = 16; step >= unit.channels(); step /= 2)
                    sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], step);
                if (lane < unit.channels())
                    shared.parts[(((k * sums + i) * warps + warp) << unit.shift) + lane] = sum[i];
            }
        }
        __syncthreads();
        if (s.partial) add_parts(shared, v, first);
        if (!pools || !wanted) return;
        // What the pool passes back lies where the vertex lay.
        unit.for_rows<R>(image, place, [&](int r, i64, int inner) {
            shared.vertex[inner] = gated[r];
            shared.chosen[inner] = static_cast<u8>(chosen >> 4 * r & 15);
        });
        __syncthreads();
        if (place.count > 0) unpool(d, shared, place);
        __syncthreads();
    }
    /// One edge: a window of its node's gradient over every place of this thread.
    __device__ void window(Column& d, Column& gated, float (&sum)[sums], const Column& pooled, const Shared& shared,
                           int v, int k, const CellUnit::Place& place) const {
        CellTaps edge;
        edge.read(shared.taps, slots.slot[v][k], unit, place.local);
        WindowRows rows(shared.gradients + k * unit.plane(), unit, place);
        int centre = unit.corner(place) + unit.step + unit.channels();
        float du[3][3];
        rows.next(du[0]);
        rows.next(du[1]);
#pragma unroll
        for (int r = 0; r < R; ++r) {
            if (r % 2 == 0) keep_order();
            rows.next(du[(r + 2) % 3]);
            if (r >= place.count) continue;
            const float value = shared.vertex[centre];
            centre = forgotten(centre + unit.step);
            // The filter turned round: what stands above was reached by the lowest tap.
#pragma unroll
            for (int i = 0; i < 9; ++i) {
                const float from = du[(r + i / 3) % 3][i % 3];
                d[r] += edge.tap[8 - i] * from;
                sum[8 - i] += value * from;
            }
            const float here = du[(r + 1) % 3][1];
            sum[9] += here * pooled[r];
            if (edge.gate != 0.0f) gated[r] += edge.gate * here;
        }
    }
    /// d += what reaches a place through the pools that have chosen it.
    __device__ void unpool(Column& d, const Shared& shared, const CellUnit::Place& place) const {
        int left = unit.corner(place);
#pragma unroll
        for (int i = 0; i < R + 2; ++i, left = forgotten(left + unit.step)) {
            if (i > place.count + 1) continue;
            if (i % 2 == 0) keep_order();
#pragma unroll
            for (int b = 0; b < 3; ++b) {
                const int at = left + (b << unit.shift), tap = shared.chosen[at];
                const float from = shared.vertex[at];
                // The row of windows i reaches the rows above it, at it and below it through its taps' rows.
#pragma unroll
                for (int a = 0; a < 3; ++a) {
                    const int r = i - 2 + a;
                    if (r >= 0 && r < R && tap == 3 * a + 2 - b) d[r] += from;
                }
            }
        }
    }
    /// The warps' sums of the edges from v, one after the other.
    __device__ void add_parts(const Shared& shared, int v, int first) const {
        const int size = sums << unit.shift;
        for (int i = static_cast<int>(threadIdx.x); i < (s.graph.nodes - first) * size;
             i += static_cast<int>(blockDim.x)) {
            const int k = first + i / size, item = i % size, slot = slots.slot[v][k];
            if (slot < 0) continue;
            const float* from = shared.parts + (((k * sums + (item >> unit.shift)) * warps) << unit.shift) +
                                (item & (unit.channels() - 1));
            float total = 0;
            for (int warp = 0; warp < warps; ++warp) total += from[warp << unit.shift];
            shared.totals[slot * size + item] += total;
        }
    }
    __device__ void store_totals(const Shared& shared, unsigned chunk, int group) const {
        __syncthreads();
        const int size = 9 * unit.c + unit.groups;
        const auto put = [&](float& to, float total) { to = s.resume ? to + total : total; };
        for (int i = static_cast<int>(threadIdx.x); i < s.graph.count * sums << unit.shift;
             i += static_cast<int>(blockDim.x)) {
            const int local = i & (unit.channels() - 1), item = i >> unit.shift, slot = item / sums,
                      k = item - slot * sums, channel = (group << unit.shift) + local;
            float* const to = s.partial + (i64{chunk} * s.graph.count + slot) * size;
            if (k < 9) {
                if (channel < unit.c) put(to[k * unit.c + channel], shared.totals[i]);
            } else if (local == 0) {
                float total = 0;
                for (int other = 0; other < unit.channels(); ++other) total += shared.totals[i + other];
                put(to[9 * unit.c + group], s.graph.column[slot] >= 0 ? total : 0.0f);
            }
        }
    }
};

inline void launch(const Stream& stream, const contract::MixedCellForward<float>& s) {
    const CellUnit unit(s.h, s.w, s.c, 8);
    const auto go = [&]<int R>() {
        using Kernel = MixedCellForwardKernel<R>;
        start(stream, Kernel{s, unit, CellSlots(s.graph)}, s.n * unit.groups, unit.threads(),
              Kernel::shared_bytes(unit, s.graph.count));
    };
    unit.rows <= 7 && unit.threads() <= MixedCellForwardKernel<7>::threads ? go.template operator()<7>()
                                                                           : go.template operator()<8>();
}
inline void launch(const Stream& stream, const contract::MixedCellBackward<float>& s) {
    const CellUnit unit(s.h, s.w, s.c, blocks_of(s.h, contract::cell_strips(s.h)));
    const auto bytes = static_cast<std::size_t>(contract::cell_bytes(s.h, s.w, s.c, s.graph.count));
    const auto go = [&]<int R>() {
        start(stream,
              MixedCellBackwardKernel<R>{s, unit, CellSlots(s.graph), Chunks(s.n, s.chunks), unit.threads() / 32},
              s.chunks * unit.groups, unit.threads(), bytes);
    };
    const bool narrow = unit.threads() <= MixedCellBackwardKernel<7>::threads;
    if (unit.rows <= 7 && narrow)
        go.template operator()<7>();
    else if (unit.rows <= 8)
        go.template operator()<8>();
    else if (unit.rows <= 14 && narrow)
        go.template operator()<14>();
    else
        go.template operator()<16>();
}

}  // namespace hwnas::cuda
