// SPDX-License-Identifier: MIT
// One row of an output of 3x3 depthwise filters, in strips of columns that stay in registers while all (input, row of
// its filter) pairs are added. Numbers of channels that networks have are compiled in: with them every column has a
// constant address, which is worth half of the speed.
#pragma once

#include <hwnas/cpu/taps.hpp>

namespace hwnas::cpu {

template <class T>
struct FilterRow {
    T* out;
    std::int64_t w, c, step;           ///< step: c, or -c where filters are read backwards, for gradients
    bool accumulate, rectify = false;  ///< rectify: out is max(sum, 0)
    struct Term {
        const T *in, *f;  ///< first of three columns of the filter, `step` apart; `centre`: one [c]
        bool centre;
    };
    struct Scaled {
        const T* in;
        T factor;
    };
    Term terms[3 * contract::max_edges];
    Scaled scaled[contract::max_edges];
    const T* offsets[contract::max_edges];  ///< [c], added to every column
    int term_count = 0, scaled_count = 0, offset_count = 0;

    /// Adds the rows of one edge's input that row p of the output sees; image [h, w, c], filter [9, c].
    [[gnu::always_inline]] void add_edge(const T* image, const T* filter, std::int64_t p, std::int64_t h, int kind) {
        if (kind == 0) return;
        if (kind == 1) {
            terms[term_count++] = {image + p * w * c, filter + 4 * c, true};
            return;
        }
        if (step < 0) filter += 8 * c;
        for (std::int64_t k = 0; k < 3; ++k) {
            const std::int64_t from = p + k - 1;
            if (from >= 0 && from < h) terms[term_count++] = {image + from * w * c, filter + 3 * k * step, false};
        }
    }
};

/// What a filter [9, c] is: 0 nothing, 1 a centre tap only, 2 a filter.
template <class T>
[[gnu::always_inline]] inline int filter_kind(const T* f, std::int64_t c) {
    const auto zero = [](const T* begin, const T* end) {
        for (; begin != end; ++begin)
            if (*begin != T(0)) return false;
        return true;
    };
    if (!zero(f, f + 4 * c) || !zero(f + 5 * c, f + 9 * c)) return 2;
    return zero(f + 4 * c, f + 5 * c) ? 0 : 1;
}

template <class T, int B, bool Constants>
struct FilterRowBody {
    /// sum[j] += the three taps around column j, for J columns from `in` on; Left, Right: no column beyond that end.
    template <class V, int J, bool Left, bool Right, class C, class M>
    [[gnu::always_inline]] static void taps(V* sum, const T* in, const T* f, std::int64_t step, C c, M part) {
#pragma GCC unroll 3
        for (int t = 0; t < 3; ++t) {
            V a, x;
            load_block(a, f + t * step, part);
#pragma GCC unroll 16
            for (int k = 0; k < J; ++k) {
                if ((Left && k + t == 0) || (Right && k + t == J + 1)) continue;
                load_block(x, in + (k + t - 1) * c, part);
                sum[k] += x * a;
            }
        }
    }
    /// Columns q .. q + J - 1 of channels from b on.
    template <class V, int J, bool Left, bool Right, class C, class M>
    [[gnu::always_inline]] static void strip(const FilterRow<T>& row, T* out, std::int64_t q, std::int64_t b, C c,
                                             M part, bool accumulate) {
        const std::int64_t at = q * c + b;
        V start{}, sum[J];
        for (int i = 0; i < row.offset_count; ++i) {
            V offset;
            load_block(offset, row.offsets[i] + b, part);
            start += offset;
        }
#pragma GCC unroll 16
        for (int j = 0; j < J; ++j) sum[j] = start;
        for (int i = 0; i < row.term_count; ++i) {
            const auto& term = row.terms[i];
            if (term.centre) {
                V f, x;
                load_block(f, term.f + b, part);
#pragma GCC unroll 16
                for (int j = 0; j < J; ++j) {
                    load_block(x, term.in + at + j * c, part);
                    sum[j] += x * f;
                }
            } else {
                taps<V, J, Left, Right>(sum, term.in + at, term.f + b, row.step, c, part);
            }
        }
        for (int i = 0; i < row.scaled_count; ++i) {
            V factor{}, x;
            splat_block<V, T>(factor, row.scaled[i].factor);
#pragma GCC unroll 16
            for (int j = 0; j < J; ++j) {
                load_block(x, row.scaled[i].in + at + j * c, part);
                sum[j] += x * factor;
            }
        }
        if (accumulate) add_blocks<J>(sum, out + at, c, part);
        if (row.rectify)
#pragma GCC unroll 16
            for (int j = 0; j < J; ++j) sum[j] = sum[j] < V{} ? V{} : sum[j];  // keeps NaN
        store_blocks<J>(out + at, c, sum, part);
    }
    /// All columns of channels from b on: strips of J as long as they fit, then single columns.
    template <class V, int J, class C, class M>
    [[gnu::always_inline]] static void strips(const FilterRow<T>& row, T* out, std::int64_t w, std::int64_t b, C c,
                                              M part, bool accumulate) {
        if (w == 1) return strip<V, 1, true, true>(row, out, 0, b, c, part, accumulate);
        if (w == J) return strip<V, J, true, true>(row, out, 0, b, c, part, accumulate);
        std::int64_t q = 0;
        if (w > J)
            strip<V, J, true, false>(row, out, 0, b, c, part, accumulate), q = J;
        else
            strip<V, 1, true, false>(row, out, 0, b, c, part, accumulate), q = 1;
        for (; q + J < w; q += J) strip<V, J, false, false>(row, out, q, b, c, part, accumulate);
        if (q + J == w) return strip<V, J, false, true>(row, out, q, b, c, part, accumulate);
        for (; q + 1 < w; ++q) strip<V, 1, false, false>(row, out, q, b, c, part, accumulate);
        strip<V, 1, false, true>(row, out, q, b, c, part, accumulate);
    }
    [[gnu::always_inline]] static void run(const FilterRow<T>& row) {
        T* const out = row.out;
        const std::int64_t w = row.w;
        const bool accumulate = row.accumulate;
        const auto all = [&]<class C>(C c) __attribute__((always_inline)) {
            if constexpr (std::is_same_v<C, std::int64_t>)
                for_parts<T, B>(c, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
                    strips<V, 7>(row, out, w, b, c, part, accumulate);
                });
            else
                for (std::int64_t b = 0; b < c; b += lanes<T, B>) {
                    // 64 bytes come with 32 registers
                    if (B > vector_bytes && w % 14 == 0)
                        strips<Vec<T, B>, B == 64 ? 14 : 7>(row, out, w, b, c, AllLanes{}, accumulate);
                    else
                        strips<Vec<T, B>, 7>(row, out, w, b, c, AllLanes{}, accumulate);
                }
        };
        if constexpr (Constants)
            with_channels<T>(row.c, all);
        else
            all(row.c);
    }
};

/// The row's kernel for an instruction set. Others call it by pointer: it is large, and compiled once for all of them.
template <class T>
using FilterRowKernel = void (*)(const FilterRow<T>&);
template <class T>
FilterRowKernel<T> filter_row_kernel([[maybe_unused]] Isa isa) {
#ifdef HWNAS_X86_KERNELS
    if constexpr (std::is_same_v<T, float>) {
        if (isa == Isa::avx512) return &run_avx512<FilterRowBody<T, 64, true>, FilterRow<T>>;
        if (isa == Isa::avx2) return &run_avx2<FilterRowBody<T, vector_bytes, true>, FilterRow<T>>;
    }
#endif
    return &run_portable<FilterRowBody<T, vector_bytes, false>, FilterRow<T>>;
}

}  // namespace hwnas::cpu
