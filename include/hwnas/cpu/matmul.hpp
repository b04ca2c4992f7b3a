// SPDX-License-Identifier: MIT
// The register tile under every convolution: R rows by V vectors of accumulators, one rank-1 update a step. Six rows by
// two vectors keep the multipliers of an AVX2 core busy (12 accumulators, 2 columns of B, 1 element of A: 15 of 16
// registers), eight rows those of an AVX-512 core, with one vector or two.
#pragma once

#include <hwnas/cpu/blocks.hpp>

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

/// to[i] = from[i]; a call to memcpy would cost more than most of these short runs.
template <int B = vector_bytes, class T>
[[gnu::always_inline]] inline void copy_run(T* to, const T* from, std::int64_t n) {
    for_parts<T, B>(n, [&]<class V>(std::int64_t i, auto part) __attribute__((always_inline)) {
        V v;
        load_block(v, from + i, part);
        store_block(to + i, v, part);
    });
}
/// to[i] += from[i].
template <class T>
[[gnu::always_inline]] inline void add_run(T* to, const T* from, std::int64_t n) {
    for_parts<T>(n, [&]<class V>(std::int64_t i, auto part) __attribute__((always_inline)) {
        V v;
        load_block(v, from + i, part);
        store_block(to + i, v, part, 1);
    });
}
/// to[i] = max(from[i], 0), NaN kept.
template <int B = vector_bytes, class T>
[[gnu::always_inline]] inline void rectify_run(T* to, const T* from, std::int64_t n) {
    for_parts<T, B>(n, [&]<class V>(std::int64_t i, auto part) __attribute__((always_inline)) {
        V v;
        load_block(v, from + i, part);
        v = v < V{} ? V{} : v;
        store_block(to + i, v, part);
    });
}
/// to[i] (+)= from[i] where mask[i] > 0, else 0.
template <int B, class T>
[[gnu::always_inline]] inline void add_masked_run(T* to, const T* from, const T* mask, std::int64_t n, bool add) {
    for_parts<T, B>(n, [&]<class V>(std::int64_t i, auto part) __attribute__((always_inline)) {
        V v, m;
        load_block(v, from + i, part);
        load_block(m, mask + i, part);
        v = m > V{} ? v : V{};
        store_block(to + i, v, part, add);
    });
}
template <class T>
[[gnu::always_inline]] inline void clear_run(T* to, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) to[i] = T(0);
}

/// Widest column panel of a tile, in elements.
template <class T, int B>
inline constexpr std::int64_t tile_width = 2 * lanes<T, B>;

/// f(part), where part says which lanes of the last vector are columns.
template <class T, int B, class F>
[[gnu::always_inline]] inline void with_last([[maybe_unused]] std::int64_t columns, F&& f) {
#ifdef HWNAS_LANE_MASKS
    if constexpr (lane_masks<T, B>)
        if (const std::int64_t over = columns % lanes<T, B>; over > 0) return f(first_lanes(over));
#endif
    f(AllLanes{});
}
/// Row i of B: V vectors, the last of them in part.
template <class Vector, int V, class T, class M>
[[gnu::always_inline]] inline void load_right(Vector (&right)[V], const T* b, M last) {
    constexpr std::int64_t L = sizeof(Vector) / sizeof(T);
    unroll<V>([&](auto v) __attribute__((always_inline)) {
        if constexpr (v + 1 == V)
            load_block(right[v], b + v * L, last);
        else
            load_block(right[v], b + v * L);
    });
}
/// The sums of a tile to the rows c(r) of C, of the last vector what `last` says. What C held is added last.
template <int R, int V, int B, class T, class Rows, class M>
[[gnu::always_inline]] inline void store_tile(Vec<T, B> (&sum)[R][V], const Rows& c, bool add, M last) {
    constexpr std::int64_t L = lanes<T, B>;
    if (add)
        unroll<R>([&](auto r) __attribute__((always_inline)) {
            Vec<T, B> old[V];
            load_right(old, static_cast<const T*>(c(r)), last);
            unroll<V>([&](auto v) __attribute__((always_inline)) { sum[r][v] += old[v]; });
        });
    unroll<R>([&](auto r) __attribute__((always_inline)) {
        unroll<V>([&](auto v) __attribute__((always_inline)) {
            if constexpr (v + 1 == V)
                store_block(c(r) + v * L, sum[r][v], last);
            else
                store_block(c(r) + v * L, sum[r][v]);
        });
    });
}

