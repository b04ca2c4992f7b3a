// SPDX-License-Identifier: MIT
// Depthwise convolution kernels. Forward and the gradient of the data are one gather that marches along a row with
// four columns in flight, its 3x3 stride 1 form holding inputs and filter in registers. Every column, border or not,
// sums over its taps in row-major order. The gradient of the filter is summed per chunk of images, then over chunks.
#pragma once

#include <hwnas/cpu/taps.hpp>

namespace hwnas::cpu {

template <class T>
struct DepthwiseGather {
    T* out;
    const T *in, *w;
    AxisMap rows, columns;
    std::int64_t c;
    std::int32_t accumulate;
};

/// March 0: any window. +1 and -1: kernel 3, stride 1, dilation 1, sources ascending (forward) or descending
/// (backward).
template <class T, int B, int March>
struct DepthwiseGatherBody {
    static constexpr int left = March > 0 ? 1 : 0;  // first tap inside at the left edge, with padding 1
    struct RowTap {
        const T *in, *w;
    };
    struct Row {
        const RowTap* taps;
        std::int32_t count;
        T* out;
        std::int64_t out_step, in_step;  // elements between neighbouring columns of the class
    };

    /// J columns from place t on, all of whose taps [K0, K1) are inside (the others, in a 3x3 march, are not).
    template <class V, int J, int K0 = 0, int K1 = 3>
    [[gnu::always_inline]] static void inner(const DepthwiseGather<T>& s, const Row& row, const AxisTaps& columns,
                                             std::int64_t t, std::int64_t b) {
        V sum[J] = {};
        for (std::int32_t r = 0; r < row.count; ++r) {
            const T* in = row.taps[r].in + t * row.in_step + b;
            const T* w = row.taps[r].w + b;
            if constexpr (March != 0) {
                constexpr int wide = J + K1 - K0 - 1;
                V x[wide], f[3];
                in += columns.offset[March > 0 ? K0 : K1 - 1] * s.c;
#pragma GCC unroll 8
                for (int j = 0; j < wide; ++j) load_block(x[j], in + j * s.c);
#pragma GCC unroll 8
                for (int k = K0; k < K1; ++k) load_block(f[k], w + k * s.c);
#pragma GCC unroll 8
                for (int k = K0; k < K1; ++k)
#pragma GCC unroll 8
                    for (int j = 0; j < J; ++j) sum[j] += x[March > 0 ? j + k - K0 : j + K1 - 1 - k] * f[k];
            } else {
                for (std::int32_t k = 0; k < columns.count; ++k) {
                    V f, x;
                    load_block(f, w + columns.tap[k] * s.c);
                    const T* source = in + columns.offset[k] * s.c;
#pragma GCC unroll 8
                    for (int j = 0; j < J; ++j) {
                        load_block(x, source + j * row.in_step);
                        sum[j] += x * f;
                    }
                }
            }
        }
#pragma GCC unroll 8
        for (int j = 0; j < J; ++j) store_block(row.out + (t + j) * row.out_step + b, sum[j], s.accumulate);
    }
    template <class V>
    [[gnu::always_inline]] static void border(const DepthwiseGather<T>& s, const Row& row, const AxisTaps& columns,
                                              std::int64_t t, std::int64_t b) {
        V sum{};
        for (std::int32_t r = 0; r < row.count; ++r)
            for (std::int32_t k = 0; k < columns.count; ++k) {
                const std::int64_t source = t * s.columns.step() + columns.offset[k];
                if (source < 0 || source >= s.columns.from) continue;
                V f, x;
                load_block(f, row.taps[r].w + columns.tap[k] * s.c + b);
                load_block(x, row.taps[r].in + source * s.c + b);
                sum += x * f;
            }
        store_block(row.out + t * row.out_step + b, sum, s.accumulate);
    }

