// SPDX-License-Identifier: MIT
// Convolution kernels. All three directions are products of a gathered matrix (one row a pixel, one column a tap and
// channel) with a packed panel, in register tiles; 1x1 windows read their rows in place, others copy them to a small
// buffer. Chunks are runs of pixels, sized by shape.
#pragma once

#include <hwnas/cpu/conv_stem.hpp>
#include <hwnas/cpu/device.hpp>
#include <hwnas/cpu/matmul.hpp>
#include <hwnas/cpu/taps.hpp>

namespace hwnas::cpu {

/// Columns of the gathered matrix handled at a time: a panel of them, 16 KB, stays in L1.
template <class T>
inline constexpr std::int64_t conv_depth = 1024 / static_cast<std::int64_t>(sizeof(T));

/// The gathered matrix. Forward: rows are output pixels, in = x. Transposed: rows are input pixels, in = dy.
template <class T>
struct ConvRows {
    const T* in;
    std::int64_t h, w;              ///< pixels of the rows, per image
    std::int64_t in_h, in_w, in_c;  ///< extents of `in`
    std::int64_t kernel, stride, padding, dilation;
    bool transposed;

    [[gnu::always_inline]] bool pointwise() const { return kernel == 1 && stride == 1 && padding == 0; }
    [[gnu::always_inline]] std::int64_t taps_at_once() const {
        return std::clamp<std::int64_t>(conv_depth<T> / in_c, 1, kernel * kernel);
    }
    [[gnu::always_inline]] std::int64_t channels_at_once() const { return std::min(in_c, conv_depth<T>); }
};
template <class T>
ConvRows<T> conv_output_rows(const T* x, const contract::Window& s) {
    return {x, s.oh, s.ow, s.h, s.w, s.c, s.kernel, s.stride, s.padding, s.dilation, false};
}
template <class T>
ConvRows<T> conv_input_rows(const T* dy, const contract::Window& s, std::int64_t out_channels) {
    return {dy, s.h, s.w, s.oh, s.ow, out_channels, s.kernel, s.stride, s.padding, s.dilation, true};
}

/// A pixel of the gathered matrix, walked in order: divisions once a chunk.
struct ConvPixel {
    std::int64_t n, p, q;
    template <class T>
    [[gnu::always_inline]] ConvPixel(const ConvRows<T>& s, std::int64_t row)
        : n(row / (s.h * s.w)), p(row / s.w % s.h), q(row % s.w) {}
    template <class T>
    [[gnu::always_inline]] void next(const ConvRows<T>& s) {
        if (++q < s.w) return;
        q = 0;
        if (++p == s.h) p = 0, ++n;
    }
};

/// The coordinate in `in` that tap k of coordinate i reads, or -1.
[[gnu::always_inline]] inline std::int64_t conv_source(std::int64_t i, std::int64_t k, std::int64_t extent,
                                                       std::int64_t stride, std::int64_t padding, std::int64_t dilation,
                                                       bool transposed) {
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

/// A block of columns of the gathered matrix: `taps` taps from (ky, kx) on, of each channels [c, c + channels).
template <class T>
struct ConvColumns {
    std::int64_t tap, taps, ky, kx, c, channels;
    [[gnu::always_inline]] ConvColumns(const ConvRows<T>& s, std::int64_t first_tap, std::int64_t first_channel)
        : tap(first_tap),
          taps(std::min(s.taps_at_once(), s.kernel * s.kernel - tap)),
          ky(tap / s.kernel),
          kx(tap % s.kernel),
          c(first_channel),
          channels(std::min(s.channels_at_once(), s.in_c - c)) {}
    [[gnu::always_inline]] std::int64_t depth() const { return taps * channels; }
};

/// Copies one row of such a block to `to`; false when every tap falls outside.
template <class T>
[[gnu::always_inline]] inline bool gather_row(T* to, const ConvRows<T>& s, const ConvPixel& at,
                                              const ConvColumns<T>& columns) {
    bool inside = false;
    const std::int64_t c = columns.c, channels = columns.channels;
    const bool whole_lines = s.dilation == 1 && !s.transposed && channels == s.in_c;
    std::int64_t ky = columns.ky, kx = columns.kx, line = 0;
    for (std::int64_t taps = columns.taps; taps > 0; taps -= line, to += line * channels, ++ky, kx = 0) {
        line = std::min(s.kernel - kx, taps);
        const std::int64_t y = conv_source(at.p, ky, s.in_h, s.stride, s.padding, s.dilation, s.transposed);
        const T* row = s.in + (at.n * s.in_h + y) * s.in_w * s.in_c + c;
        if (y < 0) {
            clear_run(to, line * channels);
        } else if (whole_lines) {  // neighbouring taps are neighbours in memory
            const std::int64_t first = at.q * s.stride - s.padding + kx;
            if (first >= 0 && first + line <= s.in_w) {
                copy_run(to, row + first * channels, line * channels);
                inside = true;
                continue;
            }
            const std::int64_t begin = std::clamp<std::int64_t>(-first, 0, line);
            const std::int64_t end = std::clamp<std::int64_t>(s.in_w - first, begin, line);
            clear_run(to, begin * channels);
            copy_run(to + begin * channels, row + (first + begin) * channels, (end - begin) * channels);
            clear_run(to + end * channels, (line - end) * channels);
            inside |= end > begin;
        } else {
            for (std::int64_t i = 0; i < line; ++i) {
                const std::int64_t x = conv_source(at.q, kx + i, s.in_w, s.stride, s.padding, s.dilation, s.transposed);
                if (x < 0)
                    clear_run(to + i * channels, channels);
                else
                    copy_run(to + i * channels, row + x * s.in_c, channels), inside = true;
            }
        }
    }
    return inside;
}

/// out[row, o] = (accumulate ? out : bias) + gathered[row, .] weights[., o]; for dx the weights are read transposed.
template <class T>
struct ConvProduct {
    ConvRows<T> rows;
    T* out;
    const T *w, *bias;
    std::int64_t out_channels;
    bool accumulate;
};
template <class T, int B>
struct ConvProductBody {
    static constexpr int height = B > vector_bytes ? 8 : 6;
    static constexpr std::int64_t L = lanes<T, B>, widest = tile_width<T, B>;
    /// The panel of weights of one block: its rows hold V whole vectors. `start` is what the sums start from.
    struct Panel {
        std::int64_t column, columns;
        bool add;
        alignas(64) T weights[static_cast<std::size_t>(conv_depth<T> * widest)];
        alignas(64) T start[static_cast<std::size_t>(widest)];
    };

    [[gnu::always_inline]] static void pack(const ConvProduct<T>& s, const ConvColumns<T>& block, Panel& panel,
                                            std::int64_t width) {
        if (panel.columns < width) clear_run(panel.weights, block.depth() * width);
        for (std::int64_t t = 0; t < block.taps; ++t) {
            T* to = panel.weights + t * block.channels * width;
            const T* w = s.w + (block.tap + t) * s.rows.in_c * s.out_channels;
            if (s.rows.transposed) {
                for (std::int64_t j = 0; j < panel.columns; ++j) {
                    const T* from = w + (panel.column + j) * s.rows.in_c + block.c;
                    for (std::int64_t i = 0; i < block.channels; ++i) to[i * width + j] = from[i];
                }
            } else {
                const T* from = w + block.c * s.out_channels + panel.column;
                for (std::int64_t i = 0; i < block.channels; ++i)
                    copy_run(to + i * width, from + i * s.out_channels, panel.columns);
            }
        }
        for (std::int64_t j = 0; j < width; ++j)
            panel.start[j] = s.bias && j < panel.columns ? s.bias[panel.column + j] : T(0);
    }

    template <int V>
    [[gnu::always_inline]] static void sweep(const ConvProduct<T>& s, const ConvColumns<T>& block, const Panel& panel,
                                             std::int64_t begin, std::int64_t end) {
        alignas(64) T gathered[static_cast<std::size_t>(height * conv_depth<T>)];
        T scrap[static_cast<std::size_t>(widest)] = {};
        const auto& rows = s.rows;
        const bool pointwise = rows.pointwise(), one_tap = block.taps == 1;
        const T* a[height];
        T* c[height];
        int count = 0;
        std::int64_t row = begin;
        if (pointwise && panel.columns == V * L && block.depth() == rows.in_c)  // whole tiles in place
            with_channels<T>(rows.in_c, [&](auto channels) __attribute__((always_inline)) {
                constexpr int R = strided_rows<B>(V);
                for (; row + R <= end; row += R)
                    strided_tile<R, V, B, T>(rows.in + row * channels, channels, 1, panel.weights, V * L, channels,
                                             s.out + row * s.out_channels + panel.column, s.out_channels, panel.add,
                                             panel.start);
            });
        else if (pointwise)
            for (; row + height <= end; row += height) {
                unroll<height>([&](auto r) __attribute__((always_inline)) {
                    a[r] = rows.in + (row + r) * rows.in_c + block.c;
                    c[r] = s.out + (row + r) * s.out_channels + panel.column;
                });
                tile<height, V, B, T>(a, 1, panel.weights, V * L, block.depth(), c, panel.add, panel.start,
                                      panel.columns);
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
            if (!pointwise) at.next(rows);
            if (inside)
                c[count++] = out;
            else if (!panel.add)
                copy_run(out, static_cast<const T*>(panel.start), panel.columns);  // strides leave many such rows in dx
            if (count < height && (row + 1 < end || count == 0)) continue;
            for (; count < height; ++count) a[count] = a[0], c[count] = scrap;
            tile<height, V, B, T>(a, 1, panel.weights, V * L, block.depth(), c, panel.add, panel.start, panel.columns);
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
                    if (panel.columns <= L)
                        sweep<1>(s, block, panel, begin, end);
                    else
                        sweep<2>(s, block, panel, begin, end);
                    panel.add = true;
                }
        }
    }
};
template <class T>
void conv_product(Context& context, const ConvProduct<T>& s, std::int64_t rows) {
    const std::int64_t per_row = s.rows.kernel * s.rows.kernel * s.rows.in_c * s.out_channels;
    const std::int64_t grain = std::max<std::int64_t>(96, (std::int64_t{1} << 20) / per_row / 6 * 6);
    context.for_range(rows, grain, [&](std::int64_t begin, std::int64_t end) {
        dispatch_wide<T, ConvProductBody>(context.isa, s, begin, end);
    });
}

template <class T>
struct Kernel<contract::ConvForward<T>> {
    static void run(Context& context, const contract::ConvForward<T>& s) {
        const auto& window = s.window;
        if (is_stem<T>(window, s.out_channels))
            return context.for_range(window.n * window.oh, row_grain(window.ow, s.out_channels),
                                     [&](std::int64_t begin, std::int64_t end) {
                                         dispatch_wide<T, StemForwardBody>(context.isa, s, begin, end);
                                     });
        conv_product<T>(context, {conv_output_rows(s.x, window), s.y, s.w, s.bias, s.out_channels, false},
                        window.n * window.oh * window.ow);
    }
};
template <class T>
struct Kernel<contract::ConvBackwardData<T>> {
    static void run(Context& context, const contract::ConvBackwardData<T>& s) {
        const auto& window = s.window;
        conv_product<T>(
            context, {conv_input_rows(s.dy, window, s.out_channels), s.dx, s.w, nullptr, window.c, s.accumulate != 0},
            window.n * window.h * window.w);
    }
};

/// out[tap and channel, o] = sum over pixels [begin, end) of gathered[pixel, .] dy[pixel, o]
template <class T, int B>
struct ConvWeightBody {
    static constexpr int height = B > vector_bytes ? 8 : 4;  // the usual channel counts are multiples of 4, not of 6
    static constexpr std::int64_t L = lanes<T, B>, widest = tile_width<T, B>;
    static constexpr std::int64_t packed_rows = 32,
                                  packed_pitch = conv_depth<T> + 8;  // + 8: rows apart in the cache's sets

