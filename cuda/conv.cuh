// SPDX-License-Identifier: MIT
// Convolution kernels, all three directions as products of a gathered matrix, without ever storing it. A row of it is a
// pixel, a column a tap and channel. Forward and backward data: a block makes a tile of rows x output channels, slice
// by slice of the columns, staged in shared memory; a thread keeps TM x 4 sums. Backward weight: a block makes a tile
// of columns x output channels of one chunk of images, its thread groups taking turns at the pixels. At the few
// channels of a search's cells all three are bound by memory, and every activation is read once.
#pragma once

#include "platform.cuh"

#include <algorithm>

namespace hwnas::cuda {

/// Where the gathered matrix comes from. Forward: rows are output pixels of x; transposed: input pixels, gathered from
/// dy.
struct ConvSource {
    const float* in;
    i32 h, w, in_h, in_w, in_c;  // pixels of the rows; extents of `in`
    i32 kernel, stride, padding, dilation;
    bool transposed, rectify;  // rectify: `in` is read as max(in, 0)

    __host__ __device__ bool pointwise() const { return kernel == 1 && stride == 1 && padding == 0; }
    __host__ __device__ i32 columns() const { return kernel * kernel * in_c; }
    /// The coordinate in `in` that tap k of coordinate i reads, or -1.
    __device__ i32 coordinate(i32 i, i32 k, i32 extent) const {
        i32 at = i * stride - padding + k * dilation;
        if (transposed) {
            at = i + padding - k * dilation;
            if (stride > 1) {
                if (at < 0 || at % stride != 0) return -1;
                at /= stride;
            }
        }
        return at >= 0 && at < extent ? at : -1;
    }
};
/// A row of the gathered matrix.
struct ConvRow {
    i64 image;  // first pixel of its image in `in`; of the row itself where the window is 1x1
    i32 p, q;
    bool inside;
    ConvRow() = default;
    __device__ ConvRow(const ConvSource& s, i64 row, i64 rows) : image(row), p(0), q(0), inside(row < rows) {
        if (s.pointwise() || !inside) return;
        const unsigned pixel = static_cast<unsigned>(row), line = pixel / static_cast<unsigned>(s.w);
        q = static_cast<i32>(pixel - line * static_cast<unsigned>(s.w));
        const unsigned n = line / static_cast<unsigned>(s.h);
        p = static_cast<i32>(line - n * static_cast<unsigned>(s.h));
        image = static_cast<i64>(n) * s.in_h * s.in_w;
    }
    /// V neighbouring columns from `column` on; zero outside.
    template <int V>
    __device__ Pack<V> read(const ConvSource& s, i32 column) const {
        auto pack = stored<V>(s, column);
        if (s.rectify)
#pragma unroll
            for (int e = 0; e < V; ++e)
                if (pack[e] < 0.0f) pack[e] = 0.0f;  // keeps NaN
        return pack;
    }

private:
    template <int V>
    __device__ Pack<V> stored(const ConvSource& s, i32 column) const {
        if (!inside || column >= s.columns()) return zeros<V>();
        if (s.pointwise()) return load<V>(s.in + image * s.in_c + column);
        const i32 tap = column / s.in_c, channel = column - tap * s.in_c, ky = tap / s.kernel;
        const i32 i = s.coordinate(p, ky, s.in_h), j = s.coordinate(q, tap - ky * s.kernel, s.in_w);
        if (i < 0 || j < 0) return zeros<V>();
        return load<V>(s.in + (image + i * s.in_w + j) * s.in_c + channel);
    }
};

/// out [rows, out_c] (+)= gathered matrix x weights (+ bias), in tiles of BN output channels; with `mask`, which lies
/// as out, what is added is 0 where that is not above 0.
template <int BN, int TM, int V>
struct ConvRowsKernel {
    static constexpr int threads = 128, registers = 104, depth = 16, column_groups = BN / 4;
    static constexpr int row_groups = threads / column_groups, BM = row_groups * TM, stride = BM + 4;
    static constexpr std::size_t shared_bytes = sizeof(float) * depth * (stride + BN);
    float* out;
    const float *w, *bias, *mask;
    ConvSource source;
    i64 rows;
    i32 out_c, column_tiles;
    bool accumulate, packed;  // packed: out is written four channels at a time

