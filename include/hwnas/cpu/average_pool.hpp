// SPDX-License-Identifier: MIT
// Average pooling kernels. A window's divisor is (elements inside in y) x (elements inside in x), so the gradient
// weighs each window by a factor of its row and a factor of its column.
#pragma once

#include <hwnas/cpu/taps.hpp>

namespace hwnas::cpu {

/// Forward for windows of any size, stride, padding and dilation; the common ones have kernels of their own below.
template <class T>
struct AveragePoolBody {
    [[gnu::always_inline]] static void run(const contract::AveragePoolForward<T>& call, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        const auto& window = s.window;
        const std::int64_t c = window.c;
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t n = index / window.oh, p = index % window.oh;
            const TapRange ky = taps_inside(window, p, window.h);
            for (std::int64_t q = 0; q < window.ow; ++q) {
                const TapRange kx = taps_inside(window, q, window.w);
                const std::int64_t corner =
                    (n * window.h + p * window.stride - window.padding) * window.w + q * window.stride - window.padding;
                const std::int64_t count =
                    s.count_padding ? window.kernel * window.kernel : (ky.last - ky.first) * (kx.last - kx.first);
                const T factor = T(1) / static_cast<T>(count);
                for_parts<T>(c, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
                    V sum{}, v;
                    for (std::int32_t i = ky.first; i < ky.last; ++i) {
                        const T* x = s.x + (corner + i * window.dilation * window.w) * c + b;
                        for (std::int32_t j = kx.first; j < kx.last; ++j) {
                            load_block(v, x + j * window.dilation * c, part);
                            sum += v;
                        }
                    }
                    sum *= factor;
                    store_block(s.y + (index * window.ow + q) * c + b, sum, part);
                });
            }
        }
    }
};
template <class T>
struct AveragePoolBackwardBody {
    struct Tap {
        std::int64_t at;  // where the row begins, or how far along the row, in elements
        T factor;
    };
    /// 1 / (taps inside along one axis), of the window at `position`.
    [[gnu::always_inline]] static T share(const contract::AveragePoolBackward<T>& s, std::int64_t position,
                                          std::int64_t extent) {
        const TapRange inside = taps_inside(s.window, position, extent);
        return T(1) / static_cast<T>(s.count_padding ? s.window.kernel : inside.last - inside.first);
    }
    [[gnu::always_inline]] static void run(const contract::AveragePoolBackward<T>& call, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        const auto& window = s.window;
        const AxisMap down = rows_of(window, true), across = columns_of(window, true);
        const std::int64_t c = window.c;
        Tap rows[255], columns[255];
        for (std::int64_t index = begin; index < end; ++index) {
            std::int32_t row_count = 0;
            for (std::int32_t k = 0; k < window.kernel; ++k) {
                std::int64_t p;
                if (!down.offset(index % window.h, k, p) || p < 0 || p >= window.oh) continue;
                rows[row_count++] = {(index / window.h * window.oh + p) * window.ow * c, share(s, p, window.h)};
            }
            for (std::int64_t j = 0; j < window.w; ++j) {
                std::int32_t count = 0;
                for (std::int32_t k = 0; k < window.kernel; ++k) {
                    std::int64_t q;
                    if (across.offset(j, k, q) && q >= 0 && q < window.ow)
                        columns[count++] = {q * c, share(s, q, window.w)};
                }
                for_parts<T>(c, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
                    V sum{}, v;
                    for (std::int32_t r = 0; r < row_count; ++r) {
                        const T* dy = s.dy + rows[r].at + b;
                        V line{};
                        for (std::int32_t k = 0; k < count; ++k) {
                            load_block(v, dy + columns[k].at, part);
                            line += v * columns[k].factor;
                        }
                        sum += line * rows[r].factor;
                    }
                    store_block(s.dx + (index * window.w + j) * c + b, sum, part, s.accumulate);
                });
            }
        }
    }
};
/// Both directions for kernel 3, stride 1, dilation 1, padding 1, two columns or more: sums of columns of three, then
/// of three such sums. Divisors belong to the place written in forward, to the place read in backward.
template <class T, bool Backward>
struct AveragePool3x3Body {
    struct Rows {
        const T* in[3];
        T factor[3];
    };
    template <class V, int N, class M>
    [[gnu::always_inline]] static void line(T* out, const Rows& rows, std::int64_t w, std::int64_t c, M part, T third,
                                            T edge, std::int32_t accumulate) {
        const auto column = [&](V& sum, std::int64_t q) __attribute__((always_inline)) {
            V v;
            sum = V{};
#pragma GCC unroll 4
            for (int r = 0; r < N; ++r) {
                load_block(v, rows.in[r] + q * c, part);
                sum += v * rows.factor[r];
            }
            if constexpr (Backward) sum *= q == 0 || q == w - 1 ? edge : third;
        };
        V before{}, here, after{};
        column(here, 0);
        for (std::int64_t q = 0; q < w; ++q) {
            V sum = before + here;
            if (q + 1 < w) {
                column(after, q + 1);
                sum += after;
            }
            if constexpr (!Backward) sum *= q == 0 || q == w - 1 ? edge : third;
            store_block(out + q * c, sum, part, accumulate);
            before = here;
            here = after;
        }
    }
    [[gnu::always_inline]] static void run(T* out, const T* in, const contract::Window& window,
                                           std::int32_t count_padding, std::int32_t accumulate, std::int64_t begin,
                                           std::int64_t end) {
        const std::int64_t h = window.h, w = window.w, c = window.c;
        const T third = T(1) / T(3), edge = count_padding ? third : T(1) / T(2);
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t i = index % h, first = i > 0 ? i - 1 : 0, last = i + 1 < h ? i + 1 : i;
            Rows rows{};
            for (std::int64_t p = first; p <= last; ++p) {
                const std::int64_t place = Backward ? p : i, inside = 3 - (place == 0) - (place == h - 1);
                rows.in[p - first] = in + (index - i + p) * w * c;
                rows.factor[p - first] = count_padding ? third : T(1) / static_cast<T>(inside);
            }
            for_parts<T>(c, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
                Rows at = rows;
                for (auto& row : at.in) row += b;
                T* const to = out + index * w * c + b;
                if (last - first == 2)
                    line<V, 3>(to, at, w, c, part, third, edge, accumulate);
                else if (last - first == 1)
                    line<V, 2>(to, at, w, c, part, third, edge, accumulate);
                else
                    line<V, 1>(to, at, w, c, part, third, edge, accumulate);
            });
        }
    }
};
inline bool average_pool_is_3x3(const contract::Window& window) {
    return window.kernel == 3 && window.stride == 1 && window.dilation == 1 && window.padding == 1 && window.w > 1;
}

