// SPDX-License-Identifier: MIT
// What the kernels of windowed ops share: the map from an output place to the input places its window sees. The same
// map, read backwards, serves gradients as a gather: every thread writes its own places, so no atomics and no order
// that depends on threads.
#pragma once

#include <hwnas/core/contract.hpp>
#include <hwnas/cpu/blocks.hpp>
#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

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
