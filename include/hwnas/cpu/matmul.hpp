// SPDX-License-Identifier: MIT
// The register tile under every convolution: R rows by V vectors of accumulators, one rank-1 update a step. Six rows by
// two vectors keep the multipliers of an AVX2 core busy (12 accumulators, 2 columns of B, 1 element of A: 15 of 16
// registers), eight rows those of an AVX-512 core, with one vector or two.
#pragma once

#include <hwnas/cpu/simd.hpp>

#include <cstdint>
#include <utility>

namespace hwnas::cpu {

/// f(integral_constant 0), ..., f(integral_constant N - 1), unrolled by the language so that arrays become registers.
template <int N, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
    [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
        (f(std::integral_constant<int, i>{}), ...);
    }(std::make_integer_sequence<int, N>{});
}

/// Widest column panel of a tile, in elements.
template <class T, int B>
inline constexpr std::int64_t tile_width = 2 * lanes<T, B>;

/// c[r][j] = (add ? c[r][j] : start[j]) + sum_i a[r][i a_step] b[i b_step + j] for j < columns <= V vectors. `start`
/// and the rows of b hold V whole vectors; only `columns` elements of c are touched. What c held is added last.
template <int R, int V, int B, class T>
[[gnu::always_inline]] inline void tile(const T* const (&a)[R], std::int64_t a_step, const T* b, std::int64_t b_step,
                                        std::int64_t steps, T* const (&c)[R], bool add, const T* start,
                                        std::int64_t columns) {
    Vec<T, B> sum[R][V];
    const bool whole = columns == V * lanes<T, B>;
    const auto bytes = static_cast<std::size_t>(columns) * sizeof(T);
    unroll<R>([&](auto r) __attribute__((always_inline)) {
        unroll<V>([&](auto v) __attribute__((always_inline)) {
            sum[r][v] = Vec<T, B>{};
            if (!add) load<T>(sum[r][v], start + v * lanes<T, B>);
        });
    });
    std::int64_t at = 0;
    for (std::int64_t i = 0; i < steps; ++i, at += a_step, b += b_step) {
        Vec<T, B> right[V];
        unroll<V>([&](auto v) __attribute__((always_inline)) { load<T>(right[v], b + v * lanes<T, B>); });
        unroll<R>([&](auto r) __attribute__((always_inline)) {
            Vec<T, B> left{};
            splat(left, a[r][at]);
            unroll<V>([&](auto v) __attribute__((always_inline)) { sum[r][v] += left * right[v]; });
        });
    }
    unroll<R>([&](auto r) __attribute__((always_inline)) {
        T row[V * lanes<T, B>] = {};
        T* to = c[r];
        if (!whole) {
            if (add) std::memcpy(row, to, bytes);
            to = row;
        }
        unroll<V>([&](auto v) __attribute__((always_inline)) {
            Vec<T, B> old{};
            if (add) load<T>(old, to + v * lanes<T, B>);
            old += sum[r][v];
            store<T>(to + v * lanes<T, B>, old);
        });
        if (!whole) std::memcpy(c[r], row, bytes);
    });
}

/// Rows of a tile whose rows of A are `pitch` apart: with 32 registers sixteen accumulators, which hide the latency of
/// a multiply-add and share each row of B.
template <int B>
inline constexpr int strided_rows(int vectors) {
    return B > vector_bytes ? 16 / vectors : vectors == 1 ? 8 : 6;
}
/// tile() for rows of A and C that are evenly apart, of V whole vectors. `pitch` is best a constant: then all rows have
/// one address.
template <int R, int V, int B, class T, class Pitch>
[[gnu::always_inline]] inline void strided_tile(const T* a, Pitch pitch, std::int64_t a_step, const T* b,
                                                std::int64_t b_step, std::int64_t steps, T* c, std::int64_t c_pitch,
                                                bool add, const T* start) {
    Vec<T, B> sum[R][V];
    unroll<R>([&](auto r) __attribute__((always_inline)) {
        unroll<V>([&](auto v) __attribute__((always_inline)) {
            sum[r][v] = Vec<T, B>{};
            if (!add) load<T>(sum[r][v], start + v * lanes<T, B>);
        });
    });
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < steps; ++i, a += a_step, b += b_step) {
        Vec<T, B> right[V];
        unroll<V>([&](auto v) __attribute__((always_inline)) { load<T>(right[v], b + v * lanes<T, B>); });
        unroll<R>([&](auto r) __attribute__((always_inline)) {
            Vec<T, B> left{};
            splat(left, a[r * pitch]);
            unroll<V>([&](auto v) __attribute__((always_inline)) { sum[r][v] += left * right[v]; });
        });
    }
    unroll<R>([&](auto r) __attribute__((always_inline)) {
        unroll<V>([&](auto v) __attribute__((always_inline)) {
            Vec<T, B> old{};
            T* to = c + r * c_pitch + v * lanes<T, B>;
            if (add) load<T>(old, to);
            old += sum[r][v];
            store<T>(to, old);
        });
    });
}

