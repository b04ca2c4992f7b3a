// SPDX-License-Identifier: MIT
// What the kernels of windowed ops share: blocks of channels (vectors, one half vector, single channels), and the map
// from an output place to the input places its window sees. The same map, read backwards, serves gradients as a gather:
// every thread writes its own places, so no atomics and no order that depends on threads.
#pragma once

#include <hwnas/core/contract.hpp>
#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

template <class T>
struct HalfVecOf {
    typedef T type __attribute__((vector_size(16)));
};
/// 16 bytes of T, for the channels that a whole vector would overrun.
template <class T>
using HalfVec = typename HalfVecOf<T>::type;

/// The integers that a comparison of V's yields, and as many bytes; V is Vec<T>, HalfVec<T> or T itself.
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
    __builtin_memcpy(&v, p, sizeof v);
}
template <class V, class T>
[[gnu::always_inline]] inline void store_block(T* p, const V& v) {
    __builtin_memcpy(p, &v, sizeof v);
}
template <class V, class T>
[[gnu::always_inline]] inline void store_block(T* p, const V& v, std::int32_t accumulate) {
    V old{};
    if (accumulate) load_block(old, p);
    old += v;
    store_block(p, old);
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

/// f(V block type pointer, c, first channel): channels as a constant and in widest vectors if possible.
template <class T, int B, class F>
[[gnu::always_inline]] inline void channel_blocks(std::int64_t channels, F&& f) {
    with_channels<T>(channels, [&]<class C>(C c) __attribute__((always_inline)) {
        if constexpr (std::is_same_v<C, std::int64_t>)
            for_channels<T, B>(
                c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) { f(static_cast<V*>(nullptr), c, b); });
        else
            for (std::int64_t b = 0; b < c; b += lanes<T, B>) f(static_cast<Vec<T, B>*>(nullptr), c, b);
    });
}

/// Asks for n elements that will soon be read, or read and written. Rows of several tensors that are walked at once
/// come too late by the processor's own foresight.
template <class T>
[[gnu::always_inline]] inline void fetch_ahead(const T* p, std::int64_t n) {
    for (std::int64_t i = 0; i < n; i += 64 / static_cast<std::int64_t>(sizeof(T))) __builtin_prefetch(p + i);
}

/// Rows of w c elements to a piece of work, by shape alone: about 128 KB of floats on either side, five microseconds or
/// more. Less is not shared between threads: it ends before a second one has begun, and what that one has written the
/// next call finds in the wrong core's cache.
inline std::int64_t row_grain(std::int64_t w, std::int64_t c) {
    return std::max<std::int64_t>(1, 32'768 / std::max<std::int64_t>(1, w * c));
}

/// Taps [first, last) of a window whose place `position` in the output lands inside [0, extent) of the input.
struct TapRange {
    std::int32_t first, last;
};
[[gnu::always_inline]] inline TapRange taps_inside(const contract::Window& s, std::int64_t position,
                                                   std::int64_t extent) {
    const std::int64_t start = position * s.stride - s.padding;
    const std::int64_t before = std::max<std::int64_t>(0, -start), within = std::max<std::int64_t>(0, extent - start);
    const std::int64_t first = s.dilation == 1 ? before : (before + s.dilation - 1) / s.dilation;
    const std::int64_t last = s.dilation == 1 ? within : (within + s.dilation - 1) / s.dilation;
    return {static_cast<std::int32_t>(std::min<std::int64_t>(first, s.kernel)),
            static_cast<std::int32_t>(std::min<std::int64_t>(last, s.kernel))};
}

/// One axis of a window, forward (output place -> input place) or backward (input place -> output place).
/// Places of one residue modulo `classes()` see the same taps, and their sources advance by `step()`.
struct AxisMap {
    std::int64_t to, from;  ///< extents of the places written and read
    std::int32_t kernel, stride, padding, dilation;
    bool backward;

    [[gnu::always_inline]] std::int64_t classes() const { return backward ? stride : 1; }
    [[gnu::always_inline]] std::int64_t step() const { return backward ? 1 : stride; }
    /// Source of place `residue` at tap k, possibly outside; false where the tap falls between output places.
    [[gnu::always_inline]] bool offset(std::int64_t residue, std::int32_t k, std::int64_t& source) const {
        if (!backward) {
            source = residue * stride - padding + std::int64_t{k} * dilation;
            return true;
        }
        const std::int64_t shifted = residue + padding - std::int64_t{k} * dilation;
        source = stride == 1 ? shifted : shifted / stride;
        return stride == 1 || shifted % stride == 0;
    }
};
inline AxisMap rows_of(const contract::Window& s, bool backward) {
    return {backward ? s.h : s.oh, backward ? s.oh : s.h, s.kernel, s.stride, s.padding, s.dilation, backward};
}
inline AxisMap columns_of(const contract::Window& s, bool backward) {
    return {backward ? s.w : s.ow, backward ? s.ow : s.w, s.kernel, s.stride, s.padding, s.dilation, backward};
}

/// The taps of one residue class along one axis, and the places [inner_begin, inner_end) (counted within the class)
/// that find all of them inside.
struct AxisTaps {
    std::int32_t count = 0;
    std::int64_t places = 0, inner_begin = 0, inner_end = 0;
    std::int32_t tap[255];
    std::int64_t offset[255];

    [[gnu::always_inline]] AxisTaps(const AxisMap& map, std::int64_t residue) {
        places = inner_end = residue < map.to ? (map.to - residue + map.classes() - 1) / map.classes() : 0;
        for (std::int32_t k = 0; k < map.kernel; ++k) {
            std::int64_t source;
            if (!map.offset(residue, k, source)) continue;
            tap[count] = k;
            offset[count++] = source;
            if (source < 0) inner_begin = std::max(inner_begin, (-source + map.step() - 1) / map.step());
            inner_end = std::min(inner_end, source < map.from ? (map.from - 1 - source) / map.step() + 1 : 0);
        }
        inner_begin = std::min(inner_begin, places);
        inner_end = std::max(inner_begin, inner_end);
    }
};

}  // namespace hwnas::cpu
