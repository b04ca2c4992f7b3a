// SPDX-License-Identifier: MIT
// Blocks of channels: whole vectors and what is left behind them, by lane masks where the processor has them, else in
// halves, quarters and single channels.
#pragma once

#include <hwnas/cpu/simd.hpp>

#include <cstdint>

namespace hwnas::cpu {

template <class T>
struct HalfVecOf {
    typedef T type __attribute__((vector_size(16)));
};
/// 16 bytes of T, for the channels that a whole vector would overrun.
template <class T>
using HalfVec = typename HalfVecOf<T>::type;
template <class T>
struct QuarterVecOf {
    typedef T type __attribute__((vector_size(8)));
};
/// And 8 bytes.
template <class T>
using QuarterVec = typename QuarterVecOf<T>::type;

/// The integers that a comparison of V's yields, and as many bytes; V is Vec<T, B>, HalfVec<T> or T itself.
template <class V, class T>
struct BlockOf {
    using Ints = decltype(V{} < V{});
    typedef std::uint8_t Bytes __attribute__((vector_size(sizeof(V) / sizeof(T))));
    static constexpr int width = static_cast<int>(sizeof(V) / sizeof(T));
};
template <class T>
struct BlockOf<T, T> {
    using Ints = std::int64_t;
    using Bytes = std::uint8_t;
    static constexpr int width = 1;
};

template <class V, class T>
[[gnu::always_inline]] inline void load_block(V& v, const T* p) {
    load(v, p);
}
template <class V, class T>
[[gnu::always_inline]] inline void store_block(T* p, const V& v) {
    store(p, v);
}
template <class V, class T>
[[gnu::always_inline]] inline void store_block(T* p, const V& v, std::int32_t accumulate) {
    V old{};
    if (accumulate) load_block(old, p);
    old += v;
    store_block(p, old);
}

/// Which lanes of a block are channels: all of them,
struct AllLanes {};
template <class V, class T>
[[gnu::always_inline]] inline void load_block(V& v, const T* p, AllLanes) {
    load_block(v, p);
}
template <class V, class T>
[[gnu::always_inline]] inline void store_block(T* p, const V& v, AllLanes) {
    store_block(p, v);
}
template <class V, class T>
[[gnu::always_inline]] inline void store_block(T* p, const V& v, AllLanes, std::int32_t accumulate) {
    store_block(p, v, accumulate);
}
#ifdef HWNAS_LANE_MASKS
/// or the first ones: what is left behind whole blocks goes in one, whatever its number.
struct FirstLanes {
    unsigned short mask;
};
[[gnu::always_inline]] inline FirstLanes first_lanes(std::int64_t n) {
    return {static_cast<unsigned short>((1 << n) - 1)};
}
[[gnu::always_inline]] inline void load_block(WideFloats& v, const float* p, FirstLanes part) {
    load_lanes(v, p, part.mask);
}
[[gnu::always_inline]] inline void store_block(float* p, const WideFloats& v, FirstLanes part) {
    store_lanes(p, v, part.mask);
}
[[gnu::always_inline]] inline void store_block(float* p, const WideFloats& v, FirstLanes part,
                                               std::int32_t accumulate) {
    WideFloats sum{};
    if (accumulate) load_lanes(sum, p, part.mask);
    sum += v;
    store_lanes(p, sum, part.mask);
}
#endif

/// sum[j] += the block at p + j step. What adds to memory loads all that it will store before it stores any: a store of
/// some lanes holds up loads of what lies beside them.
template <int J, class V, class T, class Step, class M>
[[gnu::always_inline]] inline void add_blocks(V* sum, const T* p, Step step, M part) {
    V old;
#pragma GCC unroll 16
    for (int j = 0; j < J; ++j) load_block(old, p + j * step, part), sum[j] += old;
}
template <int J, class V, class T, class Step, class M>
[[gnu::always_inline]] inline void store_blocks(T* p, Step step, const V* sum, M part) {
#pragma GCC unroll 16
    for (int j = 0; j < J; ++j) store_block(p + j * step, sum[j], part);
}

/// v[i] = x for all i.
template <class V, class T>
[[gnu::always_inline]] inline void splat_block(V& v, T x) {
    if constexpr (std::is_same_v<V, T>)
        v = x;
    else
        splat(v, x);
}

/// f.template operator()<V>(first channel) for blocks that cover all c channels; f must be always_inline. B: bytes of
/// the widest block.
template <class T, int B = vector_bytes, class F>
[[gnu::always_inline]] inline void for_channels(std::int64_t c, F&& f) {
    std::int64_t b = 0;
    if constexpr (B > vector_bytes)
        for (; b + lanes<T, B> <= c; b += lanes<T, B>) f.template operator()<Vec<T, B>>(b);
    for (; b + lanes<T> <= c; b += lanes<T>) f.template operator()<Vec<T>>(b);
    if (b + lanes<T> / 2 <= c) {
        f.template operator()<HalfVec<T>>(b);
        b += lanes<T> / 2;
    }
    for (; b < c; ++b) f.template operator()<T>(b);
}

template <class T>
[[gnu::always_inline]] inline void broadcast(T& v, const T* p) {
    v = *p;
}

/// Whether vectors of B bytes have masks.
template <class T, int B>
#ifdef HWNAS_LANE_MASKS
inline constexpr bool lane_masks = B > vector_bytes&& std::is_same_v<T, float>;
#else
inline constexpr bool lane_masks = false;
#endif

/// f.template operator()<V>(first channel, part) likewise, in as few blocks as can be, for what reads and writes them
/// by load_block() and store_block().
template <class T, int B = vector_bytes, class F>
[[gnu::always_inline]] inline void for_parts(std::int64_t c, F&& f) {
    std::int64_t b = 0;
    for (; b + lanes<T, B> <= c; b += lanes<T, B>) f.template operator()<Vec<T, B>>(b, AllLanes{});
    const std::int64_t left = c - b;
#ifdef HWNAS_LANE_MASKS
    if constexpr (lane_masks<T, B>) {
        if (left == lanes<T>)
            f.template operator()<Vec<T>>(b, AllLanes{});
        else if (left == lanes<T> / 2)
            f.template operator()<HalfVec<T>>(b, AllLanes{});
        else if (left > 0)
            f.template operator()<Vec<T, B>>(b, first_lanes(left));
        return;
    }
#endif
    if constexpr (B > vector_bytes)
        if (left & lanes<T>) f.template operator()<Vec<T>>(b, AllLanes{}), b += lanes<T>;
    if constexpr (B >= vector_bytes)
        if (left & lanes<T> / 2) f.template operator()<HalfVec<T>>(b, AllLanes{}), b += lanes<T> / 2;
    if constexpr (lanes<T> > 4)
        if (left & 2) f.template operator()<QuarterVec<T>>(b, AllLanes{}), b += 2;
    if (left & 1) f.template operator()<T>(b, AllLanes{});
}

/// f(c) for a number of channels, as a constant where it is a usual one, which fills vectors of any size.
template <class T, class F>
[[gnu::always_inline]] inline void with_channels(std::int64_t c, F&& f) {
    if constexpr (std::is_same_v<T, float>) {
        if (c == 16) return f(std::integral_constant<std::int64_t, 16>{});
        if (c == 32) return f(std::integral_constant<std::int64_t, 32>{});
        if (c == 64) return f(std::integral_constant<std::int64_t, 64>{});
    }
    f(c);
}

/// f(V block type pointer, c, first channel, lanes): channels as a constant and in widest vectors if possible.
template <class T, int B, class F>
[[gnu::always_inline]] inline void channel_blocks(std::int64_t channels, F&& f) {
    with_channels<T>(channels, [&]<class C>(C c) __attribute__((always_inline)) {
        if constexpr (std::is_same_v<C, std::int64_t>)
            for_parts<T, B>(c, [&]<class V>(std::int64_t b, auto part)
                                   __attribute__((always_inline)) { f(static_cast<V*>(nullptr), c, b, part); });
        else
            for (std::int64_t b = 0; b < c; b += lanes<T, B>) f(static_cast<Vec<T, B>*>(nullptr), c, b, AllLanes{});
    });
}

}  // namespace hwnas::cpu
