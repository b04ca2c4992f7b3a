// SPDX-License-Identifier: MIT
// The gradient of a depthwise convolution's filter: summed per chunk of images, then over chunks.
#pragma once

#include <hwnas/cpu/taps.hpp>

namespace hwnas::cpu {

/// The windows that have kernels of their own: 3x3, padding 1, stride 1 or 2 (0: none of them).
inline int filter_stride(const contract::Window& s) {
    return s.kernel == 3 && s.dilation == 1 && s.padding == 1 && s.stride <= 2 ? s.stride : 0;
}

/// 3x3, padding 1, at least 2 x 2 places: nine sums in registers for a block of channels.
template <class T, int B, int Stride>
struct DepthwiseWeight3x3 {
    /// One row of dy, of which x is the centre of the first window. The window moves on by a column or two, so that a
    /// place loads three or six values for nine products. Where 16 registers do not hold sums and window, the compiler
    /// keeps some of it on the stack, which still pays.
    template <class V, int Ky0, int Ky1, class M>
    [[gnu::always_inline]] static void line(V* sum, const T* x, const T* dy, const contract::Window& s, M part) {
        const std::int64_t row = s.w * s.c, last = s.ow - 1;
        V a[3], b[3], c[3], d;  // columns of the window
        const auto read = [&](V* column, std::int64_t at) __attribute__((always_inline)) {
#pragma GCC unroll 3
            for (int ky = Ky0; ky < Ky1; ++ky) load_block(column[ky], x + (ky - 1) * row + at * s.c, part);
        };
        const auto add = [&](const V* column, int kx) __attribute__((always_inline)) {
#pragma GCC unroll 3
            for (int ky = Ky0; ky < Ky1; ++ky) sum[ky * 3 + kx] += column[ky] * d;
        };
        const auto move = [&](V* to, const V* from) __attribute__((always_inline)) {
#pragma GCC unroll 3
            for (int ky = Ky0; ky < Ky1; ++ky) to[ky] = from[ky];
        };
        // The place q, whose window is left, middle and right; what is not there yet is read.
        const auto step = [&](const V* left, V* middle, V* right, std::int64_t q) __attribute__((always_inline)) {
            if constexpr (Stride == 2) read(middle, 2 * q);
            read(right, Stride * q + 1);
            load_block(d, dy + q * s.c, part);
            add(left, 0), add(middle, 1), add(right, 2);
        };
        read(b, 0), read(c, 1);
        load_block(d, dy, part);
        add(b, 1), add(c, 2);
        std::int64_t q = 1;
        if constexpr (Stride == 1) {
            for (; q + 2 < last; q += 3) step(b, c, a, q), step(c, a, b, q + 1), step(a, b, c, q + 2);
            for (; q < last; ++q) step(b, c, a, q), move(b, c), move(c, a);
        } else {
            for (; q + 1 < last; q += 2) step(c, b, a, q), step(a, b, c, q + 1);
            if (q < last) step(c, b, a, q), move(c, a);
            move(b, c), read(c, 2 * last);
        }
        load_block(d, dy + last * s.c, part);
        add(b, 0), add(c, 1);
        if (Stride * last + 1 < s.w) read(a, Stride * last + 1), add(a, 2);
    }
    /// sum[0..8] over one image, of which x and dy are the first channels of the block.
    template <class V, class M>
    [[gnu::always_inline]] static void image(V* sum, const T* x, const T* dy, const contract::Window& s, M part) {
        const std::int64_t row = Stride * s.w * s.c, out = s.ow * s.c, last = s.oh - 1;
        line<V, 1, 3>(sum, x, dy, s, part);
        for (std::int64_t p = 1; p < last; ++p) line<V, 0, 3>(sum, x + p * row, dy + p * out, s, part);
        if (Stride * last + 1 < s.h)
            line<V, 0, 3>(sum, x + last * row, dy + last * out, s, part);
        else
            line<V, 0, 2>(sum, x + last * row, dy + last * out, s, part);
    }
    [[gnu::always_inline]] static void run(const contract::DepthwiseConvBackwardWeight<T>& call, std::int64_t chunk) {
        const auto s = call;
        const auto& window = s.window;
        const std::int64_t c = window.c, from = window.h * window.w * c, to = window.oh * window.ow * c;
        T* partial = s.partial + chunk * 9 * c;
        for (std::int64_t n = window.n * chunk / s.chunks, first = n; n < window.n * (chunk + 1) / s.chunks; ++n)
            for_parts<T, B>(c, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
                V sum[9] = {};
                image<V>(sum, s.x + n * from + b, s.dy + n * to + b, window, part);
                T* const sums = partial + b;
                if (s.resume || n != first) add_blocks<9>(sum, static_cast<const T*>(sums), c, part);
                store_blocks<9>(sums, c, sum, part);
            });
    }
};
template <class T, int B>
struct DepthwiseWeight3x3Body : DepthwiseWeight3x3<T, B, 1> {};
template <class T, int B>
struct DepthwiseWeightHalvingBody : DepthwiseWeight3x3<T, B, 2> {};

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
            for_parts<T>(c, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
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
                                load_block(v, x + (q + j) * window.stride * c, part);
                                load_block(d, dy + (q + j) * c, part);
                                sum[j] += v * d;
                            }
                        for (; q < last; ++q) {
                            load_block(v, x + q * window.stride * c, part);
                            load_block(d, dy + q * c, part);
                            sum[0] += v * d;
                        }
                        sum[0] += sum[1];
                        sum[2] += sum[3];
                        sum[0] += sum[2];
                        store_block(partial + (k * kernel + kx) * c + b, sum[0], part, 1);
                    }
            });
        }
    }
};

template <class T>
struct Kernel<contract::DepthwiseConvBackwardWeight<T>> {
    static void run(Context& context, const contract::DepthwiseConvBackwardWeight<T>& s) {
        const auto& window = s.window;
        const int stride = window.oh > 1 && window.ow > 1 ? filter_stride(window) : 0;
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            if (stride == 1)
                dispatch_wide<T, DepthwiseWeight3x3Body>(context.isa, s, chunk);
            else if (stride == 2)
                dispatch_wide<T, DepthwiseWeightHalvingBody>(context.isa, s, chunk);
            else
                dispatch<T, DepthwiseWeightBody<T>>(context.isa, s, chunk);
        });
    }
};

}  // namespace hwnas::cpu