    __device__ void operator()() const {
        float* const a = shared_memory<float>();
        float* const b = a + depth * stride;
        const i32 first_channel = static_cast<i32>(blockIdx.x % static_cast<unsigned>(column_tiles)) * BN;
        const i64 first_row = static_cast<i64>(blockIdx.x / static_cast<unsigned>(column_tiles)) * BM;
        const int group = static_cast<int>(threadIdx.x) % column_groups,
                  row_group = static_cast<int>(threadIdx.x) / column_groups;
        float sum[TM][4] = {};
        constexpr int units = depth / V, rows_a_pass = threads / units, passes = V == 4 ? BM / rows_a_pass : 1;
        // V = 4: four threads read a row. V = 1: a thread reads a run of one row, whose neighbours are its warp's.
        constexpr int threads_a_row = V == 4 ? units : threads / BM, run = V == 4 ? 1 : depth / threads_a_row;
        const int unit = V == 4 ? static_cast<int>(threadIdx.x) % units : static_cast<int>(threadIdx.x) / BM * run;
        const int own_row = V == 4 ? static_cast<int>(threadIdx.x) / units : static_cast<int>(threadIdx.x) % BM;
        ConvRow row[passes];
#pragma unroll
        for (int i = 0; i < passes; ++i) row[i] = ConvRow(source, first_row + own_row + i * rows_a_pass, rows);
        const i32 columns = source.columns();
        for (i32 k = 0; k < columns; k += depth) {
#pragma unroll
            for (int i = 0; i < passes; ++i)
#pragma unroll
                for (int j = 0; j < run; ++j) {
                    const auto values = row[i].template read<V>(source, k + (unit + j) * V);
#pragma unroll
                    for (int e = 0; e < V; ++e)
                        a[((unit + j) * V + e) * stride + own_row + i * rows_a_pass] = values[e];
                }
            for (int at = static_cast<int>(threadIdx.x); at < depth * BN; at += threads)
                b[at] = weight(k + at / BN, first_channel + at % BN);
            __syncthreads();
#pragma unroll
            for (int d = 0; d < depth; ++d) {
                const auto factor = load<4>(b + d * BN + group * 4);
#pragma unroll
                for (int i = 0; i < TM; i += 4) {
                    const auto value = load<4>(a + d * stride + row_group * TM + i);
#pragma unroll
                    for (int r = 0; r < 4; ++r)
#pragma unroll
                        for (int c = 0; c < 4; ++c) sum[i + r][c] += value[r] * factor[c];
                }
            }
            __syncthreads();
        }
        const i32 channel = first_channel + group * 4;
#pragma unroll
        for (int i = 0; i < TM; ++i)
            if (const i64 r = first_row + row_group * TM + i; r < rows) write(r, channel, sum[i]);
    }

private:
    __device__ float weight(i32 column, i32 channel) const {
        if (column >= source.columns() || channel >= out_c) return 0.0f;
        if (!source.transposed) return w[static_cast<i64>(column) * out_c + channel];
        const i32 tap = column / source.in_c;  // w is [taps, out_c, in_c] as this direction sees it
        return w[(static_cast<i64>(tap) * out_c + channel) * source.in_c + column - tap * source.in_c];
    }
    __device__ void write(i64 r, i32 channel, const float (&values)[4]) const {
        const i64 at = r * out_c + channel;
        float* const to = out + at;
        if (packed && channel < out_c) {
            auto pack = accumulate ? load<4>(to) : bias ? load<4>(bias + channel) : zeros<4>();
            const auto gate = mask ? load<4>(mask + at) : zeros<4>();
#pragma unroll
            for (int c = 0; c < 4; ++c) pack[c] += !mask || gate[c] > 0.0f ? values[c] : 0.0f;
            store(to, pack);
            return;
        }
#pragma unroll
        for (int c = 0; c < 4; ++c)
            if (channel + c < out_c)
                to[c] = (accumulate ? to[c]
                         : bias     ? bias[channel + c]
                                    : 0.0f) +
                        (!mask || mask[at + c] > 0.0f ? values[c] : 0.0f);
    }
};

template <int BN, int TM>
void start_conv_rows(const Stream& stream, const ConvSource& source, float* out, const float* w, const float* bias,
                     const float* mask, i64 rows, i32 out_c, bool accumulate) {
    const i32 tiles = static_cast<i32>(blocks_of(out_c, BN));
    const bool packed = packs(4, out_c, out, bias, mask);
    const auto go = [&]<int V>() {
        using Kernel = ConvRowsKernel<BN, TM, V>;
        start(stream, Kernel{out, w, bias, mask, source, rows, out_c, tiles, accumulate, packed},
              blocks_of(rows, Kernel::BM) * tiles, Kernel::threads, Kernel::shared_bytes);
    };
    packs(4, source.in_c, source.in) ? go.template operator()<4>() : go.template operator()<1>();
}
inline void start_conv_rows(const Stream& stream, const ConvSource& source, float* out, const float* w,
                            const float* bias, const float* mask, i64 rows, i32 out_c, bool accumulate) {
    if (out_c <= 16)
        start_conv_rows<16, 4>(stream, source, out, w, bias, mask, rows, out_c, accumulate);
    else if (out_c <= 32)
        start_conv_rows<32, 8>(stream, source, out, w, bias, mask, rows, out_c, accumulate);
    else
        start_conv_rows<64, 8>(stream, source, out, w, bias, mask, rows, out_c, accumulate);
}
/// f(first image, images) over runs of images whose pixels 32 bits can count.
template <class F>
void for_countable_images(const contract::Window& s, F&& f) {
    const i64 most = std::max<i64>(1, ((i64{1} << 31) - 1) / std::max<i64>(1, std::max(s.h * s.w, s.oh * s.ow)));
    for (i64 first = 0; first < s.n; first += most) f(first, std::min(most, s.n - first));
}
inline ConvSource conv_source(const contract::Window& s, const float* in, i64 in_c, bool transposed,
                              bool rectify = false) {
    const auto small = [](i64 v) { return static_cast<i32>(v); };
    ConvSource source{in,       small(s.oh), small(s.ow), small(s.h), small(s.w), small(in_c),
                      s.kernel, s.stride,    s.padding,   s.dilation, transposed, rectify};
    if (transposed) std::swap(source.h, source.in_h), std::swap(source.w, source.in_w);
    return source;
}
inline void launch(const Stream& stream, const contract::ConvForward<float>& s) {
    for_countable_images(s.window, [&](i64 first, i64 images) {
        const contract::Window& v = s.window;
        start_conv_rows(stream, conv_source(v, s.x + first * v.h * v.w * v.c, v.c, false, s.rectify != 0),
                        s.y + first * v.oh * v.ow * s.out_channels, s.w, s.bias, nullptr, images * v.oh * v.ow,
                        static_cast<i32>(s.out_channels), false);
    });
}
inline void launch(const Stream& stream, const contract::ConvBackwardData<float>& s) {
    for_countable_images(s.window, [&](i64 first, i64 images) {
        const contract::Window& v = s.window;
        start_conv_rows(stream, conv_source(v, s.dy + first * v.oh * v.ow * s.out_channels, s.out_channels, true),
                        s.dx + first * v.h * v.w * v.c, s.w, nullptr,
                        s.rectified ? s.rectified + first * v.h * v.w * v.c : nullptr, images * v.h * v.w,
                        static_cast<i32>(v.c), s.accumulate != 0);
    });
}

/// partial[chunk] [columns, out_c] (+)= gathered rows of the chunk's images, transposed, x dy, in tiles of TK x TC. A
/// group of threads keeps the whole tile, TM x 4 sums each; `groups` of them share the pixels of a slice.
template <int TK, int TC, int V>
struct ConvWeightKernel {
    static constexpr int threads = 128, registers = 80, TM = TK / 8, group_threads = 8 * TC / 4, slice = 32;
    static constexpr int groups = threads / group_threads, stride = TK + 4;
    static constexpr std::size_t shared_bytes = sizeof(float) * std::max(slice * (stride + TC), (groups - 1) * TK * TC);
    float* partial;
    const float* dy;
    ConvSource source;
    i64 n, chunks;
    i32 out_c, column_tiles, channel_tiles;
    bool resume, packed;  // packed: dy is read four channels at a time