    [[gnu::always_inline]] static void run(const DepthwiseGather<T>& call, std::int64_t begin, std::int64_t end) {
        const DepthwiseGather<T> s = call;  // a copy, so that stores need not be taken for changes of it
        RowTap taps[255];
        for (std::int64_t residue = 0; residue < s.columns.classes(); ++residue) {
            const AxisTaps columns(s.columns, residue);
            const bool edges = s.columns.padding == 1 && columns.places > 1;  // one column on either side lacks one tap
            for (std::int64_t index = begin; index < end; ++index) {
                const std::int64_t image = index / s.rows.to, i = index % s.rows.to, classes = s.rows.classes();
                if constexpr (March != 0) {  // the call before this one may have left neither in the cache
                    const std::int64_t line = s.columns.from * s.c;
                    fetch_ahead(s.in + (index + 3) * line, line);
                    if (s.accumulate) fetch_ahead(s.out + (index + 2) * line, line);
                }
                Row row{taps, 0, s.out + (index * s.columns.to + residue) * s.c, classes * s.c, s.columns.step() * s.c};
                for (std::int32_t k = 0; k < s.rows.kernel; ++k) {
                    std::int64_t source;
                    if (!s.rows.offset(i, k, source) || source < 0 || source >= s.rows.from) continue;
                    taps[row.count++] = {s.in + (image * s.rows.from + source) * s.columns.from * s.c,
                                         s.w + k * s.rows.kernel * s.c};
                }
                for_channels<T, B>(s.c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                    std::int64_t t = 0;
                    if constexpr (March != 0)
                        if (edges) inner<V, 1, left, left + 2>(s, row, columns, t++, b);
                    for (; t < columns.inner_begin; ++t) border<V>(s, row, columns, t, b);
                    for (; t + 4 <= columns.inner_end; t += 4) inner<V, 4>(s, row, columns, t, b);
                    for (; t < columns.inner_end; ++t) inner<V, 1>(s, row, columns, t, b);
                    if constexpr (March != 0)
                        if (edges) inner<V, 1, 1 - left, 3 - left>(s, row, columns, t++, b);
                    for (; t < columns.places; ++t) border<V>(s, row, columns, t, b);
                });
            }
        }
    }
};

template <class T, int B>
struct DepthwiseGatherAny : DepthwiseGatherBody<T, B, 0> {};
template <class T, int B>
struct DepthwiseGatherAhead : DepthwiseGatherBody<T, B, 1> {};
template <class T, int B>
struct DepthwiseGatherBack : DepthwiseGatherBody<T, B, -1> {};

template <class T>
void depthwise_gather(Context& context, T* out, const T* in, const T* w, const contract::Window& window, bool backward,
                      std::int32_t accumulate) {
    const DepthwiseGather<T> s{out,      in,        w, rows_of(window, backward), columns_of(window, backward),
                               window.c, accumulate};
    const bool fast = window.kernel == 3 && window.stride == 1 && window.dilation == 1;
    context.for_range(window.n * s.rows.to, row_grain(s.columns.to, s.c), [&](std::int64_t begin, std::int64_t end) {
        if (!fast)
            dispatch_wide<T, DepthwiseGatherAny>(context.isa, s, begin, end);
        else if (backward)
            dispatch_wide<T, DepthwiseGatherBack>(context.isa, s, begin, end);
        else
            dispatch_wide<T, DepthwiseGatherAhead>(context.isa, s, begin, end);
    });
}
template <class T>
struct Kernel<contract::DepthwiseConvForward<T>> {
    static void run(Context& context, const contract::DepthwiseConvForward<T>& s) {
        depthwise_gather(context, s.y, s.x, s.w, s.window, false, 0);
    }
};
template <class T>
struct Kernel<contract::DepthwiseConvBackwardData<T>> {
    static void run(Context& context, const contract::DepthwiseConvBackwardData<T>& s) {
        depthwise_gather(context, s.dx, s.dy, s.w, s.window, true, s.accumulate);
    }
};

