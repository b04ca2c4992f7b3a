// SPDX-License-Identifier: MIT
// Max pooling backward: gathers from the windows that chose this place.
#pragma once

#include <hwnas/cpu/taps.hpp>

#include <bit>

namespace hwnas::cpu {

/// A window's tap against a given one, for a block of channels.
template <class T>
struct TapMatch {
    static constexpr bool packed = sizeof(T) == 4 && std::endian::native == std::endian::little;
    /// For each tap what its byte looks like once the bytes of eight windows are spread over lanes and masked: lane l
    /// keeps byte l mod 4 where it stands, which saves the conversion of bytes to ints. Filled where it is used.
    std::int32_t mask[8], keys[225 * 8];
    [[gnu::always_inline]] explicit TapMatch(std::int32_t kernel) {
        if constexpr (packed) {
            for (std::uint32_t i = 0; i < 8; ++i) mask[i] = static_cast<std::int32_t>(255u << (i % 4 * 8));
            const auto count = static_cast<std::uint32_t>(8 * kernel * kernel);
            for (std::uint32_t i = 0; i < count; ++i) keys[i] = static_cast<std::int32_t>((i / 8) << (i % 4 * 8));
        }
    }
    template <class V>
    [[gnu::always_inline]] void load(typename BlockOf<V, T>::Ints& taps, const std::uint8_t* from) const {
        using Ints = typename BlockOf<V, T>::Ints;
        if constexpr (std::is_same_v<V, T>)
            taps = *from;
        else if constexpr (sizeof(V) > vector_bytes) {
            WideBytes bytes;
            __builtin_memcpy(&bytes, from, sizeof bytes);
            widen(taps, bytes);
        } else if constexpr (packed) {
            Ints lanes_of_byte;
            load_block(lanes_of_byte, mask);
            if constexpr (sizeof(V) == 32) {
                std::int64_t eight;
                __builtin_memcpy(&eight, from, sizeof eight);
                const Vec<std::int64_t> spread = eight - Vec<std::int64_t>{};
                __builtin_memcpy(&taps, &spread, sizeof taps);
                taps = __builtin_shufflevector(taps, taps, 0, 0, 0, 0, 1, 1, 1, 1);
            } else {
                std::int32_t four;
                __builtin_memcpy(&four, from, sizeof four);
                taps = four - Ints{};
            }
            taps &= lanes_of_byte;
        } else {
            typename BlockOf<V, T>::Bytes bytes;
            __builtin_memcpy(&bytes, from, sizeof bytes);
            taps = __builtin_convertvector(bytes, Ints);
        }
    }
    /// sum += dy where taps are k.
    template <class V>
    [[gnu::always_inline]] void add(V& sum, const V& dy, const typename BlockOf<V, T>::Ints& taps,
                                    std::int32_t k) const {
        using Ints = typename BlockOf<V, T>::Ints;
        if constexpr (std::is_same_v<V, T>)
            sum += taps == k ? dy : T(0);
        else if constexpr (sizeof(V) > vector_bytes) {
            V taken;
            choose_eq(taken, taps, Ints{} + k, dy, V{});
            sum += taken;
        } else if constexpr (packed) {
            Ints key;
            load_block(key, keys + 8 * k);
            sum += taps == key ? dy : V{};
        } else
            sum += taps == k - Ints{} ? dy : V{};
    }
};

/// Kernel 3, stride 1, dilation 1, padding 1: along a row with three columns in flight, each window read once. Windows
/// at an edge never chose a place outside, so edges need no care.
template <class T, int B>
struct MaxPool3x3BackwardBody {
    template <class V, int N>
    [[gnu::always_inline]] static void line(const contract::MaxPoolBackward<T>& s, const TapMatch<T>& match,
                                            std::int64_t to, std::int64_t from, std::int32_t tap) {
        const std::int64_t c = s.window.c, row = s.window.w * c;
        V before{}, here{}, dy;  // columns q - 1 and q
        typename BlockOf<V, T>::Ints taps;
        for (std::int64_t q = 0; q < s.window.w; ++q) {
            V after{};
#pragma GCC unroll 4
            for (int r = 0; r < N; ++r) {  // windows of later rows see this row with earlier taps
                const std::int64_t at = from + r * row + q * c;
                load_block(dy, s.dy + at);
                match.template load<V>(taps, s.tap + at);
                match.template add<V>(before, dy, taps, tap - 3 * r);
                match.template add<V>(here, dy, taps, tap - 3 * r + 1);
                match.template add<V>(after, dy, taps, tap - 3 * r + 2);
            }
            if (q > 0) store_block(s.dx + to + (q - 1) * c, before, s.accumulate);
            before = here;
            here = after;
        }
        store_block(s.dx + to + row - c, before, s.accumulate);
    }
    [[gnu::always_inline]] static void run(const contract::MaxPoolBackward<T>& call, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;
        const std::int64_t h = s.window.h, c = s.window.c, row = s.window.w * c;
        const TapMatch<T> match(3);
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t i = index % h, first = i > 0 ? index - 1 : index, rows = 3 - (i == 0) - (i == h - 1);
            const std::int32_t tap = i > 0 ? 6 : 3;
            for_channels<T, B>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                if (rows == 3)
                    line<V, 3>(s, match, index * row + b, first * row + b, tap);
                else if (rows == 2)
                    line<V, 2>(s, match, index * row + b, first * row + b, tap);
                else
                    line<V, 1>(s, match, index * row + b, first * row + b, tap);
            });
        }
    }
};