/// Kernel 2, stride 2 without padding on even extents: every element belongs to one window.
template <class T, int B>
struct AveragePoolHalveBody {
    [[gnu::always_inline]] static void run(const contract::AveragePoolForward<T>& call, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;
        const std::int64_t c = s.window.c, row = s.window.w * c;
        for (std::int64_t index = begin; index < end; ++index)
            for_parts<T, B>(c, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
                const T* x = s.x + 2 * index * row + b;
                T* y = s.y + index * s.window.ow * c + b;
                for (std::int64_t q = 0; q < s.window.ow; ++q, x += 2 * c, y += c) {
                    V v, right, below, last;
                    load_block(v, x, part), load_block(right, x + c, part);
                    load_block(below, x + row, part), load_block(last, x + row + c, part);
                    v = ((v + right) + (below + last)) * T(0.25);
                    store_block(y, v, part);
                }
            });
    }
};
template <class T, int B>
struct AveragePoolHalveBackwardBody {
    [[gnu::always_inline]] static void run(const contract::AveragePoolBackward<T>& call, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;
        const std::int64_t c = s.window.c, row = s.window.w * c;
        for (std::int64_t index = begin; index < end; ++index)
            for_parts<T, B>(c, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
                const T* dy = s.dy + index / 2 * s.window.ow * c + b;
                T* dx = s.dx + index * row + b;
                for (std::int64_t q = 0; q < s.window.ow; ++q, dx += 2 * c, dy += c) {
                    V v, pair[2];
                    load_block(v, dy, part);
                    pair[0] = pair[1] = v * T(0.25);
                    if (s.accumulate) add_blocks<2>(pair, dx, c, part);
                    store_blocks<2>(dx, c, pair, part);
                }
            });
    }
};
inline bool average_pool_halves(const contract::Window& window) {
    return window.kernel == 2 && window.stride == 2 && window.dilation == 1 && window.padding == 0 &&
           window.h % 2 == 0 && window.w % 2 == 0;
}

template <class T>
struct Kernel<contract::AveragePoolForward<T>> {
    static void run(Context& context, const contract::AveragePoolForward<T>& s) {
        const bool fast = average_pool_is_3x3(s.window);
        context.for_range(s.window.n * s.window.oh, row_grain(s.window.ow, s.window.c),
                          [&](std::int64_t begin, std::int64_t end) {
                              if (average_pool_halves(s.window))
                                  dispatch_wide<T, AveragePoolHalveBody>(context.isa, s, begin, end);
                              else if (fast)
                                  dispatch<T, AveragePool3x3Body<T, false>>(context.isa, s.y, s.x, s.window,
                                                                            s.count_padding, 0, begin, end);
                              else
                                  dispatch<T, AveragePoolBody<T>>(context.isa, s, begin, end);
                          });
    }
};
template <class T>
struct Kernel<contract::AveragePoolBackward<T>> {
    static void run(Context& context, const contract::AveragePoolBackward<T>& s) {
        const bool fast = average_pool_is_3x3(s.window);
        context.for_range(s.window.n * s.window.h, row_grain(s.window.w, s.window.c),
                          [&](std::int64_t begin, std::int64_t end) {
                              if (average_pool_halves(s.window))
                                  dispatch_wide<T, AveragePoolHalveBackwardBody>(context.isa, s, begin, end);
                              else if (fast)
                                  dispatch<T, AveragePool3x3Body<T, true>>(context.isa, s.dx, s.dy, s.window,
                                                                           s.count_padding, s.accumulate, begin, end);
                              else
                                  dispatch<T, AveragePoolBackwardBody<T>>(context.isa, s, begin, end);
                          });
    }
};

}  // namespace hwnas::cpu