/// c[r][j] = (add ? c[r][j] : start[j]) + sum_i a[r][i a_step] b[i b_step + j] for j < columns <= V vectors. `start`
/// holds V whole vectors, and so do the rows of b where `last`, by with_last(), is all lanes; only `columns` elements
/// of c are touched.
template <int R, int V, int B, class T, class M>
[[gnu::always_inline]] inline void tile(const T* const (&a)[R], std::int64_t a_step, const T* b, std::int64_t b_step,
                                        std::int64_t steps, T* const (&c)[R], bool add, const T* start,
                                        std::int64_t columns, M last) {
    Vec<T, B> sum[R][V];
    unroll<R>([&](auto r) __attribute__((always_inline)) {
        unroll<V>([&](auto v) __attribute__((always_inline)) {
            sum[r][v] = Vec<T, B>{};
            if (!add) load<T>(sum[r][v], start + v * lanes<T, B>);
        });
    });
    std::int64_t at = 0;
    for (std::int64_t i = 0; i < steps; ++i, at += a_step, b += b_step) {
        Vec<T, B> right[V];
        load_right(right, b, last);
        unroll<R>([&](auto r) __attribute__((always_inline)) {
            Vec<T, B> left{};
            broadcast(left, a[r] + at);
            unroll<V>([&](auto v) __attribute__((always_inline)) { sum[r][v] += left * right[v]; });
        });
    }
    if (lane_masks<T, B> || columns == V * lanes<T, B>)
        return store_tile<R, V, B, T>(sum, [&](auto r) __attribute__((always_inline)) { return c[r]; }, add, last);
    alignas(64) T rows[R][V * lanes<T, B>];
    unroll<R>([&](auto r) __attribute__((always_inline)) {
        unroll<V>([&](auto v) __attribute__((always_inline)) { store<T>(rows[r] + v * lanes<T, B>, sum[r][v]); });
    });
    for (int r = 0; r < R; ++r)
        if (add)
            add_run(c[r], static_cast<const T*>(rows[r]), columns);
        else
            copy_run(c[r], static_cast<const T*>(rows[r]), columns);
}

/// Rows of a tile whose rows of A are `pitch` apart: with 32 registers sixteen accumulators, which hide the latency of
/// a multiply-add and share each row of B.
template <int B>
inline constexpr int strided_rows(int vectors) {
    return B > vector_bytes ? 16 / vectors : vectors == 1 ? 8 : 6;
}
/// tile() for rows of A and C that are evenly apart, of V whole vectors where there are no masks. `pitch` is best a
/// constant: then all rows have one address.
template <int R, int V, int B, class T, class Pitch, class M>
[[gnu::always_inline]] inline void strided_tile(const T* a, Pitch pitch, std::int64_t a_step, const T* b,
                                                std::int64_t b_step, std::int64_t steps, T* c, std::int64_t c_pitch,
                                                bool add, const T* start, M last) {
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
        load_right(right, b, last);
        unroll<R>([&](auto r) __attribute__((always_inline)) {
            Vec<T, B> left{};
            broadcast(left, a + r * pitch);
            unroll<V>([&](auto v) __attribute__((always_inline)) { sum[r][v] += left * right[v]; });
        });
    }
    store_tile<R, V, B, T>(sum, [&](auto r) __attribute__((always_inline)) { return c + r * c_pitch; }, add, last);
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

}  // namespace hwnas::cpu
