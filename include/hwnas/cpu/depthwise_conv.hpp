// SPDX-License-Identifier: MIT
// Depthwise convolution kernels. Forward and the gradient of the data are one gather, for any window; 3x3 with padding
// 1 has forms of its own for strides 1 and 2, in strips of columns that stay in registers. Every column, border or not,
// sums over its taps in row-major order.
#pragma once

#include <hwnas/cpu/depthwise_conv_weight.hpp>
#include <hwnas/cpu/filter_row.hpp>

namespace hwnas::cpu {

template <class T>
struct DepthwiseGather {
    T* out;
    const T *in, *w;
    AxisMap rows, columns;
    std::int64_t c;
    std::int32_t accumulate;

    std::int64_t line_in() const { return columns.from * c; }
    std::int64_t line_out() const { return columns.to * c; }
};

/// The gather for windows of any size, stride, padding and dilation; 3x3 ones have kernels of their own below.
template <class T, int B>
struct DepthwiseGatherBody {
    struct RowTap {
        const T *in, *w;
    };
    struct Row {
        const RowTap* taps;
        std::int32_t count;
        T* out;
        std::int64_t out_step, in_step;  // elements between neighbouring columns of the class
    };

    /// J columns from place t on, all of whose taps are inside.
    template <class V, int J, class M>
    [[gnu::always_inline]] static void inner(const DepthwiseGather<T>& s, const Row& row, const AxisTaps& columns,
                                             std::int64_t t, std::int64_t b, M part) {
        V sum[J] = {};
        for (std::int32_t r = 0; r < row.count; ++r) {
            const T* in = row.taps[r].in + t * row.in_step + b;
            const T* w = row.taps[r].w + b;
            for (std::int32_t k = 0; k < columns.count; ++k) {
                V f, x;
                load_block(f, w + columns.tap[k] * s.c, part);
                const T* source = in + columns.offset[k] * s.c;
#pragma GCC unroll 8
                for (int j = 0; j < J; ++j) {
                    load_block(x, source + j * row.in_step, part);
                    sum[j] += x * f;
                }
            }
        }
        T* const out = row.out + t * row.out_step + b;
        if (s.accumulate) add_blocks<J>(sum, out, row.out_step, part);
        store_blocks<J>(out, row.out_step, sum, part);
    }
    template <class V, class M>
    [[gnu::always_inline]] static void border(const DepthwiseGather<T>& s, const Row& row, const AxisTaps& columns,
                                              std::int64_t t, std::int64_t b, M part) {
        V sum{};
        for (std::int32_t r = 0; r < row.count; ++r)
            for (std::int32_t k = 0; k < columns.count; ++k) {
                const std::int64_t source = t * s.columns.step() + columns.offset[k];
                if (source < 0 || source >= s.columns.from) continue;
                V f, x;
                load_block(f, row.taps[r].w + columns.tap[k] * s.c + b, part);
                load_block(x, row.taps[r].in + source * s.c + b, part);
                sum += x * f;
            }
        store_block(row.out + t * row.out_step + b, sum, part, s.accumulate);
    }

    [[gnu::always_inline]] static void run(const DepthwiseGather<T>& call, std::int64_t begin, std::int64_t end) {
        const DepthwiseGather<T> s = call;  // a copy, so that stores need not be taken for changes of it
        RowTap taps[255];
        for (std::int64_t residue = 0; residue < s.columns.classes(); ++residue) {
            const AxisTaps columns(s.columns, residue);
            for (std::int64_t index = begin; index < end; ++index) {
                const std::int64_t image = index / s.rows.to, i = index % s.rows.to, classes = s.rows.classes();
                Row row{taps, 0, s.out + (index * s.columns.to + residue) * s.c, classes * s.c, s.columns.step() * s.c};
                for (std::int32_t k = 0; k < s.rows.kernel; ++k) {
                    std::int64_t source;
                    if (!s.rows.offset(i, k, source) || source < 0 || source >= s.rows.from) continue;
                    taps[row.count++] = {s.in + (image * s.rows.from + source) * s.columns.from * s.c,
                                         s.w + k * s.rows.kernel * s.c};
                }
                for_parts<T, B>(s.c, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
                    std::int64_t t = 0;
                    for (; t < columns.inner_begin; ++t) border<V>(s, row, columns, t, b, part);
                    for (; t + 4 <= columns.inner_end; t += 4) inner<V, 4>(s, row, columns, t, b, part);
                    for (; t < columns.inner_end; ++t) inner<V, 1>(s, row, columns, t, b, part);
                    for (; t < columns.places; ++t) border<V>(s, row, columns, t, b, part);
                });
            }
        }
    }
};