/// to[j width + i] = from[i pitch + j] for i < rows and j < columns.
template <class T>
[[gnu::always_inline]] inline void transpose_run(T* to, std::int64_t width, const T* from, std::int64_t pitch,
                                                 std::int64_t rows, std::int64_t columns) {
    std::int64_t i = 0;
    if constexpr (sizeof(T) == 4)
        for (; i + 8 <= rows; i += 8)
            for (std::int64_t j = 0; j + 8 <= columns; j += 8) {
                Vec<T> a[8], b[8];
                unroll<8>([&](auto r) __attribute__((always_inline)) { load<T>(a[r], from + (i + r) * pitch + j); });
                unroll<4>([&](auto r) __attribute__((always_inline)) {
                    b[2 * r] = __builtin_shufflevector(a[2 * r], a[2 * r + 1], 0, 8, 1, 9, 4, 12, 5, 13);
                    b[2 * r + 1] = __builtin_shufflevector(a[2 * r], a[2 * r + 1], 2, 10, 3, 11, 6, 14, 7, 15);
                });
                unroll<2>([&](auto r) __attribute__((always_inline)) {
                    unroll<2>([&](auto h) __attribute__((always_inline)) {
                        const Vec<T>&low = b[4 * r + h], &high = b[4 * r + h + 2];
                        a[4 * r + 2 * h] = __builtin_shufflevector(low, high, 0, 1, 8, 9, 4, 5, 12, 13);
                        a[4 * r + 2 * h + 1] = __builtin_shufflevector(low, high, 2, 3, 10, 11, 6, 7, 14, 15);
                    });
                });
                unroll<4>([&](auto r) __attribute__((always_inline)) {
                    const Vec<T> low = __builtin_shufflevector(a[r], a[r + 4], 0, 1, 2, 3, 8, 9, 10, 11),
                                 high = __builtin_shufflevector(a[r], a[r + 4], 4, 5, 6, 7, 12, 13, 14, 15);
                    store<T>(to + (j + r) * width + i, low);
                    store<T>(to + (j + r + 4) * width + i, high);
                });
            }
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t j = r < i ? columns / 8 * 8 : 0; j < columns; ++j) to[j * width + r] = from[r * pitch + j];
}

/// to[i] = from[i]; a call to memcpy would cost more than most of these short runs.
template <class T>
[[gnu::always_inline]] inline void copy_run(T* to, const T* from, std::int64_t n) {
    std::int64_t i = 0;
    for (; i + lanes<T> <= n; i += lanes<T>) {
        Vec<T> v;
        load<T>(v, from + i);
        store<T>(to + i, v);
    }
    for (; i < n; ++i) to[i] = from[i];
}
/// to[i] = max(from[i], 0), NaN kept.
template <class T>
[[gnu::always_inline]] inline void rectify_run(T* to, const T* from, std::int64_t n) {
    std::int64_t i = 0;
    for (; i + lanes<T> <= n; i += lanes<T>) {
        Vec<T> v;
        load<T>(v, from + i);
        v = v < Vec<T>{} ? Vec<T>{} : v;
        store<T>(to + i, v);
    }
    for (; i < n; ++i) to[i] = from[i] < T(0) ? T(0) : from[i];
}
template <class T>
[[gnu::always_inline]] inline void clear_run(T* to, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) to[i] = T(0);
}

}  // namespace hwnas::cpu
