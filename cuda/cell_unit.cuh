// SPDX-License-Identifier: MIT
// What kernels of whole relaxed cells (mixed_cell.cuh) share: which channels, rows and columns are whose, what belongs
// to an edge, windows and pools of planes in shared memory.
#pragma once

#include "largest.cuh"
#include "rows.cuh"

namespace hwnas::cuda {

inline constexpr int cell_nodes = contract::max_cell_nodes,
                     cell_sources = contract::max_cell_inputs + contract::max_cell_nodes - 1;

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

}  // namespace hwnas::cuda
