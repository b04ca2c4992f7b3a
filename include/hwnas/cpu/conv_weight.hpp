// SPDX-License-Identifier: MIT
// The gradient of a convolution's weights: the gathered matrix, transposed, times dy, chunk by chunk.
#pragma once

#include <hwnas/cpu/conv_rows.hpp>
#include <hwnas/cpu/conv_stem.hpp>

namespace hwnas::cpu {

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
    template <int V, class M>
    [[gnu::always_inline]] static void multiply(const Panel& panel, T* out, std::int64_t out_channels, M last) {
        const T zeros[static_cast<std::size_t>(widest)] = {};
        T scrap[static_cast<std::size_t>(widest)] = {};
        std::int64_t k = 0;
        constexpr int R = strided_rows<B>(V);
        if (lane_masks<T, B> || panel.columns == V * L)
            for (; k + R <= panel.depth; k += R)
                strided_tile<R, V, B, T>(panel.a + k, std::integral_constant<int, 1>{}, panel.a_step, panel.b,
                                         panel.b_step, panel.rows, out + k * out_channels, out_channels, panel.add,
                                         zeros, last);
        for (; k < panel.depth; k += height) {
            const T* left[height];
            T* c[height];
            for (int i = 0; i < height; ++i) {
                left[i] = panel.a + std::min(k + i, panel.depth - 1);
                c[i] = k + i < panel.depth ? out + (k + i) * out_channels : scrap;
            }
            tile<height, V, B, T>(left, panel.a_step, panel.b, panel.b_step, panel.rows, c, panel.add, zeros,
                                  panel.columns, last);
        }
    }

    [[gnu::always_inline]] static void run(const ConvRows<T>& s, const T* dy, T* out, std::int64_t out_channels,
                                           std::int64_t begin, std::int64_t end, bool resume) {
        alignas(64) T gathered[static_cast<std::size_t>(packed_rows * packed_pitch)];
        alignas(64) T right[static_cast<std::size_t>(packed_rows * widest)];
        const bool a_in_one = s.pointwise() && s.in_c < 128, a_in_place = a_in_one && !s.rectify,
                   b_in_place = out_channels < 128 && (out_channels % L == 0 || lane_masks<T, B>);
        const std::int64_t room = a_in_one && !a_in_place ? packed_rows * packed_pitch / s.in_c : 256;
        const std::int64_t step = a_in_one && b_in_place ? std::clamp<std::int64_t>(8192 / (s.in_c + out_channels), 32,
                                                                                    std::min<std::int64_t>(room, 256))
                                                         : std::min(packed_rows, room);
        Panel panel;
        panel.a_step = a_in_one ? s.in_c : packed_pitch;
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
                    if (a_in_one && s.rectify)
                        rectify_run<B>(gathered, s.in + row * s.in_c, panel.rows * s.in_c);
                    else if (!a_in_place)
                        for (std::int64_t i = 0; i < panel.rows; ++i, at.next(s))
                            gather_row(gathered + i * packed_pitch, s, at, block);
                    for (std::int64_t column = 0; column < out_channels; column += widest) {
                        panel.columns = std::min(widest, out_channels - column);
                        panel.b = dy + row * out_channels + column;
                        if (!b_in_place) {
                            for (std::int64_t i = 0; i < panel.rows; ++i) {
                                copy_run<B>(right + i * widest, panel.b + i * out_channels, panel.columns);
                                clear_run(right + i * widest + panel.columns, widest - panel.columns);
                            }
                            panel.b = right;
                        }
                        with_last<T, B>(panel.columns, [&](auto last) __attribute__((always_inline)) {
                            if (panel.columns <= L)
                                multiply<1>(panel, to + column, out_channels, last);
                            else
                                multiply<2>(panel, to + column, out_channels, last);
                        });
                    }
                }
            }
    }
};
template <class T>
struct Kernel<contract::ConvBackwardWeight<T>> {
    static void run(Context& context, const contract::ConvBackwardWeight<T>& s) {
        const auto rows = conv_output_rows(s.x, s.window, s.rectify != 0);
        const std::int64_t pixels = s.window.oh * s.window.ow,
                           size = rows.kernel * rows.kernel * rows.in_c * s.out_channels;
        const bool stem = !s.rectify && StemLines<T>::fits(s.window);
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            if (stem)
                return dispatch_wide<T, StemWeightBody, narrow_bytes>(
                    context.isa, s.window, s.x, s.dy, s.partial + chunk * size, s.out_channels,
                    s.window.n * chunk / s.chunks * s.window.oh, s.window.n * (chunk + 1) / s.chunks * s.window.oh,
                    s.resume != 0);
            dispatch_wide<T, ConvWeightBody, narrow_bytes>(context.isa, rows, s.dy, s.partial + chunk * size,
                                                           s.out_channels, s.window.n * chunk / s.chunks * pixels,
                                                           s.window.n * (chunk + 1) / s.chunks * pixels, s.resume != 0);
        });
    }
};

}  // namespace hwnas::cpu
