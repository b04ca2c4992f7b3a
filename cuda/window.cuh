// SPDX-License-Identifier: MIT
// What the kernels of windowed ops share. Two kinds of kernel: those of usual windows march down a strip of rows with a
// few neighbouring columns in registers, so that a row is read once for all the rows it matters to; those of any other
// window ask an Axis which taps of a place are inside. Gradients of the data are gathers too: a thread writes its own
// places only.
#pragma once

#include "platform.cuh"

#include <algorithm>
#include <numeric>
#include <type_traits>

namespace hwnas::cuda {

/// Division by a number that is known at the launch, in three instructions; of dividends below 2^31.
class Divisor {
public:
    struct Parts {
        int quotient, rest;
    };
    explicit Divisor(i64 divisor = 1) : divisor_(static_cast<unsigned>(divisor)), shift_(0) {
        while (i64{1} << shift_ < divisor) ++shift_;
        const std::uint64_t above = (std::uint64_t{1} << shift_) - divisor_;
        factor_ = static_cast<unsigned>((above << 32) / divisor_ + 1);
    }
    __host__ __device__ int value() const { return static_cast<int>(divisor_); }
    __device__ Parts split(unsigned n) const {
        const auto high = static_cast<unsigned>(std::uint64_t{n} * factor_ >> 32);
        const unsigned quotient = (high + n) >> shift_;
        return {static_cast<int>(quotient), static_cast<int>(n - quotient * divisor_)};
    }
    __device__ Parts split(int n) const { return split(static_cast<unsigned>(n)); }

private:
    unsigned divisor_, factor_, shift_;
};

/// How the places that a kernel writes are shared out: a thread has a pack of channels, `columns` neighbouring columns
/// and a strip of rows of one image; neighbouring threads have neighbouring channels. With a step above 1, rows and
/// columns count as neighbours that are `step` apart.
class Strips {
public:
    static constexpr int threads = 128;
    struct Place {
        bool inside;  ///< false: nothing to do
        i64 image;
        int pack, column, row, end;  ///< rows row, row + step, ... below end
    };

    /// rows: of a strip, 0: long strips, as many as keep the device full.
    Strips(const Stream& stream, i64 n, i64 h, i64 w, i64 packs, int columns, int step = 1, int rows = 0)
        : packs_(packs),
          groups_(step * blocks_of(blocks_of(w, step), columns)),
          step_(step),
          items_(1),
          blocks_(1),
          n_(n),
          h_(static_cast<int>(h)),
          w_(static_cast<int>(w)),
          columns_(columns),
          rows_(rows) {
        const i64 lines = blocks_of(h, step);
        if (rows == 0) {
            // Long strips read little twice; but the device wants to be full, several times over where that is cheap.
            const i64 whole = n * packs * groups_.value() * step, full = i64{1024} * stream.multiprocessors;
            const i64 strips =
                std::max({std::min(lines / 16, 8 * full / whole), std::min(blocks_of(lines, 4), full / whole), i64{1}});
            rows_ = static_cast<int>(blocks_of(lines, strips));
        }
        const i64 items = packs * groups_.value() * step * blocks_of(lines, rows_);
        items_ = Divisor(items);
        images_ = static_cast<int>(std::max<i64>(1, threads / items));
        blocks_ = Divisor(blocks_of(items, threads));
    }
    i64 blocks() const { return blocks_of(n_, images_) * blocks_.value(); }
    /// Threads of a block, whole warps.
    int block() const {
        return static_cast<int>(blocks_of(blocks_of(i64{images_} * items_.value(), blocks_.value()), 32) * 32);
    }
    __device__ int step() const { return step_.value(); }
    __device__ int h() const { return h_; }
    __device__ int w() const { return w_; }
    __device__ Place mine() const {
        const auto [unit, part] = blocks_.split(blockIdx.x);
        const auto [image, item] = items_.split(static_cast<unsigned>(part) * blockDim.x + threadIdx.x);
        const auto [pixel, pack] = packs_.split(item);
        const auto [line, group] = groups_.split(pixel);
        const auto [strip, row_residue] = step_.split(line);
        const auto [nth, column_residue] = step_.split(group);
        Place place;
        place.image = static_cast<i64>(unit) * images_ + image;
        place.pack = pack;
        place.column = nth * columns_ * step() + column_residue;
        place.row = strip * rows_ * step() + row_residue;
        place.end = std::min(h_, place.row + rows_ * step());
        place.inside = image < images_ && place.image < n_ && place.column < w_ && place.row < h_;
        return place;
    }

private:
    Divisor packs_, groups_, step_, items_, blocks_;  // items and blocks of an image
    i64 n_;
    int h_, w_, columns_, rows_, images_;  // images of a block
};

/// An image as its rows are walked: steps to the row and the column that count as the next.
struct Lines {
    int h, w, c, step;
    i64 down, image;
    int right;
    Lines(i64 rows, i64 columns, i64 channels, int apart = 1)
        : h(static_cast<int>(rows)),
          w(static_cast<int>(columns)),
          c(static_cast<int>(channels)),
          step(apart),
          down(apart * columns * channels),
          image(rows * columns * channels),
          right(static_cast<int>(apart * channels)) {}
    /// Which of W columns from `column` on are inside, one bit each.
    template <int W>
    __device__ unsigned inside(int column) const {
        unsigned mask = 0;
#pragma unroll
        for (int j = 0; j < W; ++j)
            if (static_cast<unsigned>(column + j * step) < static_cast<unsigned>(w)) mask |= 1u << j;
        return mask;
    }
    __device__ i64 at(i64 image_number, int row, int column) const {
        return image_number * image + (static_cast<i64>(row) * w + column) * c;
    }
};

/// V neighbouring bytes, 1 or 4, moved in one access.
template <int V>
struct Bytes {
    std::conditional_t<V == 4, std::uint32_t, u8> word;
    __device__ int operator[](int i) const { return static_cast<int>(word >> 8 * i & 0xffu); }
    __device__ void set(int i, int byte) {
        const auto all = static_cast<std::uint32_t>(byte) << 8 * i;
        word = static_cast<decltype(word)>(i == 0 ? all : word | all);
    }
};

/// W neighbouring columns, of each an Item made of T's, that a thread reads row by row, downwards.
template <int W, class Item, class T = float>
class RowReader {
public:
    /// `from` is where the first row and column are or would be. Rows before `low` or from `high` on are not wanted.
    __device__ RowReader(const Lines& lines, const T* from, int row, int column, int low, int high)
        : lines_(lines),
          from_(from),
          row_(row),
          low_(low > 0 ? low : 0),
          high_(high < lines.h ? high : lines.h),
          inside_(lines.inside<W>(column)) {}
    /// x = the next row, `outside` where there is none.
    __device__ void next(Item (&x)[W], const Item& outside) {
        const unsigned inside = row_ >= low_ && row_ < high_ ? inside_ : 0u;
#pragma unroll
        for (int j = 0; j < W; ++j) {
            x[j] = outside;
            if (inside & 1u << j) x[j] = *reinterpret_cast<const Item*>(from_ + static_cast<i64>(lines_.right) * j);
        }
        row_ += lines_.step;
        from_ += lines_.down;
    }
    /// x = the next row, zeros where there is none.
    __device__ void next(Item (&x)[W]) { next(x, Item{}); }

private:
    const Lines& lines_;
    const T* from_;
    int row_, low_, high_;
    unsigned inside_;
};

/// W neighbouring columns that a thread writes row by row.
template <int W, int V>
class RowWriter {
public:
    __device__ RowWriter(const Lines& lines, float* to, int column)
        : lines_(lines), to_(to), inside_(lines.inside<W>(column)) {}
    /// Writes the next row, if it is wanted.
    __device__ void next(const Pack<V> (&y)[W], bool wanted = true) {
#pragma unroll
        for (int j = 0; j < W; ++j)
            if (wanted && inside_ & 1u << j) store(to_ + static_cast<i64>(lines_.right) * j, y[j]);
        to_ += lines_.down;
    }

private:
    const Lines& lines_;
    float* to_;
    unsigned inside_;
};

/// One axis of a window as a place that is written sees it: forwards a place of the output, backwards one of the input.
/// The taps that matter to it, and the places of the other side they meet, are arithmetic progressions.
struct Axis {
    struct Taps {
        int tap, source, count;
    };
    int from, kernel, stride, padding, dilation;
    int tap_step, source_step;
    i32 backward;

