// SPDX-License-Identifier: MIT
// Kernels of whole relaxed cells of bare primitives. A block has some channels of one image, all vertices of which it
// keeps: in shared memory what neighbours have to see, with a border of zeros, in registers what a thread sums. A
// thread stands over a few rows of one column of one channel. Forward, source by source: a vertex lies in shared
// memory, its pool is made once, and it is added to the sums of all later nodes, which every thread holds for its own
// places. Backward, from the last node to the inputs: the gradients of all nodes lie in shared memory; a window of one
// gives the gradient of its source and the correlation with it at once. Only inputs, nodes and their gradients pass
// through global memory.
#pragma once

#include "rows.cuh"

#include <cmath>

namespace hwnas::cuda {

inline constexpr int cell_nodes = contract::max_cell_nodes,
                     cell_sources = contract::max_cell_inputs + contract::max_cell_nodes - 1;

/// The compiler would make all loads from shared memory at once and keep the multiples of a stride from one use to the
/// next, for which it has not got the registers: loads stay on their side of keep_order(), and of a number that has
/// been through forgotten() it knows nothing.
__device__ inline void keep_order() {
#if defined(__CUDA_ARCH__)
    asm volatile("" ::: "memory");
#endif
}
__device__ inline int forgotten(int number) {
#if defined(__CUDA_ARCH__)
    asm volatile("" : "+r"(number));
#endif
    return number;
}

/// Which channels, rows and columns of a block's image are whose.
struct CellUnit {
    struct Place {
        int local, channel, column, first, count;  // of the block, of all; rows [first, first + count)
    };
    int h, w, c, shift, groups, strips, rows;  // 1 << shift channels a block; strips of `rows` rows
    int line, step;                            // elements of a row of a tensor, of a plane
    CellUnit(i64 height, i64 width, i64 channels, i64 most_rows)
        : h(static_cast<int>(height)),
          w(static_cast<int>(width)),
          c(static_cast<int>(channels)),
          shift(0),
          groups(static_cast<int>(contract::cell_groups(height, width, channels))),
          strips(static_cast<int>(blocks_of(height, most_rows))),
          rows(static_cast<int>(blocks_of(height, strips))) {
        while (i64{1} << shift < contract::cell_channels(height, width, channels)) ++shift;
        line = w * c, step = (w + 2) << shift;
    }
    int threads() const { return static_cast<int>(blocks_of(i64{strips} * w << shift, 32) * 32); }
    __host__ __device__ int channels() const { return 1 << shift; }
    __host__ __device__ int plane() const { return (h + 2) * step; }
    __device__ Place mine(int group) const {
        const int t = static_cast<int>(threadIdx.x), item = t >> shift, strip = item / w;
        Place place;
        place.local = t & (channels() - 1);
        place.channel = (group << shift) + place.local;
        place.column = item - strip * w;
        place.first = strip * rows;
        place.count = strip < strips && place.channel < c ? std::min(rows, h - place.first) : 0;
        return place;
    }
    /// f(r, its element in a tensor, its element in a plane) for the rows of this thread, up to R of them.
    template <int R, class F>
    __device__ void for_rows(i64 image, const Place& place, const F& f) const {
        const i64 first = ((image * h + place.first) * w + place.column) * c + place.channel;
        int inner = corner(place) + step + channels(), below = 0;
#pragma unroll
        for (int r = 0; r < R; ++r) {
            if (r < place.count) f(r, first + below, inner);
            inner = forgotten(inner + step), below = forgotten(below + line);
        }
    }
    /// Where a plane holds the neighbour above and to the left of this thread's first place.
    __device__ int corner(const Place& place) const {
        return ((place.first * (w + 2) + place.column) << shift) + place.local;
    }
    /// f(index) for every element of a plane's border, shared out over the block.
    template <class F>
    __device__ void for_border(const F& f) const {
        const int wide = w + 2, lines = 2 * wide, all = lines + 2 * h;
        for (int i = static_cast<int>(threadIdx.x); i < all << shift; i += static_cast<int>(blockDim.x)) {
            const int cell = i >> shift, side = cell - lines;
            const int pixel = cell < wide    ? cell
                              : cell < lines ? (h + 1) * wide + cell - wide
                                             : (1 + side / 2) * wide + side % 2 * (w + 1);
            f((pixel << shift) + (i & (channels() - 1)));
        }
    }
};

/// The cell's edges as kernels look them up, and what belongs to an edge in shared memory: for each channel nine taps,
/// the weight of the pool and two numbers of padding.
struct CellSlots {
    static constexpr int size = 12, packs = size / 4;
    int slot[cell_sources][cell_nodes];
    bool pools[cell_sources];
    explicit CellSlots(const contract::CellEdges& graph) {
        for (int v = 0; v < cell_sources; ++v) {
            pools[v] = false;
            for (int k = 0; k < cell_nodes; ++k) slot[v][k] = -1;
        }
        for (int j = 0; j < graph.count; ++j) {
            slot[graph.from[j]][graph.to[j]] = j;
            pools[graph.from[j]] = pools[graph.from[j]] || graph.column[j] >= 0;
        }
    }
    /// Fills `taps` for the channels of a block.
    template <class S>
    __device__ static void fill(float* taps, const S& s, const CellUnit& unit, i64 draw, int group) {
        const int all = s.graph.count * size << unit.shift;
        for (int i = static_cast<int>(threadIdx.x); i < all; i += static_cast<int>(blockDim.x)) {
            const int local = i & (unit.channels() - 1), item = i >> unit.shift, j = item / size, k = item - j * size,
                      channel = (group << unit.shift) + local;
            float value = 0;
            if (k < 9 && channel < unit.c)
                value = s.filters[((draw * s.edges + s.graph.edge[j]) * 9 + k) * unit.c + channel];
            if (k == 9 && s.graph.column[j] >= 0) value = s.gamma[draw * s.gamma_stride + s.graph.column[j]];
            taps[((j << unit.shift) + local) * size + k] = value;
        }
    }
};
/// Of one edge and channel.
struct CellTaps {
    float tap[9], gate;
    bool live;  // does anything
    __device__ void read(const float* taps, int slot, const CellUnit& unit, int local) {
        const float* const from = taps + ((slot << unit.shift) + local) * CellSlots::size;
#pragma unroll
        for (int p = 0; p < CellSlots::packs; ++p) {
            const auto pack = slot < 0 ? zeros<4>() : load<4>(from + 4 * p);
#pragma unroll
            for (int i = 4 * p; i < 4 * p + 4 && i < 10; ++i) (i < 9 ? tap[i] : gate) = pack[i - 4 * p];
        }
        live = false;
#pragma unroll
        for (int k = 0; k < 9; ++k) live = live || tap[k] != 0.0f;
    }
    __device__ static float gate_of(const float* taps, int slot, const CellUnit& unit, int local) {
        return slot < 0 ? 0.0f : taps[((slot << unit.shift) + local) * CellSlots::size + 9];
    }
};

/// The three columns around a thread's places, row by row from the one above them.
class WindowRows {
public:
    __device__ WindowRows(const float* plane, const CellUnit& unit, const CellUnit::Place& place)
        : plane_(plane), unit_(unit), at_(unit.corner(place)), left_(place.count + 2) {}
    __device__ void next(float (&row)[3]) {
#pragma unroll
        for (int b = 0; b < 3; ++b) row[b] = left_ > 0 ? plane_[at_ + (b << unit_.shift)] : 0.0f;
        at_ = forgotten(at_ + unit_.step), --left_;
    }

private:
    const float* plane_;
    const CellUnit& unit_;
    int at_, left_;
};

/// A running maximum and its tap: the first largest, and the first NaN.
struct CellLargest {
    float value;
    int tap;
    __device__ void offer(float x, int x_tap) {
        const bool take = !(x <= value) && value == value;
        value = take ? x : value;
        tap = take ? x_tap : tap;
    }
};
/// The 3x3 pool of this thread's places, up to R rows of them: f(r, largest).
template <int R, class F>
__device__ void pool_rows(const float* plane, const CellUnit& unit, const CellUnit::Place& place, const F& f) {
    const int right = unit.channels();
    const bool has_left = place.column > 0, has_right = place.column + 1 < unit.w;
    CellLargest row[3];
    int at = unit.corner(place);
#pragma unroll
    for (int i = 0; i < R + 2; ++i, at = forgotten(at + unit.step)) {
        const int y = place.first + i - 1;
        auto& here = row[i % 3];
        keep_order();
        here = {-HUGE_VALF, has_left ? 0 : 1};
        if (i <= place.count + 1 && y >= 0 && y < unit.h) {
            if (has_left) here.value = plane[at];
            here.offer(plane[at + right], 1);
            if (has_right) here.offer(plane[at + 2 * right], 2);
        }
        if (i < 2) continue;
        const int r = i - 2;
        CellLargest best = row[r % 3];
        best.tap += place.first + r == 0 ? 3 : 0;  // no row above
#pragma unroll
        for (int a = 1; a < 3; ++a) best.offer(row[(r + a) % 3].value, row[(r + a) % 3].tap + 3 * a);
        f(r, best);
    }
}

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
