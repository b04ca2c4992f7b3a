// SPDX-License-Identifier: MIT
// The gathered matrix of a convolution: one row a pixel, one column a tap and channel. 1x1 windows read their rows in
// place, others copy them to a small buffer.
#pragma once

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
    bool transposed, rectify;  ///< rectify: `in` is read as max(in, 0)

    [[gnu::always_inline]] bool pointwise() const { return kernel == 1 && stride == 1 && padding == 0; }
    [[gnu::always_inline]] std::int64_t taps_at_once() const {
        return std::clamp<std::int64_t>(conv_depth<T> / in_c, 1, kernel * kernel);
    }
    [[gnu::always_inline]] std::int64_t channels_at_once() const { return std::min(in_c, conv_depth<T>); }
};
template <class T>
ConvRows<T> conv_output_rows(const T* x, const contract::Window& s, bool rectify) {
    return {x, s.oh, s.ow, s.h, s.w, s.c, s.kernel, s.stride, s.padding, s.dilation, false, rectify};
}
template <class T>
ConvRows<T> conv_input_rows(const T* dy, const contract::Window& s, std::int64_t out_channels) {
    return {dy, s.h, s.w, s.oh, s.ow, out_channels, s.kernel, s.stride, s.padding, s.dilation, true, false};
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

/// to = from, or max(from, 0), where the rows are read so.
template <class T>
[[gnu::always_inline]] inline void read_run(T* to, const T* from, std::int64_t n, const ConvRows<T>& s) {
    if (s.rectify)
        rectify_run(to, from, n);
    else
        copy_run(to, from, n);
}
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
                read_run(to, row + first * channels, line * channels, s);
                inside = true;
                continue;
            }
            const std::int64_t begin = std::clamp<std::int64_t>(-first, 0, line);
            const std::int64_t end = std::clamp<std::int64_t>(s.in_w - first, begin, line);
            clear_run(to, begin * channels);
            read_run(to + begin * channels, row + (first + begin) * channels, (end - begin) * channels, s);
            clear_run(to + end * channels, (line - end) * channels);
            inside |= end > begin;
        } else {
            for (std::int64_t i = 0; i < line; ++i) {
                const std::int64_t x = conv_source(at.q, kx + i, s.in_w, s.stride, s.padding, s.dilation, s.transposed);
                if (x < 0)
                    clear_run(to + i * channels, channels);
                else
                    read_run(to + i * channels, row + x * s.in_c, channels, s), inside = true;
            }
        }
    }
    return inside;
}

}  // namespace hwnas::cpu
