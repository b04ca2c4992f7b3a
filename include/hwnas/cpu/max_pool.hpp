// SPDX-License-Identifier: MIT
// Max pooling kernels. Forward keeps the byte of the winning tap; for 3x3 stride 1 it walks down the image, so that the
// winner of three neighbours in a row serves three windows. Backward gathers from the windows that chose this place.
#pragma once

#include <hwnas/cpu/taps.hpp>

#include <bit>

namespace hwnas::cpu {

/// The largest so far and its tap, for the channels of block V.
template <class V, class T> struct Largest {
    using Ints = typename BlockOf<V, T>::Ints;
    V value;
    Ints tap;

    [[gnu::always_inline]] void first(const V& v, std::int64_t k) {
        value = v;
        tap = static_cast<std::int32_t>(k) - Ints{};
    }
    /// Takes v if it is larger, or the first NaN: not (v <= value) is true for both.
    [[gnu::always_inline]] void offer(const V& v, const Ints& k) {
        Ints take;
        if constexpr (std::is_same_v<V, T>) take = !(v <= value) && value == value;
        else take = ~(v <= value) & (value == value);
        value = take ? v : value;
        tap = take ? k : tap;
    }
    [[gnu::always_inline]] void write(T* y, std::uint8_t* taps) const {
        store_block(y, value);
        if constexpr (std::is_same_v<V, T>) *taps = static_cast<std::uint8_t>(tap);
        else if constexpr (sizeof(V) == 32 && sizeof(T) == 4 && std::endian::native == std::endian::little) {
            Vec<std::uint8_t> bytes;  // compilers make a poor job of converting eight ints to bytes: gather them per half
            __builtin_memcpy(&bytes, &tap, sizeof bytes);
            bytes = __builtin_shufflevector(bytes, bytes, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                            16, 20, 24, 28, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
            __builtin_memcpy(taps, &bytes, 4);
            __builtin_memcpy(taps + 4, reinterpret_cast<const char*>(&bytes) + 16, 4);
        } else {
            const auto bytes = __builtin_convertvector(tap, typename BlockOf<V, T>::Bytes);
            __builtin_memcpy(taps, &bytes, sizeof bytes);
        }
    }
};

/// Kernel 3, stride 1, dilation 1, padding 1: column by column, downwards, over rows [begin, end) of all images.
template <class T> struct MaxPool3x3Body {
    template <class V, int Kx0, int Kx1>
    [[gnu::always_inline]] static void column(const contract::MaxPoolForward<T>& s, std::int64_t p, std::int64_t end, std::int64_t at) {
        const T* x = s.x + at;
        T* y = s.y + at;
        std::uint8_t* tap = s.tap + at;
        using Best = Largest<V, T>;
        const std::int64_t c = s.window.c, row = s.window.w * c;
        const auto winner = [&](Best& best, const T* place) __attribute__((always_inline)) {
            V v;
            load_block(v, place + (Kx0 - 1) * c);
            best.first(v, Kx0);
#pragma GCC unroll 4
            for (int k = Kx0 + 1; k < Kx1; ++k) {
                load_block(v, place + (k - 1) * c);
                best.offer(v, k - typename Best::Ints{});
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
    [[gnu::always_inline]] static void run(const contract::MaxPoolForward<T>& call, std::int64_t begin, std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        const auto& window = s.window;
        const std::int64_t c = window.c;
        while (begin < end) {
            const std::int64_t p = begin % window.h, rows = std::min(end - begin, window.h - p), at = begin * window.w * c;
            for (std::int64_t q = 0; q < window.w; ++q)
                for_channels<T>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                    const std::int64_t i = at + q * c + b;
                    if (q > 0 && q + 1 < window.w) column<V, 0, 3>(s, p, p + rows, i);
                    else if (window.w == 1) column<V, 1, 2>(s, p, p + rows, i);
                    else if (q == 0) column<V, 1, 3>(s, p, p + rows, i);
                    else column<V, 0, 2>(s, p, p + rows, i);
                });
            begin += rows;
        }
    }
};

/// Any window.
template <class T> struct MaxPoolBody {
    [[gnu::always_inline]] static void run(const contract::MaxPoolForward<T>& call, std::int64_t begin, std::int64_t end) {
        const auto s = call;  // a copy, so that stores need not be taken for changes of it
        const auto& window = s.window;
        const std::int64_t c = window.c;
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t n = index / window.oh, p = index % window.oh;
            const TapRange ky = taps_inside(window, p, window.h);
            for (std::int64_t q = 0; q < window.ow; ++q) {
                const TapRange kx = taps_inside(window, q, window.w);
                const std::int64_t corner = (n * window.h + p * window.stride - window.padding) * window.w + q * window.stride - window.padding;
                for_channels<T>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                    Largest<V, T> best{};
                    bool empty = true;
                    for (std::int32_t i = ky.first; i < ky.last; ++i)
                        for (std::int32_t j = kx.first; j < kx.last; ++j) {
                            V v;
                            load_block(v, s.x + (corner + (i * window.w + j) * window.dilation) * c + b);
                            if (empty) best.first(v, i * window.kernel + j);
                            else best.offer(v, (i * window.kernel + j) - typename Largest<V, T>::Ints{});
                            empty = false;
                        }
                    const std::int64_t at = (index * window.ow + q) * c + b;
                    best.write(s.y + at, s.tap + at);
                });
            }
        }
    }
};
template <class T> struct Kernel<contract::MaxPoolForward<T>> {
    static void run(Context& context, const contract::MaxPoolForward<T>& s) {
        const auto& window = s.window;
        const bool fast = window.kernel == 3 && window.stride == 1 && window.dilation == 1 && window.padding == 1;
        context.for_range(window.n * window.oh, row_grain(window.ow, window.c), [&](std::int64_t begin, std::int64_t end) {
            if (fast) dispatch<T, MaxPool3x3Body<T>>(context.isa, s, begin, end);
            else dispatch<T, MaxPoolBody<T>>(context.isa, s, begin, end);
        });
    }
};

