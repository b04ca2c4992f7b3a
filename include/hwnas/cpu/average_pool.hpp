// SPDX-License-Identifier: MIT
// Average pooling kernels. A window's divisor is (elements inside in y) x (elements inside in x), so the gradient
// weighs each window by a factor of its row and a factor of its column.
#pragma once

#include <hwnas/cpu/taps.hpp>

namespace hwnas::cpu {

/// Fast: kernel 3, dilation 1.
template <class T, bool Fast> struct AveragePoolBody {
    [[gnu::always_inline]] static void run(const contract::AveragePoolForward<T>& call, std::int64_t begin, std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        const auto& window = s.window;
        const std::int64_t c = window.c;
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t n = index / window.oh, p = index % window.oh;
            const TapRange ky = taps_inside(window, p, window.h);
            for (std::int64_t q = 0; q < window.ow; ++q) {
                const TapRange kx = taps_inside(window, q, window.w);
                const bool inner = kx.first == 0 && kx.last == window.kernel;
                const std::int64_t corner = (n * window.h + p * window.stride - window.padding) * window.w + q * window.stride - window.padding;
                const std::int64_t count = s.count_padding ? window.kernel * window.kernel : (ky.last - ky.first) * (kx.last - kx.first);
                const T factor = T(1) / static_cast<T>(count);
                for_channels<T>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                    V sum{}, v;
                    for (std::int32_t i = ky.first; i < ky.last; ++i) {
                        const T* x = s.x + (corner + i * window.dilation * window.w) * c + b;
                        if (Fast && inner) {
                            V line, last;
                            load_block(line, x);
                            load_block(v, x + c);
                            load_block(last, x + 2 * c);
                            line += v;
                            line += last;
                            sum += line;
                        } else {
                            V line{};
                            for (std::int32_t j = kx.first; j < kx.last; ++j) {
                                load_block(v, x + j * window.dilation * c);
                                line += v;
                            }
                            sum += line;
                        }
                    }
                    sum *= factor;
                    store_block(s.y + (index * window.ow + q) * c + b, sum);
                });
            }
        }
    }
};
template <class T> struct Kernel<contract::AveragePoolForward<T>> {
    static void run(Context& context, const contract::AveragePoolForward<T>& s) {
        const auto& window = s.window;
        const bool fast = window.kernel == 3 && window.dilation == 1;
        context.for_range(window.n * window.oh, row_grain(window.ow, window.c), [&](std::int64_t begin, std::int64_t end) {
            if (fast) dispatch<T, AveragePoolBody<T, true>>(context.isa, s, begin, end);
            else dispatch<T, AveragePoolBody<T, false>>(context.isa, s, begin, end);
        });
    }
};

/// Fast: kernel 3, stride 1, dilation 1, padding 1.
template <class T, bool Fast> struct AveragePoolBackwardBody {
    struct Tap {
        std::int64_t at;  // where the row begins, or how far along the row, in elements
        T factor;
    };
    /// 1 / (taps inside along one axis), of the window at `position`.
    [[gnu::always_inline]] static T share(const contract::AveragePoolBackward<T>& s, std::int64_t position, std::int64_t extent) {
        const TapRange inside = taps_inside(s.window, position, extent);
        return T(1) / static_cast<T>(s.count_padding ? s.window.kernel : inside.last - inside.first);
    }
    [[gnu::always_inline]] static void run(const contract::AveragePoolBackward<T>& call, std::int64_t begin, std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        const auto& window = s.window;
        const AxisMap down = rows_of(window, true), across = columns_of(window, true);
        const std::int64_t c = window.c;
        const T third = T(1) / T(3);
        Tap rows[255], columns[255];
        for (std::int64_t index = begin; index < end; ++index) {
            std::int32_t row_count = 0;
            for (std::int32_t k = 0; k < window.kernel; ++k) {
                std::int64_t p;
                if (!down.offset(index % window.h, k, p) || p < 0 || p >= window.oh) continue;
                rows[row_count++] = {(index / window.h * window.oh + p) * window.ow * c, share(s, p, window.h)};
            }
            for (std::int64_t j = 0; j < window.w; ++j) {
                const bool inner = Fast && j >= 2 && j + 2 < window.w;  // its three windows are inside, the divisor is 3
                std::int32_t count = 0;
                for (std::int32_t k = 0; k < window.kernel && !inner; ++k) {
                    std::int64_t q;
                    if (across.offset(j, k, q) && q >= 0 && q < window.ow) columns[count++] = {q * c, share(s, q, window.w)};
                }
                for_channels<T>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                    V sum{}, v;
                    for (std::int32_t r = 0; r < row_count; ++r) {
                        const T* dy = s.dy + rows[r].at + b;
                        if (inner) {
                            V line, last;
                            load_block(line, dy + (j - 1) * c);
                            load_block(v, dy + j * c);
                            load_block(last, dy + (j + 1) * c);
                            line += v;
                            line += last;
                            sum += line * (third * rows[r].factor);
                        } else {
                            V line{};
                            for (std::int32_t k = 0; k < count; ++k) {
                                load_block(v, dy + columns[k].at);
                                line += v * columns[k].factor;
                            }
                            sum += line * rows[r].factor;
                        }
                    }
                    store_block(s.dx + (index * window.w + j) * c + b, sum, s.accumulate);
                });
            }
        }
    }
};
template <class T> struct Kernel<contract::AveragePoolBackward<T>> {
    static void run(Context& context, const contract::AveragePoolBackward<T>& s) {
        const auto& window = s.window;
        const bool fast = window.kernel == 3 && window.stride == 1 && window.dilation == 1 && window.padding == 1;
        context.for_range(window.n * window.h, row_grain(window.w, window.c), [&](std::int64_t begin, std::int64_t end) {
            if (fast) dispatch<T, AveragePoolBackwardBody<T, true>>(context.isa, s, begin, end);
            else dispatch<T, AveragePoolBackwardBody<T, false>>(context.isa, s, begin, end);
        });
    }
};

}  // namespace hwnas::cpu