/// Kernel 3, stride 1, dilation 1, padding 1, at least 2 x 2 pixels: nine sums in registers for a block of channels.
template <class T, int B>
struct DepthwiseWeight3x3Body {
    template <class V, int Ky0, int Ky1, int Kx0, int Kx1>
    [[gnu::always_inline]] static void pixel(V* sum, const T* x, const T* dy, std::int64_t row, std::int64_t c) {
        V d, v;
        load_block(d, dy);
#pragma GCC unroll 8
        for (int ky = Ky0; ky < Ky1; ++ky)
#pragma GCC unroll 8
            for (int kx = Kx0; kx < Kx1; ++kx) {
                load_block(v, x + (ky - 1) * row + (kx - 1) * c);
                sum[ky * 3 + kx] += v * d;
            }
    }
    template <class V, int Ky0, int Ky1>
    [[gnu::always_inline]] static void line(V* sum, const T* x, const T* dy, const contract::Window& s) {
        const std::int64_t row = s.w * s.c;
        pixel<V, Ky0, Ky1, 1, 3>(sum, x, dy, row, s.c);
        for (std::int64_t q = 1; q + 1 < s.w; ++q) pixel<V, Ky0, Ky1, 0, 3>(sum, x + q * s.c, dy + q * s.c, row, s.c);
        pixel<V, Ky0, Ky1, 0, 2>(sum, x + row - s.c, dy + row - s.c, row, s.c);
    }
    [[gnu::always_inline]] static void run(const contract::DepthwiseConvBackwardWeight<T>& call, std::int64_t chunk) {
        const auto s = call;
        const auto& window = s.window;
        const std::int64_t c = window.c, row = window.w * c, image = window.h * row;
        T* partial = s.partial + chunk * 9 * c;
        for (std::int64_t n = window.n * chunk / s.chunks, first = n; n < window.n * (chunk + 1) / s.chunks; ++n)
            for_channels<T, B>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                const T *x = s.x + n * image + b, *dy = s.dy + n * image + b;
                V sum[9] = {};
                line<V, 1, 3>(sum, x, dy, window);
                for (std::int64_t p = 1; p + 1 < window.h; ++p) line<V, 0, 3>(sum, x + p * row, dy + p * row, window);
                line<V, 0, 2>(sum, x + image - row, dy + image - row, window);
#pragma GCC unroll 9
                for (int k = 0; k < 9; ++k) store_block(partial + k * c + b, sum[k], s.resume || n != first);
            });
    }
};

/// Any window: tap by tap along each row, four columns in flight.
template <class T>
struct DepthwiseWeightBody {
    [[gnu::always_inline]] static void run(const contract::DepthwiseConvBackwardWeight<T>& call, std::int64_t chunk) {
        const auto s = call;
        const auto& window = s.window;
        const std::int64_t c = window.c, kernel = window.kernel;
        T* partial = s.partial + chunk * kernel * kernel * c;
        if (!s.resume)
            for (std::int64_t i = 0; i < kernel * kernel * c; ++i) partial[i] = 0;
        const AxisTaps columns(columns_of(window, false), 0);
        for (std::int64_t index = window.n * chunk / s.chunks * window.oh;
             index < window.n * (chunk + 1) / s.chunks * window.oh; ++index) {
            const std::int64_t n = index / window.oh, p = index % window.oh;
            const TapRange ky = taps_inside(window, p, window.h);
            for_channels<T>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                for (std::int32_t k = ky.first; k < ky.last; ++k)
                    for (std::int32_t kx = 0; kx < columns.count; ++kx) {
                        const std::int64_t line =
                            n * window.h + p * window.stride - window.padding + std::int64_t{k} * window.dilation;
                        const std::int64_t start = columns.offset[kx];
                        std::int64_t q = start < 0 ? (-start + window.stride - 1) / window.stride : 0;
                        const std::int64_t last =
                            start < window.w ? std::min(window.ow, (window.w - 1 - start) / window.stride + 1) : 0;
                        const T *x = s.x + (line * window.w + start) * c + b, *dy = s.dy + index * window.ow * c + b;
                        V sum[4] = {}, v, d;
                        for (; q + 4 <= last; q += 4)
#pragma GCC unroll 8
                            for (int j = 0; j < 4; ++j) {
                                load_block(v, x + (q + j) * window.stride * c);
                                load_block(d, dy + (q + j) * c);
                                sum[j] += v * d;
                            }
                        for (; q < last; ++q) {
                            load_block(v, x + q * window.stride * c);
                            load_block(d, dy + q * c);
                            sum[0] += v * d;
                        }
                        sum[0] += sum[1];
                        sum[2] += sum[3];
                        sum[0] += sum[2];
                        store_block(partial + (k * kernel + kx) * c + b, sum[0], 1);
                    }
            });
        }
    }
};

template <class T>
struct Kernel<contract::DepthwiseConvBackwardWeight<T>> {
    static void run(Context& context, const contract::DepthwiseConvBackwardWeight<T>& s) {
        const auto& window = s.window;
        const bool fast = window.kernel == 3 && window.stride == 1 && window.dilation == 1 && window.padding == 1 &&
                          window.h > 1 && window.w > 1;
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            if (fast)
                dispatch_wide<T, DepthwiseWeight3x3Body>(context.isa, s, chunk);
            else
                dispatch<T, DepthwiseWeightBody<T>>(context.isa, s, chunk);
        });
    }
};

}  // namespace hwnas::cpu
