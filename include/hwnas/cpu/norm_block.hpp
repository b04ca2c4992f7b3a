// SPDX-License-Identifier: MIT
// How the kernels of batch normalisation walk rows of c channels: in blocks of columns whose sums fit the registers.
// Short rows go several at once: `fold` of them make one long row whose columns fill vectors.
#pragma once

#include <hwnas/cpu/blocks.hpp>
#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

/// Columns handled at a time where they fill vectors: four of them, which with their sums fit the registers.
template <class T, int B>
inline constexpr std::int64_t norm_width = 4 * lanes<T, B>;
/// Elements of the longest row that several short ones make.
inline constexpr std::int64_t norm_most = 1024;

/// Rows of c elements that make one of whole vectors; 1 where that would be too long.
template <class T, int B>
[[gnu::always_inline]] inline std::int64_t norm_fold(std::int64_t c) {
    std::int64_t fold = lanes<T, B>;
    for (std::int64_t n = c; fold > 1 && n % 2 == 0; n /= 2) fold /= 2;  // c's factors of two
    if (fold * c > norm_most) return 1;
    return fold * c < norm_width<T, B> ? norm_width<T, B> / (fold * c) * fold : fold;
}
/// Columns [at, at + columns) that a body handles at a time.
template <class T, int B>
[[gnu::always_inline]] inline std::int64_t norm_columns_at_once(std::int64_t c) {
    return norm_fold<T, B>(c) > 1 ? c : std::min(norm_width<T, B>, c);
}

/// Rows [begin, end) of columns [column, column + columns): `count` long rows of `fold` rows each, and the few rows
/// that are left, `left` elements.
template <class T, int B>
struct NormBlock {
    static constexpr auto size = static_cast<std::size_t>(norm_most);
    std::int64_t c, column, columns, begin, fold, count, width, left;
    [[gnu::always_inline]] NormBlock(std::int64_t channels, std::int64_t at, std::int64_t first, std::int64_t last)
        : c(channels),
          column(at),
          columns(std::min(norm_columns_at_once<T, B>(c), c - at)),
          begin(first),
          fold(norm_fold<T, B>(c)),
          count((last - first) / fold),
          width(columns * fold),
          left((last - first) % fold * columns) {}
    /// out[k] = f(channel) for every column of a long row.
    template <class F>
    [[gnu::always_inline]] void repeat(T* out, F&& f) const {
        for (std::int64_t k = 0, j = column; k < width; ++k, j = j + 1 == column + columns ? column : j + 1)
            out[k] = f(j);
    }
    /// f(kind, n, j, offset, count) for strips of columns at j: n = 4, 2 or 1 vectors, a half one, or one element,
    /// `kind` a null pointer to what is counted; the strip's long rows lie at offset, offset + fold c, ... The rows
    /// that are left come as one shorter row, by the same code, so that the bits of an element do not depend on how
    /// rows are cut.
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
        for (; j + 2 * L <= width; j += 2 * L)
            f(static_cast<Vec<T, B>*>(nullptr), std::integral_constant<int, 2>{}, j, offset + j, count);
        for (; j + L <= width; j += L)
            f(static_cast<Vec<T, B>*>(nullptr), std::integral_constant<int, 1>{}, j, offset + j, count);
        constexpr std::int64_t half = lanes<T> / 2;
        for (; j + half <= width; j += half)
            f(static_cast<HalfVec<T>*>(nullptr), std::integral_constant<int, 1>{}, j, offset + j, count);
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