    __device__ void operator()() const {
        float* const a = shared_memory<float>();
        float* const b = a + slice * stride;
        const unsigned tiles = static_cast<unsigned>(column_tiles * channel_tiles);
        const i64 chunk = blockIdx.x / tiles;
        const i32 tile = static_cast<i32>(blockIdx.x % tiles);
        const i32 first_column = tile / channel_tiles * TK, first_channel = tile % channel_tiles * TC;
        const i64 pixels = static_cast<i64>(source.h) * source.w, image = n * chunk / chunks;
        const i64 end = (n * (chunk + 1) / chunks - image) * pixels;
        ConvSource x = source;
        x.in += image * source.in_h * source.in_w * source.in_c;
        const float* const d_y = dy + image * pixels * out_c;
        const int t = static_cast<int>(threadIdx.x), group = t / group_threads, member = t % group_threads;
        const int channel = member % (TC / 4) * 4, column = member / (TC / 4) * TM;
        float sum[TM][4] = {};
        for (i64 pixel = 0; pixel < end; pixel += slice) {
            for (int at = t; at < slice * TK / V; at += threads) {
                const int r = at / (TK / V), k = at % (TK / V) * V;
                const auto values = ConvRow(x, pixel + r, end).template read<V>(x, first_column + k);
#pragma unroll
                for (int e = 0; e < V; ++e) a[r * stride + k + e] = values[e];
            }
            for (int at = t; at < slice * TC / 4; at += threads) {
                const int r = at / (TC / 4), c = at % (TC / 4) * 4;
                store(b + r * TC + c, gradient(d_y, pixel + r, end, first_channel + c));
            }
            __syncthreads();
#pragma unroll 4
            for (int r = group; r < slice; r += groups) {
                const auto d = load<4>(b + r * TC + channel);
#pragma unroll
                for (int i = 0; i < TM; ++i) {
                    const float v = a[r * stride + column + i];
#pragma unroll
                    for (int c = 0; c < 4; ++c) sum[i][c] += v * d[c];
                }
            }
            __syncthreads();
        }
        if (group > 0)
            for (int i = 0; i < TM; ++i)
                for (int c = 0; c < 4; ++c) a[((group - 1) * TK + column + i) * TC + channel + c] = sum[i][c];
        __syncthreads();
        if (group > 0) return;
        float* const to = partial + chunk * source.columns() * out_c;
#pragma unroll
        for (int i = 0; i < TM; ++i)
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                float total = sum[i][c];
                for (int g = 1; g < groups; ++g) total += a[((g - 1) * TK + column + i) * TC + channel + c];
                const i32 k = first_column + column + i, o = first_channel + channel + c;
                if (k >= source.columns() || o >= out_c) continue;
                float& out = to[static_cast<i64>(k) * out_c + o];
                out = (resume ? out : 0.0f) + total;
            }
    }

private:
    __device__ Pack<4> gradient(const float* d_y, i64 pixel, i64 end, i32 channel) const {
        if (pixel >= end) return zeros<4>();
        const float* const from = d_y + pixel * out_c + channel;
        if (packed) return channel < out_c ? load<4>(from) : zeros<4>();
        auto pack = zeros<4>();
#pragma unroll
        for (int c = 0; c < 4; ++c)
            if (channel + c < out_c) pack[c] = from[c];
        return pack;
    }
};
template <int TK, int TC>
void start_conv_weight(const Stream& stream, const contract::ConvBackwardWeight<float>& s) {
    const auto source = conv_source(s.window, s.x, s.window.c, false, s.rectify != 0);
    const i32 out_c = static_cast<i32>(s.out_channels);
    const i32 column_tiles = static_cast<i32>(blocks_of(source.columns(), TK)),
              channel_tiles = static_cast<i32>(blocks_of(out_c, TC));
    const auto go = [&]<int V>() {
        using Kernel = ConvWeightKernel<TK, TC, V>;
        start(stream,
              Kernel{s.partial, s.dy, source, s.window.n, s.chunks, out_c, column_tiles, channel_tiles, s.resume != 0,
                     packs(4, out_c, s.dy)},
              s.chunks * column_tiles * channel_tiles, Kernel::threads, Kernel::shared_bytes);
    };
    packs(4, source.in_c, source.in) ? go.template operator()<4>() : go.template operator()<1>();
}
inline void launch(const Stream& stream, const contract::ConvBackwardWeight<float>& s) {
    const auto tile = [](i64 extent, auto&& go) {
        if (extent <= 16) return go.template operator()<16>();
        if (extent <= 32) return go.template operator()<32>();
        go.template operator()<64>();
    };
    tile(s.window.kernel * s.window.kernel * s.window.c,
         [&]<int TK>() { tile(s.out_channels, [&]<int TC>() { start_conv_weight<TK, TC>(stream, s); }); });
}

}  // namespace hwnas::cuda
