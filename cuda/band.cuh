// SPDX-License-Identifier: MIT
// What kernels of relaxed nodes in one pass (mixed_band.cuh) share: how a tensor is cut into bands and comes to shared
// memory, the filter of an edge there, the rows that a thread goes over.
#pragma once

#include "largest.cuh"
#include "rows.cuh"
#include "window.cuh"

namespace hwnas::cuda {

/// How tensors [n, h, w, c] are cut into bands, and a block's threads into slots of a band each. A row that has more
/// columns than a band's threads is cut into tiles; a tile's threads stand over a column more on either side.
class Band {
public:
    static constexpr int rows_most = contract::band_rows, threads_most = contract::band_threads;
    struct Place {
        int image, top, at, channel, column;  // top: the band's first element; at: element of the band's row
        int first, count;                     // rows [first, first + count)
        int low, high;                        // rows [low, high) of the band exist, counted from the one above
        int tile;                             // first element of the row that the band has, may lie before the row
        int part;                             // 0: there is no band, 1: no such column, 2: it is a neighbour, 3: mine
        __device__ bool there() const { return part >= 1; }
        __device__ bool inside() const { return part >= 2; }
        __device__ bool mine() const { return part == 3; }
    };
    int h, w, c, line, span, rows, slots;  // line: elements of a row; span: of a band's row
    bool wide;                             // 16 bytes a copy

