// SPDX-License-Identifier: MIT
// Max pooling kernels. Forward keeps the byte of the winning tap; for 3x3 stride 1 it walks down the image, so that the
// winner of three neighbours in a row serves three windows. Backward gathers from the windows that chose this place.
#pragma once

#include <hwnas/cpu/max_pool_backward.hpp>
#include <hwnas/cpu/taps.hpp>

#include <bit>

namespace hwnas::cpu {

/// value = the larger of value and v, a NaN above all.
template <class V>
[[gnu::always_inline]] inline void raise(V& value, const V& v) {
    if constexpr (std::is_arithmetic_v<V>) {
        if (!(v <= value) && value == value) value = v;
    } else if constexpr (sizeof(V) > vector_bytes) {
        raise_wide(value, v);
    } else {
        value = (~(v <= value) & (value == value)) ? v : value;
    }
}

/// The largest so far and its tap, for the channels of block V.
template <class V, class T>
struct Largest {
    using Ints = typename BlockOf<V, T>::Ints;
    V value;
    Ints tap;

    [[gnu::always_inline]] void first(const V& v, std::int64_t k) {
        value = v;
        tap = static_cast<std::int32_t>(k) - Ints{};
    }
    /// Takes v if it is larger, or the first NaN: not (v <= value) is true for both.
    [[gnu::always_inline]] void offer(const V& v, const Ints& k) {
        if constexpr (sizeof(V) > vector_bytes) {
            V larger;
            Ints of_larger;
            choose_le(larger, v, value, value, v);  // v where it is NaN
            choose_le(of_larger, v, value, tap, k);
            choose_le(tap, value, value, of_larger, tap);  // not where a NaN has won
            choose_le(value, value, value, larger, value);
            return;
        }
        Ints take;
        if constexpr (std::is_same_v<V, T>)
            take = !(v <= value) && value == value;
        else
            take = ~(v <= value) & (value == value);
        value = take ? v : value;
        tap = take ? k : tap;
    }
    [[gnu::always_inline]] void write(T* y, std::uint8_t* taps) const {
        store_block(y, value);
        if constexpr (std::is_same_v<V, T>)
            *taps = static_cast<std::uint8_t>(tap);
        else if constexpr (sizeof(V) == 32 && sizeof(T) == 4 && std::endian::native == std::endian::little) {
            Vec<std::uint8_t>
                bytes;  // compilers make a poor job of converting eight ints to bytes: gather them per half
            __builtin_memcpy(&bytes, &tap, sizeof bytes);
            bytes =
                __builtin_shufflevector(bytes, bytes, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                        16, 20, 24, 28, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
            __builtin_memcpy(taps, &bytes, 4);
            __builtin_memcpy(taps + 4, reinterpret_cast<const char*>(&bytes) + 16, 4);
        } else if constexpr (sizeof(V) > vector_bytes) {
            WideBytes bytes;
            narrow(bytes, tap);
            __builtin_memcpy(taps, &bytes, sizeof bytes);
        } else {
            const auto bytes = __builtin_convertvector(tap, typename BlockOf<V, T>::Bytes);
            __builtin_memcpy(taps, &bytes, sizeof bytes);
        }
    }
};

/// Kernel 3, stride 1, dilation 1, padding 1: column by column, downwards, over rows [begin, end) of all images.
template <class T, int B>
struct MaxPool3x3Body {
    /// The same without taps: all that a network needs which does not learn.
    template <class V, int Kx0, int Kx1>
    [[gnu::always_inline]] static void values(const contract::MaxPoolForward<T>& s, std::int64_t p, std::int64_t end,
                                              std::int64_t at) {
        const T* x = s.x + at;
        T* y = s.y + at;
        const std::int64_t c = s.window.c, row = s.window.w * c;
        const auto winner = [&](V& best, const T* place) __attribute__((always_inline)) {
            V v;
            load_block(best, place + (Kx0 - 1) * c);
            if constexpr (Kx0 + 1 < Kx1) load_block(v, place + Kx0 * c), raise(best, v);
            if constexpr (Kx0 + 2 < Kx1) load_block(v, place + (Kx0 + 1) * c), raise(best, v);
        };
        V above{}, here, below{};
        winner(here, x);
        if (p > 0)
            winner(above, x - row);
        else
            above = here;
        for (; p < end; ++p, x += row, y += row) {
            if (p + 1 < s.window.h)
                winner(below, x + row);
            else
                below = here;
            V best = above;
            raise(best, here);
            raise(best, below);
            store_block(y, best);
            above = here;
            here = below;
        }
    }
    template <class V, int Kx0, int Kx1>
    [[gnu::always_inline]] static void column(const contract::MaxPoolForward<T>& s, std::int64_t p, std::int64_t end,
                                              std::int64_t at) {
        const T* x = s.x + at;
        T* y = s.y + at;
        std::uint8_t* tap = s.tap + at;
        using Best = Largest<V, T>;
        const std::int64_t c = s.window.c, row = s.window.w * c;
        const auto winner = [&](Best& best, const T* place) __attribute__((always_inline)) {
            V v;
            load_block(v, place + (Kx0 - 1) * c);
            best.value = v;
            best.tap =
                typename Best::Ints{} + Kx0;  // a constant from the start: from a loop g++ would build it lane by lane
            if constexpr (Kx0 + 1 < Kx1) {
                load_block(v, place + Kx0 * c);
                best.offer(v, typename Best::Ints{} + (Kx0 + 1));
            }
            if constexpr (Kx0 + 2 < Kx1) {
                load_block(v, place + (Kx0 + 1) * c);
                best.offer(v, typename Best::Ints{} + (Kx0 + 2));
            }
        };
        Best above{}, here, below{}, best;
        if (p > 0) winner(above, x - row);
        winner(here, x);
        for (; p < end; ++p, x += row, y += row, tap += row) {
            if (p + 1 < s.window.h) winner(below, x + row);
            best = here;
            best.tap += 3;
            if (p > 0) {
                best = above;
                best.offer(here.value, here.tap + 3);
            }
            if (p + 1 < s.window.h) best.offer(below.value, below.tap + 6);
            best.write(y, tap);
            above = here;
            here = below;
        }
    }
    [[gnu::always_inline]] static void run(const contract::MaxPoolForward<T>& s, std::int64_t begin, std::int64_t end) {
        if (s.tap)
            sweep<true>(s, begin, end);
        else
            sweep<false>(s, begin, end);
    }
    template <bool with_tap>
    [[gnu::always_inline]] static void sweep(const contract::MaxPoolForward<T>& call, std::int64_t begin,
                                             std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        const auto& window = s.window;
        const std::int64_t c = window.c;
        while (begin < end) {
            // bands of eight rows stay in the first-level cache until the next column comes by
            const std::int64_t p = begin % window.h, rows = std::min({end - begin, window.h - p, std::int64_t{8}}),
                               at = begin * window.w * c;
            fetch_ahead(s.x + at + rows * window.w * c, 8 * window.w * c);
            for (std::int64_t q = 0; q < window.w; ++q)
                for_channels<T, B>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                    const auto down = [&]<int Kx0, int Kx1>() __attribute__((always_inline)) {
                        if constexpr (with_tap)
                            column<V, Kx0, Kx1>(s, p, p + rows, at + q * c + b);
                        else
                            values<V, Kx0, Kx1>(s, p, p + rows, at + q * c + b);
                    };
                    if (q > 0 && q + 1 < window.w)
                        down.template operator()<0, 3>();
                    else if (window.w == 1)
                        down.template operator()<1, 2>();
                    else if (q == 0)
                        down.template operator()<1, 3>();
                    else
                        down.template operator()<0, 2>();
                });
            begin += rows;
        }
    }
};