/// 3x3, padding 1, stride 1, either way.
template <class T>
void depthwise_rows(const DepthwiseGather<T>& s, FilterRowKernel<T> kernel, bool backward, std::int64_t begin,
                    std::int64_t end) {
    const std::int64_t line = s.line_in();
    FilterRow<T> row;
    row.w = s.columns.to, row.c = s.c, row.step = backward ? -s.c : s.c, row.accumulate = s.accumulate != 0;
    for (std::int64_t index = begin; index < end; ++index) {
        const std::int64_t image = index / s.rows.to, p = index % s.rows.to;
        if (s.accumulate) fetch_ahead(s.out + (index + 2) * line, line);
        row.term_count = 0;
        row.add_edge(s.in + image * s.rows.from * line, s.w, p, s.rows.from, 2);
        row.out = s.out + index * line;
        kernel(row);
    }
}

/// 3x3, padding 1, stride 2: seven columns of the output at a time.
template <class T, int B>
struct DepthwiseHalvingBody {
    template <class V, int J, bool Left, bool Right, class C, class M>
    [[gnu::always_inline]] static void strip(const T* const* in, const T* const* f, int rows, T* out, std::int64_t q,
                                             std::int64_t b, C c, M part) {
        V sum[J] = {};
        for (int r = 0; r < rows; ++r) {
            const T* source = in[r] + 2 * q * c + b;
#pragma GCC unroll 3
            for (int t = 0; t < 3; ++t) {
                V a, x;
                load_block(a, f[r] + t * c + b, part);
#pragma GCC unroll 8
                for (int k = 0; k < J; ++k) {
                    if ((Left && k + t == 0) || (Right && k == J - 1 && t == 2)) continue;
                    load_block(x, source + (2 * k + t - 1) * c, part);
                    sum[k] += x * a;
                }
            }
        }
        store_blocks<J>(out + q * c + b, c, sum, part);
    }
    [[gnu::always_inline]] static void run(const DepthwiseGather<T>& call, std::int64_t begin, std::int64_t end) {
        const DepthwiseGather<T> s = call;
        const std::int64_t line = s.line_in(), to = s.columns.to;
        const bool open = s.columns.from % 2 == 0;  // the last column has all its taps
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t image = index / s.rows.to, p = index % s.rows.to;
            const T *in[3], *f[3];
            int rows = 0;
            for (std::int64_t k = 0; k < 3; ++k)
                if (const std::int64_t from = 2 * p + k - 1; from >= 0 && from < s.rows.from) {
                    in[rows] = s.in + (image * s.rows.from + from) * line;
                    f[rows++] = s.w + 3 * k * s.c;
                }
            const std::int64_t next = (image * s.rows.from + 2 * p + 4) * line;
            fetch_ahead(s.in + next, 2 * line);
            T* out = s.out + index * to * s.c;
            channel_blocks<T, B>(s.c, [&](auto kind, auto c, std::int64_t b, auto part) __attribute__((always_inline)) {
                using V = std::remove_pointer_t<decltype(kind)>;
                std::int64_t q = 1;
                if (to == 1)
                    return open ? strip<V, 1, true, false>(in, f, rows, out, 0, b, c, part)
                                : strip<V, 1, true, true>(in, f, rows, out, 0, b, c, part);
                if (to == 7 && open) return strip<V, 7, true, false>(in, f, rows, out, 0, b, c, part);
                if (to > 7)
                    strip<V, 7, true, false>(in, f, rows, out, 0, b, c, part), q = 7;
                else
                    strip<V, 1, true, false>(in, f, rows, out, 0, b, c, part);
                for (; q + 7 < to + open; q += 7) strip<V, 7, false, false>(in, f, rows, out, q, b, c, part);
                for (; q + 1 < to + open; ++q) strip<V, 1, false, false>(in, f, rows, out, q, b, c, part);
                if (!open) strip<V, 1, false, true>(in, f, rows, out, q, b, c, part);
            });
        }
    }
};

