// SPDX-License-Identifier: MIT
// Convolution kernels. All three directions are products of a gathered matrix (one row a pixel, one column a tap and
// channel) with a packed panel, in register tiles; 1x1 windows read their rows in place, others copy them to a small
// buffer. Chunks are runs of pixels, sized by shape.
#pragma once

#include <hwnas/cpu/device.hpp>
#include <hwnas/cpu/matmul.hpp>

namespace hwnas::cpu {

/// Columns of the gathered matrix handled at a time: a panel of them, 16 KB, stays in L1.
template <class T> inline constexpr std::int64_t conv_depth = 1024 / static_cast<std::int64_t>(sizeof(T));

/// The gathered matrix. Forward: rows are output pixels, in = x. Transposed: rows are input pixels, in = dy.
template <class T> struct ConvRows {
    const T* in;
    std::int64_t h, w;                ///< pixels of the rows, per image
    std::int64_t in_h, in_w, in_c;    ///< extents of `in`
    std::int64_t kernel, stride, padding, dilation;
    bool transposed;

    bool pointwise() const { return kernel == 1 && stride == 1 && padding == 0; }
    std::int64_t taps_at_once() const { return std::max<std::int64_t>(1, std::min(kernel * kernel, conv_depth<T> / in_c)); }
    std::int64_t channels_at_once() const { return std::min(in_c, conv_depth<T>); }
};
template <class T> ConvRows<T> conv_output_rows(const T* x, const contract::Window& s) {
    return {x, s.oh, s.ow, s.h, s.w, s.c, s.kernel, s.stride, s.padding, s.dilation, false};
}
template <class T> ConvRows<T> conv_input_rows(const T* dy, const contract::Window& s, std::int64_t out_channels) {
    return {dy, s.h, s.w, s.oh, s.ow, out_channels, s.kernel, s.stride, s.padding, s.dilation, true};
}

/// A pixel of the gathered matrix, walked in order: divisions once a chunk.
struct ConvPixel {
    std::int64_t n, p, q;
    template <class T> [[gnu::always_inline]] ConvPixel(const ConvRows<T>& s, std::int64_t row) : n(row / (s.h * s.w)), p(row / s.w % s.h), q(row % s.w) {}
    template <class T> [[gnu::always_inline]] void next(const ConvRows<T>& s) {
        if (++q < s.w) return;
        q = 0;
        if (++p == s.h) p = 0, ++n;
    }
};

/// The coordinate in `in` that tap k of coordinate i reads, or -1.
[[gnu::always_inline]] inline std::int64_t conv_source(std::int64_t i, std::int64_t k, std::int64_t extent, std::int64_t stride, std::int64_t padding,
                                                       std::int64_t dilation, bool transposed) {
    std::int64_t at = i * stride - padding + k * dilation;
    if (transposed) {
        at = i + padding - k * dilation;
        if (stride > 1) {
            if (at < 0 || at % stride != 0) return -1;
            at /= stride;
        }
    }
    return at >= 0 && at < extent ? at : -1;
}

/// Copies taps [tap, tap_end) and channels [c, c + channels) of one row to `to`; false when every tap falls outside.
template <class T>
[[gnu::always_inline]] inline bool gather_row(T* to, const ConvRows<T>& s, const ConvPixel& at, std::int64_t tap, std::int64_t tap_end, std::int64_t c,
                                              std::int64_t channels) {
    bool inside = false;
    const bool whole_lines = s.dilation == 1 && !s.transposed && channels == s.in_c;
    while (tap < tap_end) {
        const std::int64_t ky = tap / s.kernel, kx = tap % s.kernel, line = std::min(s.kernel - kx, tap_end - tap);
        const std::int64_t y = conv_source(at.p, ky, s.in_h, s.stride, s.padding, s.dilation, s.transposed);
        const T* row = s.in + (at.n * s.in_h + y) * s.in_w * s.in_c + c;
        tap += line;
        if (y < 0) {
            clear_run(to, line * channels);
        } else if (whole_lines) {  // neighbouring taps are neighbours in memory
            const std::int64_t first = at.q * s.stride - s.padding + kx;
            const std::int64_t begin = std::clamp<std::int64_t>(-first, 0, line), end = std::clamp<std::int64_t>(s.in_w - first, begin, line);
            clear_run(to, begin * channels);
            copy_run(to + begin * channels, row + (first + begin) * channels, (end - begin) * channels);
            clear_run(to + end * channels, (line - end) * channels);
            inside |= end > begin;
        } else {
            for (std::int64_t i = 0; i < line; ++i) {
                const std::int64_t x = conv_source(at.q, kx + i, s.in_w, s.stride, s.padding, s.dilation, s.transposed);
                if (x < 0) clear_run(to + i * channels, channels);
                else copy_run(to + i * channels, row + x * s.in_c, channels), inside = true;
            }
        }
        to += line * channels;
    }
    return inside;
}

/// out[row, o] = (accumulate ? out : bias) + gathered[row, .] weights[., o]; for dx the weights are read transposed.
template <class T> struct ConvProduct {
    ConvRows<T> rows;
    T* out;
    const T *w, *bias;
    std::int64_t out_channels;
    bool accumulate;
};
template <class T> struct ConvProductBody {
    static constexpr int height = 6;
    /// One panel against one block of taps and channels.
    struct Block {
        std::int64_t column, columns, tap, tap_end, c, channels;
        bool add;
        alignas(64) T panel[static_cast<std::size_t>(conv_depth<T> * tile_width<T>)];
        alignas(64) T start[static_cast<std::size_t>(tile_width<T>)];
    };

    [[gnu::always_inline]] static void pack(const ConvProduct<T>& s, Block& block, std::int64_t width) {
        const std::int64_t taps = block.tap_end - block.tap;
        if (block.columns < width) clear_run(block.panel, taps * block.channels * width);
        for (std::int64_t t = 0; t < taps; ++t) {
            T* to = block.panel + t * block.channels * width;
            const T* w = s.w + (block.tap + t) * s.rows.in_c * s.out_channels;
            if (s.rows.transposed) {
                for (std::int64_t j = 0; j < block.columns; ++j) {
                    const T* from = w + (block.column + j) * s.rows.in_c + block.c;
                    for (std::int64_t i = 0; i < block.channels; ++i) to[i * width + j] = from[i];
                }
            } else {
                for (std::int64_t i = 0; i < block.channels; ++i) copy_run(to + i * width, w + (block.c + i) * s.out_channels + block.column, block.columns);
            }
        }
        for (std::int64_t j = 0; j < width; ++j) block.start[j] = s.bias && j < block.columns ? s.bias[block.column + j] : T(0);
    }

    template <int V> [[gnu::always_inline]] static void sweep(const ConvProduct<T>& s, const Block& block, std::int64_t begin, std::int64_t end) {
        alignas(64) T gathered[static_cast<std::size_t>(height * conv_depth<T>)];
        T scrap[static_cast<std::size_t>(tile_width<T>)] = {};
        const std::int64_t depth = (block.tap_end - block.tap) * block.channels;
        const bool pointwise = s.rows.pointwise(), one_tap = block.tap_end - block.tap == 1;
        const T* a[height];
        T* c[height];
        int count = 0;
        const auto flush = [&]() __attribute__((always_inline)) {
            tile<height, V, T>(a, 1, block.panel, V * lanes<T>, depth, c, block.add, block.start, block.columns);
        };
        ConvPixel at(s.rows, begin);
        for (std::int64_t row = begin; row < end; ++row) {
            T* out = s.out + row * s.out_channels + block.column;
            bool inside = true;
            if (pointwise) {
                a[count] = s.rows.in + row * s.rows.in_c + block.c;
            } else if (one_tap) {
                const std::int64_t ky = block.tap / s.rows.kernel, kx = block.tap % s.rows.kernel;
                const std::int64_t y = conv_source(at.p, ky, s.rows.in_h, s.rows.stride, s.rows.padding, s.rows.dilation, s.rows.transposed);
                const std::int64_t x = conv_source(at.q, kx, s.rows.in_w, s.rows.stride, s.rows.padding, s.rows.dilation, s.rows.transposed);
                inside = y >= 0 && x >= 0;
                a[count] = s.rows.in + ((at.n * s.rows.in_h + y) * s.rows.in_w + x) * s.rows.in_c + block.c;
            } else {
                inside = gather_row(gathered + count * conv_depth<T>, s.rows, at, block.tap, block.tap_end, block.c, block.channels);
                a[count] = gathered + count * conv_depth<T>;
            }
            if (!pointwise) at.next(s.rows);
            if (inside) {
                c[count++] = out;
            } else if (!block.add) {  // a row of zeros: strides leave many in dx
                copy_run(out, block.start, block.columns);
            }
            if (count < height && (row + 1 < end || count == 0)) continue;
            for (; count < height; ++count) a[count] = a[0], c[count] = scrap;
            flush();
            count = 0;
        }
    }

    [[gnu::always_inline]] static void run(const ConvProduct<T>& s, std::int64_t begin, std::int64_t end) {
        Block block;
        const std::int64_t taps = s.rows.kernel * s.rows.kernel, tap_step = s.rows.taps_at_once(), c_step = s.rows.channels_at_once();
        for (block.column = 0; block.column < s.out_channels; block.column += tile_width<T>) {
            block.columns = std::min(tile_width<T>, s.out_channels - block.column);
            block.add = s.accumulate;
            for (block.tap = 0; block.tap < taps; block.tap += tap_step) {
                block.tap_end = std::min(taps, block.tap + tap_step);
                for (block.c = 0; block.c < s.rows.in_c; block.c += c_step) {
                    block.channels = std::min(c_step, s.rows.in_c - block.c);
                    pack(s, block, block.columns <= lanes<T> ? lanes<T> : tile_width<T>);
                    if (block.columns <= lanes<T>) sweep<1>(s, block, begin, end);
                    else sweep<2>(s, block, begin, end);
                    block.add = true;
                }
            }
        }
    }
};
template <class T> void conv_product(Context& context, const ConvProduct<T>& s, std::int64_t rows) {
    const std::int64_t per_row = s.rows.kernel * s.rows.kernel * s.rows.in_c * s.out_channels;
    const std::int64_t grain = std::max<std::int64_t>(96, (std::int64_t{1} << 20) / per_row / 6 * 6);
    context.for_range(rows, grain, [&](std::int64_t begin, std::int64_t end) { dispatch<T, ConvProductBody<T>>(context.isa, s, begin, end); });
}

template <class T> struct Kernel<contract::ConvForward<T>> {
    static void run(Context& context, const contract::ConvForward<T>& s) {
        const auto& window = s.window;
        conv_product<T>(context, {conv_output_rows(s.x, window), s.y, s.w, s.bias, s.out_channels, false}, window.n * window.oh * window.ow);
    }
};
template <class T> struct Kernel<contract::ConvBackwardData<T>> {
    static void run(Context& context, const contract::ConvBackwardData<T>& s) {
        const auto& window = s.window;
        conv_product<T>(context, {conv_input_rows(s.dy, window, s.out_channels), s.dx, s.w, nullptr, window.c, s.accumulate != 0},
                        window.n * window.h * window.w);
    }
};

/// out[tap and channel, o] = sum over pixels [begin, end) of gathered[pixel, .] dy[pixel, o]
template <class T> struct ConvWeightBody {
    static constexpr int height = 4;  // the usual channel counts are multiples of 4, not of 6
    static constexpr std::int64_t packed_rows = 32, packed_pitch = conv_depth<T> + 8;  // + 8: rows apart in the cache's sets

    template <int V>
    [[gnu::always_inline]] static void panel(const T* a, std::int64_t a_step, std::int64_t depth, const T* b, std::int64_t b_step, std::int64_t rows, T* out,
                                             std::int64_t out_channels, std::int64_t columns, bool add) {
        const T zeros[static_cast<std::size_t>(tile_width<T>)] = {};
        T scrap[static_cast<std::size_t>(tile_width<T>)] = {};
        for (std::int64_t k = 0; k < depth; k += height) {
            const T* left[height];
            T* c[height];
            for (int i = 0; i < height; ++i) {
                left[i] = a + std::min(k + i, depth - 1);
                c[i] = k + i < depth ? out + (k + i) * out_channels : scrap;
            }
            tile<height, V, T>(left, a_step, b, b_step, rows, c, add, zeros, columns);
        }
    }

    [[gnu::always_inline]] static void run(const ConvRows<T>& s, const T* dy, T* out, std::int64_t out_channels, std::int64_t begin, std::int64_t end) {
        alignas(64) T gathered[static_cast<std::size_t>(packed_rows * packed_pitch)];
        alignas(64) T right[static_cast<std::size_t>(packed_rows * tile_width<T>)];
        const bool in_place = s.pointwise() && s.in_c < 128 && out_channels < 128 && out_channels % lanes<T> == 0;
        const std::int64_t step = in_place ? std::clamp<std::int64_t>(8192 / (s.in_c + out_channels), 32, 256) : packed_rows;
        const std::int64_t taps = s.kernel * s.kernel, tap_step = s.taps_at_once(), c_step = s.channels_at_once();
        for (std::int64_t tap = 0; tap < taps; tap += tap_step)
            for (std::int64_t c = 0; c < s.in_c; c += c_step) {
                const std::int64_t tap_end = std::min(taps, tap + tap_step), channels = std::min(c_step, s.in_c - c), depth = (tap_end - tap) * channels;
                ConvPixel at(s, begin);
                for (std::int64_t row = begin; row < end; row += step) {
                    const std::int64_t rows = std::min(step, end - row);
                    const T* a = s.in + row * s.in_c + c;
                    if (!in_place) {
                        a = gathered;
                        for (std::int64_t i = 0; i < rows; ++i, at.next(s)) gather_row(gathered + i * packed_pitch, s, at, tap, tap_end, c, channels);
                    }
                    for (std::int64_t column = 0; column < out_channels; column += tile_width<T>) {
                        const std::int64_t columns = std::min(tile_width<T>, out_channels - column);
                        const T* b = dy + row * out_channels + column;
                        const std::int64_t a_step = in_place ? s.in_c : packed_pitch, b_step = in_place ? out_channels : tile_width<T>;
                        if (!in_place) {
                            for (std::int64_t i = 0; i < rows; ++i) {
                                copy_run(right + i * tile_width<T>, b + i * out_channels, columns);
                                clear_run(right + i * tile_width<T> + columns, tile_width<T> - columns);
                            }
                            b = right;
                        }
                        T* to = out + (tap * s.in_c + c) * out_channels + column;
                        if (columns <= lanes<T>) panel<1>(a, a_step, depth, b, b_step, rows, to, out_channels, columns, row != begin);
                        else panel<2>(a, a_step, depth, b, b_step, rows, to, out_channels, columns, row != begin);
                    }
                }
            }
    }
};
template <class T> struct Kernel<contract::ConvBackwardWeight<T>> {
    static void run(Context& context, const contract::ConvBackwardWeight<T>& s) {
        const auto rows = conv_output_rows(s.x, s.window);
        const std::int64_t total = s.window.n * s.window.oh * s.window.ow, size = rows.kernel * rows.kernel * rows.in_c * s.out_channels;
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            dispatch<T, ConvWeightBody<T>>(context.isa, rows, s.dy, s.partial + chunk * size, s.out_channels, total * chunk / s.chunks,
                                           total * (chunk + 1) / s.chunks);
        });
        context.for_range(size, 4096, [&](std::int64_t begin, std::int64_t end) {
            if (!s.accumulate) std::fill(s.dw + begin, s.dw + end, T(0));
            for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk)
                for (std::int64_t i = begin; i < end; ++i) s.dw[i] += s.partial[chunk * size + i];
        });
    }
};

}  // namespace hwnas::cpu