    Band(i64 height, i64 width, i64 channels, i64 most_slots, bool aligned)
        : h(static_cast<int>(height)),
          w(static_cast<int>(width)),
          c(static_cast<int>(channels)),
          line(w * c),
          wide(aligned && c % 4 == 0),
          strips_(blocks_of(h, rows_most)) {
        rows = static_cast<int>(blocks_of(h, strips_.value()));
        const i64 most = contract::band_columns(w, c);
        const bool cut = most < w;
        const i64 tiles = cut ? blocks_of(w, most - 2) : 1, inner = blocks_of(w, tiles);
        tiles_ = Divisor(tiles), inner_ = static_cast<int>(inner), halo_ = cut;
        span = static_cast<int>(cut ? inner + 2 : inner) * c;
        slots = static_cast<int>(std::clamp<i64>(threads_most / span, 1, std::max<i64>(1, most_slots)));
        slot_ = Divisor(span), channel_ = Divisor(c), copies_ = Divisor(wide ? span / 4 : span);
    }
    /// Bands of an image.
    i64 bands() const { return i64{strips_.value()} * tiles_.value(); }
    int threads() const { return static_cast<int>(blocks_of(slots * span, 32) * 32); }
    /// Elements that the slots' bands of one tensor have, a multiple of four.
    __host__ __device__ int size() const { return (slots * (rows + 2) * span + 3) / 4 * 4; }
    /// The image of a band.
    __device__ int image_of(int band) const { return strips_.split(tiles_.split(band).quotient).quotient; }
    /// This thread's place when its block has the bands from `first` on; there are `bands` of them.
    __device__ Place place(int first, int bands) const {
        Place place;
        const auto [slot, at] = slot_.split(threadIdx.x);
        const auto [column, channel] = channel_.split(at);
        const auto [lines, tile] = tiles_.split(first + slot);
        const auto [image, strip] = strips_.split(lines);
        place.image = image, place.top = slot * (rows + 2) * span, place.at = at, place.channel = channel;
        place.first = strip * rows, place.count = std::min(rows, h - place.first);
        place.low = place.first == 0, place.high = place.count + (place.first + place.count < h ? 2 : 1);
        const int before = tile * inner_ - halo_;
        place.tile = before * c, place.column = before + column;
        place.part = slot >= slots || first + slot >= bands       ? 0
                     : place.column < 0 || place.column >= w      ? 1
                     : !halo_ || (column > 0 && column <= inner_) ? 3
                                                                  : 2;
        return place;
    }
    /// Element of the tensor at this thread's first row.
    __device__ i64 element(const Place& place) const {
        return (static_cast<i64>(place.image) * h + place.first) * line + place.tile + place.at;
    }
    /// f(where, from, how many) for what this thread copies of its slot's band: elements of the band and of the tensor.
    template <class F>
    __device__ void for_copies(const Place& place, const F& f) const {
        if (!place.there()) return;
        const int size = wide ? 4 : 1;
        for (int i = place.at; i < (place.count + 2) * copies_.value(); i += span) {
            const auto [row, pack] = copies_.split(i);
            const int x = place.tile + pack * size;
            if (row >= place.low && row < place.high && x >= 0 && x < line)
                f(place.top + row * span + pack * size,
                  (static_cast<i64>(place.image) * h + place.first + row - 1) * line + x);
        }
    }
    /// Sends this thread's part of the slots' bands of a tensor on its way.
    __device__ void fetch(float* to, const float* tensor, const Place& place) const {
        for_copies(place, [&](int at, i64 from) {
            wide ? copy_async<4>(to + at, tensor + from) : copy_async<1>(to + at, tensor + from);
        });
    }

private:
    Divisor slot_, channel_, copies_, tiles_, strips_;
    int inner_;
    bool halo_;
};

/// The filter of one edge in shared memory: for each channel nine taps, the weight of the pool and two numbers of
/// padding, which keep the lanes of a warp on banks of their own.
struct BandFilter {
    static constexpr int size = 12;
    float tap[9], gate;
    bool live;  // the taps do anything
    template <class S>
    __device__ static void fetch(float* to, const S& s, int j, i64 draw) {
        const float *const filter = s.filters + (draw * s.edges + s.edge[j]) * 9 * s.c, *const gamma = s.gamma;
        const int c = static_cast<int>(s.c), column = s.column[j];
        for (int k = 0, i = static_cast<int>(threadIdx.x); i < 10 * c; i += static_cast<int>(blockDim.x)) {
            while (i >= (k + 1) * c) ++k;
            float* const at = to + (i - k * c) * size + k;
            if (k < 9)
                copy_async<1>(at, filter + i);
            else if (column >= 0)
                copy_async<1>(at, gamma + draw * s.gamma_stride + column);
            else
                *at = 0.0f;
        }
    }
    __device__ BandFilter(const float* filters, int channel) {
        const float* const from = filters + channel * size;
#pragma unroll
        for (int p = 0; p < 3; ++p) {
            const auto pack = load<4>(from + 4 * p);
#pragma unroll
            for (int i = 4 * p; i < 4 * p + 4 && i < 10; ++i) (i < 9 ? tap[i] : gate) = pack[i - 4 * p];
        }
        live = false;
#pragma unroll
        for (int k = 0; k < 9; ++k) live = live || tap[k] != 0.0f;
    }
};

/// The three columns around a thread's places, row by row from the one above; zeros where there are none.
class BandRows {
public:
    __device__ BandRows(const float* band, const Band& shape, const Band::Place& place)
        : from_(band + place.top + place.at),
          shape_(shape),
          place_(place),
          left(place.column > 0),
          right(place.column + 1 < shape.w) {}
    /// Whether there is such a row.
    __device__ bool next(float (&v)[3]) {
        const bool inside = row_ >= place_.low && row_ < place_.high;
        ++row_;
        v[0] = inside && left ? from_[-shape_.c] : 0.0f;
        v[1] = inside ? from_[0] : 0.0f;
        v[2] = inside && right ? from_[shape_.c] : 0.0f;
        from_ += shape_.span;
        return inside;
    }
    /// The largest of a row that next() has given.
    __device__ float most(const float (&v)[3], bool inside) const {
        float most = v[1];
        if (left) most = larger(v[0], most);
        if (right) most = larger(most, v[2]);
        return inside ? most : -HUGE_VALF;
    }
    __device__ CellLargest largest(const float (&v)[3], bool inside) const {
        CellLargest most{-HUGE_VALF, left ? 0 : 1};
        if (!inside) return most;
        if (left) most.value = v[0];
        most.offer(v[1], 1);
        if (right) most.offer(v[2], 2);
        return most;
    }

private:
    const float* from_;
    const Band& shape_;
    const Band::Place& place_;
    int row_ = 0;

public:
    const bool left, right;
};

}  // namespace hwnas::cuda
