// SPDX-License-Identifier: MIT
// Convolution kernels. All three directions are products of a gathered matrix (one row a pixel, one column a tap and
// channel) with a packed panel, in register tiles; 1x1 windows read their rows in place, others copy them to a small
// buffer. Chunks are runs of pixels, sized by shape.
#pragma once

#include <hwnas/cpu/conv_rows.hpp>
#include <hwnas/cpu/conv_stem.hpp>
#include <hwnas/cpu/conv_weight.hpp>

namespace hwnas::cpu {

/// out[row, o] = (accumulate ? out : bias) + gathered[row, .] weights[., o]; for dx the weights are read transposed,
/// and with `mask`, which lies as `out`, what is added is 0 where that is not above 0.
template <class T>
struct ConvProduct {
    ConvRows<T> rows;
    T* out;
    const T *w, *bias, *mask;
    std::int64_t out_channels;
    bool accumulate;
};
template <class T, int B>
struct ConvProductBody {
    static constexpr int height = B > vector_bytes ? 8 : 6;
    static constexpr std::int64_t L = lanes<T, B>, widest = tile_width<T, B>;
    /// The panel of weights of one block: its rows hold V whole vectors, `pitch` apart; weights that lie so already are
    /// read where they are. `start` is what the sums start from.
    struct Panel {
        std::int64_t column, columns, pitch;
        const T* b;
        bool add;
        alignas(64) T weights[static_cast<std::size_t>(conv_depth<T> * widest)];
        alignas(64) T start[static_cast<std::size_t>(widest)];
    };

    [[gnu::always_inline]] static void pack(const ConvProduct<T>& s, const ConvColumns<T>& block, Panel& panel,
                                            std::int64_t width) {
        for (std::int64_t j = 0; j < width; ++j)
            panel.start[j] = s.bias && j < panel.columns ? s.bias[panel.column + j] : T(0);
        if (!s.rows.transposed && panel.columns == width && block.channels == s.rows.in_c) {
            panel.b = s.w + block.tap * s.rows.in_c * s.out_channels + panel.column, panel.pitch = s.out_channels;
            return;
        }
        panel.b = panel.weights, panel.pitch = width;
        if (panel.columns < width) clear_run(panel.weights, block.depth() * width);
        for (std::int64_t t = 0; t < block.taps; ++t) {
            T* to = panel.weights + t * block.channels * width;
            const T* w = s.w + (block.tap + t) * s.rows.in_c * s.out_channels;
            if (s.rows.transposed) {
                transpose_run(to, width, w + panel.column * s.rows.in_c + block.c, s.rows.in_c, panel.columns,
                              block.channels);
            } else {
                const T* from = w + block.c * s.out_channels + panel.column;
                for (std::int64_t i = 0; i < block.channels; ++i)
                    copy_run<B>(to + i * width, from + i * s.out_channels, panel.columns);
            }
        }
    }