    __device__ Taps taps(int place) const {
        Taps found{0, place * stride - padding, 0};
        if (backward) {
            const int most = std::min(tap_step, kernel);
            while (found.tap < most && (place + padding - found.tap * dilation) % stride != 0) ++found.tap;
            if (found.tap == most) return {0, 0, 0};
            found.source = (place + padding - found.tap * dilation) / stride;
        }
        // Sources rise forwards, fall backwards: how many to go until they are inside, and until they have left.
        const int step = backward ? -source_step : source_step;
        const int before = backward ? found.source - from + 1 : -found.source,
                  within = backward ? found.source + 1 : from - found.source;
        const int skip = before > 0 ? (before + step - 1) / step : 0, end = within > 0 ? (within + step - 1) / step : 0;
        found.count = std::max(0, std::min(end, (kernel - 1 - found.tap) / tap_step + 1) - skip);
        found.tap += skip * tap_step;
        found.source += skip * source_step;
        return found;
    }
};
inline Axis axis_of(const contract::Window& s, i64 from, bool backward) {
    const int common = std::gcd(s.stride, s.dilation);
    return {static_cast<int>(from),
            s.kernel,
            s.stride,
            s.padding,
            s.dilation,
            backward ? s.stride / common : 1,
            backward ? -s.dilation / common : s.dilation,
            backward};
}
/// What a place of the output sees of the rows, or columns, of the input.
inline Axis rows_seen(const contract::Window& s) {
    return axis_of(s, s.h, false);
}
inline Axis columns_seen(const contract::Window& s) {
    return axis_of(s, s.w, false);
}
/// Which rows, or columns, of the output see a place of the input.
inline Axis rows_seeing(const contract::Window& s) {
    return axis_of(s, s.oh, true);
}
inline Axis columns_seeing(const contract::Window& s) {
    return axis_of(s, s.ow, true);
}

/// Kernels that spread rows of the output over the rows of the input that they see work on groups of S rows, or
/// columns, of the input, counted with the padding: so many for an extent.
inline i64 groups_of(i64 extent, int padding, int S) {
    return (padding + extent - 1) / S - padding / S + 1;
}
/// f.operator()<V>() for packs of four channels, or for single ones.
template <class F>
void with_packs(bool aligned, F&& f) {
    aligned ? f.template operator()<4>() : f.template operator()<1>();
}
template <class Kernel>
void start_strips(const Stream& stream, const Kernel& kernel) {
    start(stream, kernel, kernel.strips.blocks(), kernel.strips.block());
}

}  // namespace hwnas::cuda