    /// The operands of one panel: rows of a (gathered or in place) and of b (dy, packed or in place).
    struct Panel {
        const T *a, *b;
        std::int64_t a_step, b_step, rows, depth, columns;
        bool add;
    };
    template <int V>
    [[gnu::always_inline]] static void multiply(const Panel& panel, T* out, std::int64_t out_channels) {
        const T zeros[static_cast<std::size_t>(widest)] = {};
        T scrap[static_cast<std::size_t>(widest)] = {};
        std::int64_t k = 0;
        constexpr int R = strided_rows<B>(V);
        if (panel.columns == V * L)
            for (; k + R <= panel.depth; k += R)
                strided_tile<R, V, B, T>(panel.a + k, std::integral_constant<int, 1>{}, panel.a_step, panel.b,
                                         panel.b_step, panel.rows, out + k * out_channels, out_channels, panel.add,
                                         zeros);
        for (; k < panel.depth; k += height) {
            const T* left[height];
            T* c[height];
            for (int i = 0; i < height; ++i) {
                left[i] = panel.a + std::min(k + i, panel.depth - 1);
                c[i] = k + i < panel.depth ? out + (k + i) * out_channels : scrap;
            }
            tile<height, V, B, T>(left, panel.a_step, panel.b, panel.b_step, panel.rows, c, panel.add, zeros,
                                  panel.columns);
        }
    }