    template <int V, class M>
    [[gnu::always_inline]] static void sweep(const ConvProduct<T>& s, const ConvColumns<T>& block, const Panel& panel,
                                             M last, std::int64_t begin, std::int64_t end) {
        // Rows of one tile: `height` of any depth, or as many as a strided tile has, of depth conv_depth at most.
        alignas(64) T gathered[static_cast<std::size_t>(16 * conv_depth<T>)];
        T scrap[static_cast<std::size_t>(widest)] = {};
        alignas(64) T unmasked[static_cast<std::size_t>(16 * widest)];  // where sums go that a mask comes after
        const auto& rows = s.rows;
        const bool pointwise = rows.pointwise(), one_tap = block.taps == 1, add = panel.add && !s.mask;
        const T* a[height];
        T* c[height];
        int count = 0;
        std::int64_t row = begin;
        // Products of `used` rows, from a to c.
        const auto multiply = [&](int used) __attribute__((always_inline)) {
            T* to[height];
            for (int r = 0; r < height; ++r) to[r] = s.mask ? unmasked + r * widest : c[r];
            tile<height, V, B, T>(a, 1, panel.b, panel.pitch, block.depth(), to, add, panel.start, panel.columns, last);
            for (int r = 0; s.mask && r < used; ++r)
                add_masked_run<B>(c[r], to[r], s.mask + (c[r] - s.out), panel.columns, panel.add);
        };
        if (pointwise && block.depth() == rows.in_c && (lane_masks<T, B> || panel.columns == V * L))  // in place
            with_channels<T>(rows.in_c, [&](auto channels) __attribute__((always_inline)) {
                constexpr int R = strided_rows<B>(V);
                for (; row + R <= end; row += R) {
                    const T* in = rows.in + row * channels;
                    if (rows.rectify) rectify_run<B>(gathered, in, R * channels), in = gathered;
                    const std::int64_t first = row * s.out_channels + panel.column;
                    strided_tile<R, V, B, T>(in, channels, 1, panel.b, panel.pitch, channels,
                                             s.mask ? unmasked : s.out + first, s.mask ? V * L : s.out_channels, add,
                                             panel.start, last);
                    for (std::int64_t r = 0; s.mask && r < R; ++r) {
                        const std::int64_t to = first + r * s.out_channels;
                        add_masked_run<B>(s.out + to, unmasked + r * V * L, s.mask + to, panel.columns, panel.add);
                    }
                }
            });
        else if (pointwise && !rows.rectify)
            for (; row + height <= end; row += height) {
                unroll<height>([&](auto r) __attribute__((always_inline)) {
                    a[r] = rows.in + (row + r) * rows.in_c + block.c;
                    c[r] = s.out + (row + r) * s.out_channels + panel.column;
                });
                multiply(height);
            }
        ConvPixel at(rows, row);
        for (; row < end; ++row) {
            T* out = s.out + row * s.out_channels + panel.column;
            bool inside = true;
            if (pointwise) {
                a[count] = rows.in + row * rows.in_c + block.c;
            } else if (one_tap) {
                const std::int64_t y =
                    conv_source(at.p, block.ky, rows.in_h, rows.stride, rows.padding, rows.dilation, rows.transposed);
                const std::int64_t x =
                    conv_source(at.q, block.kx, rows.in_w, rows.stride, rows.padding, rows.dilation, rows.transposed);
                inside = y >= 0 && x >= 0;
                a[count] = rows.in + ((at.n * rows.in_h + y) * rows.in_w + x) * rows.in_c + block.c;
            } else {
                inside = gather_row(gathered + count * conv_depth<T>, rows, at, block);
                a[count] = gathered + count * conv_depth<T>;
            }
            if (rows.rectify && inside && (pointwise || one_tap)) {
                rectify_run<B>(gathered + count * conv_depth<T>, a[count], block.depth());
                a[count] = gathered + count * conv_depth<T>;
            }
            if (!pointwise) at.next(rows);
            if (inside)
                c[count++] = out;
            else if (!panel.add)
                copy_run<B>(out, static_cast<const T*>(panel.start),
                            panel.columns);  // strides leave many such rows in dx
            if (count < height && (row + 1 < end || count == 0)) continue;
            for (int r = count; r < height; ++r) a[r] = a[0], c[r] = scrap;
            multiply(count);
            count = 0;
        }
    }