/// Its gradient of the data: seven columns of dy make fourteen of dx, even ones from one tap, odd ones from two.
template <class T, int B>
struct DepthwiseDoublingBody {
    template <class V, int J, bool Right, class C, class M>  // Right: there is no column J of dy
    [[gnu::always_inline]] static void strip(const T* const* in, const T* const* f, int rows, T* out, std::int64_t q,
                                             std::int64_t b, C c, M part, bool accumulate) {
        V even[J] = {}, odd[J] = {}, a, x;
        T* place = out + 2 * q * c + b;
        for (int r = 0; r < rows; ++r) {
            const T *source = in[r] + q * c + b, *filter = f[r] + b;
            load_block(a, filter, part);
#pragma GCC unroll 8
            for (int k = 0; k + Right < J; ++k) load_block(x, source + (k + 1) * c, part), odd[k] += x * a;
            load_block(a, filter + c, part);
#pragma GCC unroll 8
            for (int k = 0; k < J; ++k) load_block(x, source + k * c, part), even[k] += x * a;
            load_block(a, filter + 2 * c, part);
#pragma GCC unroll 8
            for (int k = 0; k < J; ++k) load_block(x, source + k * c, part), odd[k] += x * a;
        }
        if (accumulate) add_blocks<J>(even, place, 2 * c, part), add_blocks<J>(odd, place + c, 2 * c, part);
#pragma GCC unroll 8
        for (int k = 0; k < J; ++k) {
            store_block(place + 2 * k * c, even[k], part);
            store_block(place + (2 * k + 1) * c, odd[k], part);
        }
    }
    /// The last column of an odd width.
    template <class V, class C, class M>
    [[gnu::always_inline]] static void last(const T* const* in, const T* const* f, int rows, T* out, std::int64_t q,
                                            std::int64_t b, C c, M part, bool accumulate) {
        V sum{}, a, x;
        for (int r = 0; r < rows; ++r)
            load_block(a, f[r] + c + b, part), load_block(x, in[r] + q * c + b, part), sum += x * a;
        store_block(out + 2 * q * c + b, sum, part, accumulate);
    }
    [[gnu::always_inline]] static void run(const DepthwiseGather<T>& call, std::int64_t begin, std::int64_t end) {
        const DepthwiseGather<T> s = call;
        const std::int64_t line = s.line_in(), from = s.columns.from, pairs = s.columns.to / 2;
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t image = index / s.rows.to, y = index % s.rows.to;
            const T *in[2], *f[2];
            int rows = 0;
            for (std::int64_t k = 2; k >= 0; --k)  // sources ascend
                if (const std::int64_t twice = y + 1 - k; twice % 2 == 0 && twice / 2 < s.rows.from) {
                    in[rows] = s.in + (image * s.rows.from + twice / 2) * line;
                    f[rows++] = s.w + 3 * k * s.c;
                }
            if (s.accumulate) fetch_ahead(s.out + (index + 2) * s.line_out(), s.line_out());
            T* out = s.out + index * s.line_out();
            channel_blocks<T, B>(s.c, [&](auto kind, auto c, std::int64_t b, auto part) __attribute__((always_inline)) {
                using V = std::remove_pointer_t<decltype(kind)>;
                std::int64_t q = 0;
                for (; q + 7 <= pairs && q + 7 < from; q += 7)
                    strip<V, 7, false>(in, f, rows, out, q, b, c, part, s.accumulate);
                if (q + 7 == pairs) return strip<V, 7, true>(in, f, rows, out, q, b, c, part, s.accumulate);
                for (; q < pairs && q + 1 < from; ++q)
                    strip<V, 1, false>(in, f, rows, out, q, b, c, part, s.accumulate);
                if (q < pairs) strip<V, 1, true>(in, f, rows, out, q++, b, c, part, s.accumulate);
                if (q < from) last<V>(in, f, rows, out, q, b, c, part, s.accumulate);
            });
        }
    }
};

template <class T>
void depthwise_gather(Context& context, T* out, const T* in, const T* w, const contract::Window& window, bool backward,
                      std::int32_t accumulate) {
    const DepthwiseGather<T> s{out,      in,        w, rows_of(window, backward), columns_of(window, backward),
                               window.c, accumulate};
    const int stride = filter_stride(window);
    context.for_range(window.n * s.rows.to, row_grain(s.columns.to, s.c), [&](std::int64_t begin, std::int64_t end) {
        if (stride == 1)
            depthwise_rows(s, filter_row_kernel<T>(context.isa), backward, begin, end);
        else if (stride == 2 && !backward)
            dispatch_wide<T, DepthwiseHalvingBody>(context.isa, s, begin, end);
        else if (stride == 2)
            dispatch_wide<T, DepthwiseDoublingBody>(context.isa, s, begin, end);
        else
            dispatch_wide<T, DepthwiseGatherBody>(context.isa, s, begin, end);
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

/// One after the other: tile by tile, what the second needs is still in the cache.
template <class T>
struct Kernel<contract::DepthwiseConvBackward<T>> {
    static void run(Context& context, const contract::DepthwiseConvBackward<T>& s) {
        Kernel<contract::DepthwiseConvBackwardData<T>>::run(context, {s.dx, s.dy, s.w, s.window, s.accumulate});
        Kernel<contract::DepthwiseConvBackwardWeight<T>>::run(context,
                                                              {s.partial, s.x, s.dy, s.window, s.chunks, s.resume});
    }
};

}  // namespace hwnas::cpu