    [[gnu::always_inline]] static void run(const ConvRows<T>& s, const T* dy, T* out, std::int64_t out_channels,
                                           std::int64_t begin, std::int64_t end, bool resume) {
        alignas(64) T gathered[static_cast<std::size_t>(packed_rows * packed_pitch)];
        alignas(64) T right[static_cast<std::size_t>(packed_rows * widest)];
        const bool a_in_place = s.pointwise() && s.in_c < 128, b_in_place = out_channels < 128 && out_channels % L == 0;
        const std::int64_t step =
            a_in_place && b_in_place ? std::clamp<std::int64_t>(8192 / (s.in_c + out_channels), 32, 256) : packed_rows;
        Panel panel;
        panel.a_step = a_in_place ? s.in_c : packed_pitch;
        panel.b_step = b_in_place ? out_channels : widest;
        for (std::int64_t tap = 0; tap < s.kernel * s.kernel; tap += s.taps_at_once())
            for (std::int64_t c = 0; c < s.in_c; c += s.channels_at_once()) {
                const ConvColumns<T> block(s, tap, c);
                T* const to = out + (tap * s.in_c + c) * out_channels;
                panel.depth = block.depth();
                panel.add = resume;
                ConvPixel at(s, begin);
                for (std::int64_t row = begin; row < end; row += step, panel.add = true) {
                    panel.rows = std::min(step, end - row);
                    panel.a = a_in_place ? s.in + row * s.in_c + c : gathered;
                    if (!a_in_place)
                        for (std::int64_t i = 0; i < panel.rows; ++i, at.next(s))
                            gather_row(gathered + i * packed_pitch, s, at, block);
                    for (std::int64_t column = 0; column < out_channels; column += widest) {
                        panel.columns = std::min(widest, out_channels - column);
                        panel.b = dy + row * out_channels + column;
                        if (!b_in_place) {
                            for (std::int64_t i = 0; i < panel.rows; ++i) {
                                copy_run(right + i * widest, panel.b + i * out_channels, panel.columns);
                                clear_run(right + i * widest + panel.columns, widest - panel.columns);
                            }
                            panel.b = right;
                        }
                        if (panel.columns <= L)
                            multiply<1>(panel, to + column, out_channels);
                        else
                            multiply<2>(panel, to + column, out_channels);
                    }
                }
            }
    }
};
template <class T>
struct Kernel<contract::ConvBackwardWeight<T>> {
    static void run(Context& context, const contract::ConvBackwardWeight<T>& s) {
        const auto rows = conv_output_rows(s.x, s.window);
        const std::int64_t pixels = s.window.oh * s.window.ow,
                           size = rows.kernel * rows.kernel * rows.in_c * s.out_channels;
        const bool stem = is_stem<T>(s.window, s.out_channels);
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            if (stem)
                return dispatch_wide<T, StemWeightBody>(context.isa, s.window, s.x, s.dy, s.partial + chunk * size,
                                                        s.out_channels, s.window.n * chunk / s.chunks * s.window.oh,
                                                        s.window.n * (chunk + 1) / s.chunks * s.window.oh,
                                                        s.resume != 0);
            dispatch_wide<T, ConvWeightBody>(context.isa, rows, s.dy, s.partial + chunk * size, s.out_channels,
                                             s.window.n * chunk / s.chunks * pixels,
                                             s.window.n * (chunk + 1) / s.chunks * pixels, s.resume != 0);
        });
    }
};

}  // namespace hwnas::cpu