    [[gnu::always_inline]] static void run(const ConvProduct<T>& s, std::int64_t begin, std::int64_t end) {
        Panel panel;
        for (panel.column = 0; panel.column < s.out_channels; panel.column += widest) {
            panel.columns = std::min(widest, s.out_channels - panel.column);
            panel.add = s.accumulate;
            for (std::int64_t tap = 0; tap < s.rows.kernel * s.rows.kernel; tap += s.rows.taps_at_once())
                for (std::int64_t c = 0; c < s.rows.in_c; c += s.rows.channels_at_once()) {
                    const ConvColumns<T> block(s.rows, tap, c);
                    pack(s, block, panel, panel.columns <= L ? L : widest);
                    with_last<T, B>(panel.columns, [&](auto last) __attribute__((always_inline)) {
                        if (panel.columns <= L)
                            sweep<1>(s, block, panel, last, begin, end);
                        else
                            sweep<2>(s, block, panel, last, begin, end);
                    });
                    panel.add = true;
                }
        }
    }
};
template <class T>
void conv_product(Context& context, const ConvProduct<T>& s, std::int64_t rows) {
    const std::int64_t per_row = s.rows.kernel * s.rows.kernel * s.rows.in_c * s.out_channels;
    // Pieces of five microseconds or more, as in row_grain(); where weights do not lie as they are read, each packs
    // them anew.
    const bool in_place = s.rows.pointwise() && !s.rows.transposed;
    const std::int64_t grain =
        in_place ? (std::int64_t{1} << 19) / per_row : std::max<std::int64_t>(96, (std::int64_t{1} << 20) / per_row);
    context.for_range(
        rows, std::max<std::int64_t>(16, grain),
        [&](std::int64_t begin, std::int64_t end) {
            dispatch_wide<T, ConvProductBody, narrow_bytes>(context.isa, s, begin, end);
        },
        8);
}

/// y = bias + x w for few rows: weights are read once, where they lie.
template <class T, int B>
struct ConvFewRowsBody {
    static constexpr std::int64_t most = 3;
    [[gnu::always_inline]] static void run(const contract::ConvForward<T>& call, std::int64_t rows) {
        const auto s = call;
        const std::int64_t depth = s.window.c, columns = s.out_channels;
        for (std::int64_t row = 0; row < rows; ++row)
            for_parts<T, B>(columns, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
                const T *x = s.x + row * depth, *w = s.w + b;
                V sum[4] = {};
                if (s.bias) load_block(sum[0], s.bias + b, part);
                const auto add = [&](V& to, std::int64_t i) __attribute__((always_inline)) {
                    V v, a{};
                    splat_block<V, T>(a, s.rectify && x[i] < T(0) ? T(0) : x[i]);
                    load_block(v, w + i * columns, part);
                    to += a * v;
                };
                std::int64_t i = 0;
                for (; i + 4 <= depth; i += 4)
                    add(sum[0], i), add(sum[1], i + 1), add(sum[2], i + 2), add(sum[3], i + 3);
                for (; i < depth; ++i) add(sum[0], i);
                V total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
                store_block(s.y + row * columns + b, total, part);
            });
    }
};

template <class T>
struct Kernel<contract::ConvForward<T>> {
    static void run(Context& context, const contract::ConvForward<T>& s) {
        const auto& window = s.window;
        const auto rows = conv_output_rows(s.x, window, s.rectify != 0);
        const std::int64_t pixels = window.n * window.oh * window.ow;
        if (rows.pointwise() && pixels <= ConvFewRowsBody<T, vector_bytes>::most)
            return dispatch_wide<T, ConvFewRowsBody>(context.isa, s, pixels);
        if (!s.rectify && StemLines<T>::fits(window))
            return context.for_range(window.n * window.oh, row_grain(window.ow, s.out_channels),
                                     [&](std::int64_t begin, std::int64_t end) {
                                         dispatch_wide<T, StemForwardBody, narrow_bytes>(context.isa, s, begin, end);
                                     });
        conv_product<T>(context, {rows, s.y, s.w, s.bias, nullptr, s.out_channels, false}, pixels);
    }
};
template <class T>
struct Kernel<contract::ConvBackwardData<T>> {
    static void run(Context& context, const contract::ConvBackwardData<T>& s) {
        const auto& window = s.window;
        conv_product<T>(context,
                        {conv_input_rows(s.dy, window, s.out_channels), s.dx, s.w, nullptr, s.rectified, window.c,
                         s.accumulate != 0},
                        window.n * window.h * window.w);
    }
};

}  // namespace hwnas::cpu
