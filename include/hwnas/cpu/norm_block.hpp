// SPDX-License-Identifier: MIT
// How the kernels of batch normalisation walk rows of c channels: in blocks of columns whose sums fit the registers.
// Short rows go several at once: `fold` of them make one long row whose columns fill vectors.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

/// Columns handled at a time: four vectors, which with their sums fit the registers.
template <class T, int B>
inline constexpr std::int64_t norm_width = 4 * lanes<T, B>;

/// Rows [begin, end) of columns [column, column + columns): `count` long rows of `fold` rows each, as many as fit,
/// whole vectors if possible, and the few rows that are left, `left` elements.
template <class T, int B>
struct NormBlock {
    static constexpr auto size = static_cast<std::size_t>(norm_width<T, B>);
    std::int64_t c, column, columns, begin, fold, count, width, left;
    [[gnu::always_inline]] NormBlock(std::int64_t channels, std::int64_t at, std::int64_t first, std::int64_t last)
        : c(channels), column(at), columns(std::min(norm_width<T, B>, c - at)), begin(first) {
        const std::int64_t most = std::max<std::int64_t>(1, norm_width<T, B> / c);
        for (fold = most; fold > 1 && fold * c % lanes<T, B> != 0;) --fold;
        if (fold == 1) fold = most;
        count = (last - first) / fold, width = columns * fold, left = (last - first) % fold * columns;
    }
    /// out[k] = f(channel) for every column of a long row.
    template <class F>
    [[gnu::always_inline]] void repeat(T* out, F&& f) const {
        for (std::int64_t k = 0, j = column; k < width; ++k, j = j + 1 == column + columns ? column : j + 1)
            out[k] = f(j);
    }
    /// f(kind, n, j, offset, count) for strips of columns at j: n = 4 vectors, one vector, or one element, `kind` a
    /// null pointer to what is counted; the strip's long rows lie at offset, offset + fold c, ... The rows that are
    /// left come as one shorter row, by the same code, so that the bits of an element do not depend on how rows are
    /// cut.
    template <class F>
    [[gnu::always_inline]] void strips(F&& f) const {
        const std::int64_t offset = begin * c + column;
        if (count > 0) sweep(width, offset, count, f);
        if (left > 0) sweep(left, offset + count * fold * c, 1, f);
    }

private:
    template <class F>
    [[gnu::always_inline]] static void sweep(std::int64_t width, std::int64_t offset, std::int64_t count, F&& f) {
        constexpr std::int64_t L = lanes<T, B>;
        std::int64_t j = 0;
        for (; j + 4 * L <= width; j += 4 * L)
            f(static_cast<Vec<T, B>*>(nullptr), std::integral_constant<int, 4>{}, j, offset + j, count);
        for (; j + L <= width; j += L)
            f(static_cast<Vec<T, B>*>(nullptr), std::integral_constant<int, 1>{}, j, offset + j, count);
        for (; j < width; ++j) f(static_cast<T*>(nullptr), std::integral_constant<int, 1>{}, j, offset + j, count);
    }
};
template <class W, class T>
[[gnu::always_inline]] inline void norm_load(W& w, const T* p) {
    __builtin_memcpy(&w, p, sizeof w);
}
/// The same, and asks for what will be loaded a few rows on.
template <class W, class T>
[[gnu::always_inline]] inline void norm_stream(W& w, const T* p) {
    if constexpr (sizeof(W) >= 32) __builtin_prefetch(p + 4096 / sizeof(T));
    __builtin_memcpy(&w, p, sizeof w);
}
template <class W, class T>
[[gnu::always_inline]] inline void norm_store(T* p, const W& w) {
    __builtin_memcpy(p, &w, sizeof w);
}

}  // namespace hwnas::cpu