/// Backward for windows of any size, stride, padding and dilation.
template <class T>
struct MaxPoolBackwardBody {
    [[gnu::always_inline]] static void run(const contract::MaxPoolBackward<T>& call, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;
        const auto& window = s.window;
        const AxisMap rows = rows_of(window, true), across = columns_of(window, true);
        const std::int64_t c = window.c;
        const TapMatch<T> match(window.kernel);
        std::int32_t taps[255];
        std::int64_t lines[255];  // where the row of windows begins that sees this row with that tap
        for (std::int64_t residue = 0; residue < across.classes(); ++residue) {
            const AxisTaps columns(across, residue);
            for (std::int64_t index = begin; index < end; ++index) {
                std::int32_t count = 0;
                for (std::int32_t k = 0; k < window.kernel; ++k) {
                    std::int64_t p;
                    if (!rows.offset(index % window.h, k, p) || p < 0 || p >= window.oh) continue;
                    taps[count] = k * window.kernel;
                    lines[count++] = (index / window.h * window.oh + p) * window.ow * c;
                }
                for (std::int64_t t = 0; t < columns.places; ++t)
                    for_channels<T>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                        V sum{}, dy;
                        typename BlockOf<V, T>::Ints chosen;
                        for (std::int32_t r = 0; r < count; ++r)
                            for (std::int32_t k = 0; k < columns.count; ++k) {
                                const std::int64_t q = t + columns.offset[k], at = lines[r] + q * c + b;
                                if (q < 0 || q >= window.ow) continue;
                                load_block(dy, s.dy + at);
                                match.template load<V>(chosen, s.tap + at);
                                match.template add<V>(sum, dy, chosen, taps[r] + columns.tap[k]);
                            }
                        store_block(s.dx + (index * window.w + residue + t * across.classes()) * c + b, sum,
                                    s.accumulate);
                    });
            }
        }
    }
};
template <class T>
struct Kernel<contract::MaxPoolBackward<T>> {
    static void run(Context& context, const contract::MaxPoolBackward<T>& s) {
        const auto& window = s.window;
        const bool fast = window.kernel == 3 && window.stride == 1 && window.dilation == 1 && window.padding == 1;
        context.for_range(window.n * window.h, row_grain(window.w, window.c),
                          [&](std::int64_t begin, std::int64_t end) {
                              if (fast)
                                  dispatch_wide<T, MaxPool3x3BackwardBody>(context.isa, s, begin, end);
                              else
                                  dispatch<T, MaxPoolBackwardBody<T>>(context.isa, s, begin, end);
                          });
    }
};

}  // namespace hwnas::cpu