/// Fast: kernel 3, stride 1, dilation 1, padding 1, where all taps of a row are one straight run of windows.
template <class T, bool Fast> struct MaxPoolBackwardBody {
    static constexpr bool packed = sizeof(T) == 4 && std::endian::native == std::endian::little;
    /// For every tap the lanes its byte has once the bytes of eight taps are spread over lanes and masked: lane l keeps
    /// byte l mod 4 in its place, which saves the widening of bytes to ints.
    struct Keys {
        std::int32_t mask[8], lanes[225 * 8];
        [[gnu::always_inline]] explicit Keys(std::uint32_t taps) {
            for (std::uint32_t i = 0; i < 8; ++i) mask[i] = static_cast<std::int32_t>(255u << (i % 4 * 8));
            for (std::uint32_t i = 0; i < taps * 8; ++i) lanes[i] = static_cast<std::int32_t>((i / 8) << (i % 4 * 8));
        }
    };
    /// sum += dy of the window at `at` for the channels where its tap is k.
    template <class V>
    [[gnu::always_inline]] static void add(V& sum, const contract::MaxPoolBackward<T>& s, const Keys& keys, std::int64_t at, std::int32_t k) {
        using Block = BlockOf<V, T>;
        using Ints = typename Block::Ints;
        V dy;
        load_block(dy, s.dy + at);
        if constexpr (std::is_same_v<V, T>) sum += s.tap[at] == k ? dy : T(0);
        else if constexpr (packed) {
            Ints lane, key;
            if constexpr (sizeof(V) == 32) {
                std::int64_t eight;
                __builtin_memcpy(&eight, s.tap + at, sizeof eight);
                const Vec<std::int64_t> spread = eight - Vec<std::int64_t>{};
                __builtin_memcpy(&lane, &spread, sizeof lane);
                lane = __builtin_shufflevector(lane, lane, 0, 0, 0, 0, 1, 1, 1, 1);
            } else {
                std::int32_t four;
                __builtin_memcpy(&four, s.tap + at, sizeof four);
                lane = four - Ints{};
            }
            load_block(key, keys.mask);
            lane &= key;
            load_block(key, keys.lanes + 8 * k);
            sum += lane == key ? dy : V{};
        } else {
            typename Block::Bytes bytes;
            __builtin_memcpy(&bytes, s.tap + at, sizeof bytes);
            sum += __builtin_convertvector(bytes, Ints) == k - Ints{} ? dy : V{};
        }
    }
    [[gnu::always_inline]] static void run(const contract::MaxPoolBackward<T>& call, std::int64_t begin, std::int64_t end) {
        const auto s = call;
        const auto& window = s.window;
        const AxisMap rows = rows_of(window, true), across = columns_of(window, true);
        const std::int64_t c = window.c;
        const std::int32_t kernel = Fast ? 3 : window.kernel;
        const Keys keys(static_cast<std::uint32_t>(packed ? kernel * kernel : 0));
        std::int32_t taps[255];
        std::int64_t lines[255];  // where the row of windows begins that sees this row with that tap
        for (std::int64_t residue = 0; residue < across.classes(); ++residue) {
            const AxisTaps columns(across, residue);
            for (std::int64_t index = begin; index < end; ++index) {
                std::int32_t count = 0;
                for (std::int32_t k = 0; k < kernel; ++k) {
                    std::int64_t p;
                    if (!rows.offset(index % window.h, k, p) || p < 0 || p >= window.oh) continue;
                    taps[count] = k * kernel;
                    lines[count++] = (index / window.h * window.oh + p) * window.ow * c;
                }
                for (std::int64_t t = 0; t < columns.places; ++t) {
                    const bool inner = t >= columns.inner_begin && t < columns.inner_end;
                    for_channels<T>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                        V sum{};
                        for (std::int32_t r = 0; r < count; ++r) {
                            const std::int64_t line = lines[r] + t * c + b;
                            if (Fast && inner) {
#pragma GCC unroll 4
                                for (std::int32_t k = 0; k < 3; ++k) add<V>(sum, s, keys, line + (1 - k) * c, taps[r] + k);
                            } else {
                                for (std::int32_t k = 0; k < columns.count; ++k) {
                                    const std::int64_t q = t + columns.offset[k];
                                    if (q >= 0 && q < window.ow) add<V>(sum, s, keys, line + columns.offset[k] * c, taps[r] + columns.tap[k]);
                                }
                            }
                        }
                        store_block(s.dx + (index * window.w + residue + t * across.classes()) * c + b, sum, s.accumulate);
                    });
                }
            }
        }
    }
};
template <class T> struct Kernel<contract::MaxPoolBackward<T>> {
    static void run(Context& context, const contract::MaxPoolBackward<T>& s) {
        const auto& window = s.window;
        const bool fast = window.kernel == 3 && window.stride == 1 && window.dilation == 1 && window.padding == 1;
        context.for_range(window.n * window.h, row_grain(window.w, window.c), [&](std::int64_t begin, std::int64_t end) {
            if (fast) dispatch<T, MaxPoolBackwardBody<T, true>>(context.isa, s, begin, end);
            else dispatch<T, MaxPoolBackwardBody<T, false>>(context.isa, s, begin, end);
        });
    }
};

}  // namespace hwnas::cpu