/// Forward for windows of any size, stride, padding and dilation.
template <class T, int B>
struct MaxPoolBody {
    [[gnu::always_inline]] static void run(const contract::MaxPoolForward<T>& call, std::int64_t begin,
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
                for_channels<T, B>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                    const std::int64_t at = (index * window.ow + q) * c + b;
                    const auto load_tap = [&](V& v, std::int32_t i, std::int32_t j) __attribute__((always_inline)) {
                        load_block(v, s.x + (corner + (i * window.w + j) * window.dilation) * c + b);
                    };
                    V v;
                    if (s.tap == nullptr) {
                        V value;
                        load_tap(value, ky.first, kx.first);
                        if (window.kernel == 3 && ky.last - ky.first == 3 && kx.last - kx.first == 3) {
#pragma GCC unroll 3
                            for (std::int32_t i = 0; i < 3; ++i)
#pragma GCC unroll 3
                                for (std::int32_t j = 0; j < 3; ++j) load_tap(v, i, j), raise(value, v);
                            return store_block(s.y + at, value);
                        }
                        for (std::int32_t i = ky.first; i < ky.last; ++i)
                            for (std::int32_t j = kx.first; j < kx.last; ++j) load_tap(v, i, j), raise(value, v);
                        return store_block(s.y + at, value);
                    }
                    Largest<V, T> best{};
                    load_tap(v, ky.first, kx.first);
                    best.first(v, ky.first * window.kernel + kx.first);
                    for (std::int32_t i = ky.first; i < ky.last; ++i)
                        for (std::int32_t j = kx.first; j < kx.last; ++j) {
                            load_tap(v, i, j);
                            best.offer(v, (i * window.kernel + j) - typename Largest<V, T>::Ints{});
                        }
                    best.write(s.y + at, s.tap + at);
                });
            }
        }
    }
};
template <class T>
struct Kernel<contract::MaxPoolForward<T>> {
    static void run(Context& context, const contract::MaxPoolForward<T>& s) {
        const auto& window = s.window;
        const bool fast = window.kernel == 3 && window.stride == 1 && window.dilation == 1 && window.padding == 1;
        context.for_range(window.n * window.oh, row_grain(window.ow, window.c),
                          [&](std::int64_t begin, std::int64_t end) {
                              if (fast)
                                  dispatch_wide<T, MaxPool3x3Body>(context.isa, s, begin, end);
                              else
                                  dispatch_wide<T, MaxPoolBody>(context.isa, s, begin, end);
                          });
    }
};

}  // namespace hwnas::cpu
