// SPDX-License-Identifier: MIT
// Kernels of relaxed nodes of bare primitives, source by source. A vertex that is ready is pushed into the sums of all
// nodes it feeds, while it is in the cache; backward it gathers from their gradients. Either way a row of the output is
// summed over (input, row of its filter) pairs in strips of seven columns that stay in registers, so that each loaded
// column serves three outputs. What a filter does not use is not computed: an edge whose filter is zero is left out,
// one that has a centre tap only costs one multiplication.
#pragma once

#include <hwnas/cpu/depthwise_conv.hpp>

namespace hwnas::cpu {

/// One row of an output, gathered from rows of inputs [w, c].
template <class T>
struct MixedRow {
    struct Term {
        const T *in, *f;  ///< three columns of the filter [3, c]; `centre`: one [c]
        bool centre;
    };
    struct Scaled {
        const T* in;
        T factor;
    };
    Term terms[3 * contract::max_edges];
    Scaled scaled[contract::max_edges];
    int term_count = 0, scaled_count = 0;

    /// Adds the rows of one edge's input; image [h, w, c], filter [9, c], read backwards for gradients.
    [[gnu::always_inline]] void add_edge(const T* image, const T* filter, std::int64_t p, std::int64_t h,
                                         std::int64_t row, std::int64_t c, int kind, bool flip) {
        if (kind == 0) return;
        if (kind == 1) {
            terms[term_count++] = {image + p * row, filter + 4 * c, true};
            return;
        }
        for (std::int64_t k = 0; k < 3; ++k) {
            const std::int64_t from = p + k - 1;
            if (from >= 0 && from < h)
                terms[term_count++] = {image + from * row, filter + 3 * (flip ? 2 - k : k) * c, false};
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

template <class V, class T>
[[gnu::always_inline]] inline void splat_block(V& v, T x) {
    if constexpr (std::is_same_v<V, T>)
        v = x;
    else
        splat(v, x);
}

template <class T, int B, bool Flip>
struct MixedRowBody {
    /// sum[j] += the three taps around column j, for J columns from `in` on; Left, Right: no column beyond that end.
    template <class V, int J, bool Left, bool Right>
    [[gnu::always_inline]] static void taps(V* sum, const T* in, const T* f, std::int64_t c) {
        V a, b, d, x;
        load_block(a, f + (Flip ? 2 : 0) * c);
        load_block(b, f + c);
        load_block(d, f + (Flip ? 0 : 2) * c);
        if constexpr (!Left) {
            load_block(x, in - c);
            sum[0] += x * a;
        }
#pragma GCC unroll 8
        for (int k = 0; k < J; ++k) {
            load_block(x, in + k * c);
            if (k + 1 < J) sum[k + 1] += x * a;
            sum[k] += x * b;
            if (k > 0) sum[k - 1] += x * d;
        }
        if constexpr (!Right) {
            load_block(x, in + J * c);
            sum[J - 1] += x * d;
        }
    }
    template <class V, int J, bool Left, bool Right>
    [[gnu::always_inline]] static void strip(const MixedRow<T>& row, T* out, std::int64_t at, std::int64_t c,
                                             bool accumulate) {
        V sum[J] = {};
        if (accumulate)
#pragma GCC unroll 8
            for (int j = 0; j < J; ++j) load_block(sum[j], out + at + j * c);
        for (int i = 0; i < row.term_count; ++i) {
            const auto& term = row.terms[i];
            if (term.centre) {
                V f, x;
                load_block(f, term.f + at % c);
#pragma GCC unroll 8
                for (int j = 0; j < J; ++j) {
                    load_block(x, term.in + at + j * c);
                    sum[j] += x * f;
                }
            } else {
                taps<V, J, Left, Right>(sum, term.in + at, term.f + at % c, c);
            }
        }
        for (int i = 0; i < row.scaled_count; ++i) {
            V factor{}, x;
            splat_block<V, T>(factor, row.scaled[i].factor);
#pragma GCC unroll 8
            for (int j = 0; j < J; ++j) {
                load_block(x, row.scaled[i].in + at + j * c);
                sum[j] += x * factor;
            }
        }
#pragma GCC unroll 8
        for (int j = 0; j < J; ++j) store_block(out + at + j * c, sum[j]);
    }
    [[gnu::always_inline]] static void run(const MixedRow<T>& row, T* out, std::int64_t w, std::int64_t c,
                                           bool accumulate) {
        for_channels<T, B>(c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
            if (w == 1) return strip<V, 1, true, true>(row, out, b, c, accumulate);
            if (w == 7) return strip<V, 7, true, true>(row, out, b, c, accumulate);
            std::int64_t q = 0;
            if (w >= 9)
                strip<V, 7, true, false>(row, out, b, c, accumulate), q = 7;
            else
                strip<V, 1, true, false>(row, out, b, c, accumulate), q = 1;
            for (; q + 7 < w; q += 7) strip<V, 7, false, false>(row, out, q * c + b, c, accumulate);
            if (q + 7 == w) return strip<V, 7, false, true>(row, out, q * c + b, c, accumulate);
            for (; q + 1 < w; ++q) strip<V, 1, false, false>(row, out, q * c + b, c, accumulate);
            strip<V, 1, false, true>(row, out, q * c + b, c, accumulate);
        });
    }
};

template <class T, int B>
struct MixedSourceForwardBody {
    [[gnu::always_inline]] static void run(const contract::MixedSourceForward<T>& call, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;
        const std::int64_t line = s.w * s.c;
        int kinds[contract::max_edges] = {};
        std::int64_t known = -1;  // the group whose kinds these are
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t image = index / s.h, p = index % s.h, group = s.groups == 1 ? 0 : image;
            const T* filters = s.filters + group * s.edges * 9 * s.c;
            if (group != known)
                for (int j = 0; j < s.count; ++j) kinds[j] = filter_kind(filters + s.edge[j] * 9 * s.c, s.c);
            known = group;
            for (int j = 0; j < s.count; ++j) {
                const bool add = s.accumulate >> j & 1u;
                MixedRow<T> row{};
                row.add_edge(s.x + image * s.h * line, filters + s.edge[j] * 9 * s.c, p, s.h, line, s.c, kinds[j],
                             false);
                if (s.column[j] >= 0) {
                    const T gate = s.gamma[group * s.gamma_stride + s.column[j]];
                    if (gate != T(0)) row.scaled[row.scaled_count++] = {s.pooled + index * line, gate};
                }
                if (add && row.term_count + row.scaled_count == 0) continue;
                if (add) fetch_ahead(s.u[j] + (index + 2) * line, line);
                MixedRowBody<T, B, false>::run(row, s.u[j] + index * line, s.w, s.c, add);
            }
        }
    }
};
template <class T>
struct Kernel<contract::MixedSourceForward<T>> {
    static void run(Context& context, const contract::MixedSourceForward<T>& s) {
        context.for_range(s.n * s.h, row_grain(s.w, s.c), [&](std::int64_t begin, std::int64_t end) {
            dispatch_wide<T, MixedSourceForwardBody>(context.isa, s, begin, end);
        });
    }
};

template <class T, int B>
struct MixedSourceBackwardBody {
    /// sums[0..8] over one image: du correlated with x.
    template <class V>
    [[gnu::always_inline]] static void correlate(V* sums, const T* x, const T* du, std::int64_t h, std::int64_t w,
                                                 std::int64_t c) {
        using Body = DepthwiseWeight3x3Body<T, B>;
        contract::Window window{};
        window.w = w, window.c = c;
        const std::int64_t row = w * c;
        Body::template line<V, 1, 3>(sums, x, du, window);
        for (std::int64_t p = 1; p + 1 < h; ++p) Body::template line<V, 0, 3>(sums, x + p * row, du + p * row, window);
        Body::template line<V, 0, 2>(sums, x + (h - 1) * row, du + (h - 1) * row, window);
    }
    [[gnu::always_inline]] static T dot(const T* a, const T* b, std::int64_t n) {
        constexpr std::int64_t L = lanes<T, B>;
        Vec<T, B> s0{}, s1{}, u, v;
        std::int64_t i = 0;
        for (; i + 2 * L <= n; i += 2 * L) {
            load<T>(u, a + i), load<T>(v, b + i), s0 += u * v;
            load<T>(u, a + i + L), load<T>(v, b + i + L), s1 += u * v;
        }
        s0 += s1;
        T sum = lane_sum<T>(s0);
        for (; i < n; ++i) sum += a[i] * b[i];
        return sum;
    }
    [[gnu::always_inline]] static void run(const contract::MixedSourceBackward<T>& call, std::int64_t chunk) {
        const auto s = call;
        const std::int64_t line = s.w * s.c, size = s.h * line, block = 9 * s.c + 1;
        T* partial = s.partial ? s.partial + chunk * s.count * block : nullptr;
        const std::int64_t first = s.n * chunk / s.chunks, last = s.n * (chunk + 1) / s.chunks;
        for (std::int64_t image = first; image < last; ++image) {
            const std::int64_t group = s.groups == 1 ? 0 : image;
            const T* filters = s.filters + group * s.edges * 9 * s.c;
            T gates[contract::max_edges];
            int kinds[contract::max_edges];
            for (int j = 0; j < s.count; ++j) {
                kinds[j] = filter_kind(filters + s.edge[j] * 9 * s.c, s.c);
                gates[j] = s.column[j] >= 0 ? s.gamma[group * s.gamma_stride + s.column[j]] : T(0);
            }
            for (std::int64_t p = 0; p < s.h; ++p) {
                const std::int64_t at = image * size + p * line;
                MixedRow<T> row;
                for (int j = 0; j < s.count; ++j) fetch_ahead(s.du[j] + at + 3 * line, line);
                if (s.dx) {
                    if (s.accumulate) fetch_ahead(s.dx + at + 2 * line, line);
                    for (int j = 0; j < s.count; ++j)
                        row.add_edge(s.du[j] + image * size, filters + s.edge[j] * 9 * s.c, p, s.h, line, s.c, kinds[j],
                                     true);
                    MixedRowBody<T, B, true>::run(row, s.dx + at, s.w, s.c, s.accumulate != 0);
                }
                if (s.dpooled) {
                    row.term_count = 0;
                    for (int j = 0; j < s.count; ++j)
                        if (gates[j] != T(0)) row.scaled[row.scaled_count++] = {s.du[j] + at, gates[j]};
                    MixedRowBody<T, B, true>::run(row, s.dpooled + at, s.w, s.c, false);
                }
            }
            if (!partial) continue;
            for (int j = 0; j < s.count; ++j) {
                T* sums = partial + j * block;
                const T *x = s.x + image * size, *du = s.du[j] + image * size;
                for_channels<T, B>(s.c, [&]<class V>(std::int64_t b) __attribute__((always_inline)) {
                    V sum[9] = {};
                    correlate<V>(sum, x + b, du + b, s.h, s.w, s.c);
#pragma GCC unroll 9
                    for (int k = 0; k < 9; ++k) store_block(sums + k * s.c + b, sum[k], s.resume || image != first);
                });
                const T pooled = s.column[j] >= 0 ? dot(s.pooled + image * size, du, size) : T(0);
                sums[9 * s.c] = (s.resume || image != first ? sums[9 * s.c] : T(0)) + pooled;
            }
        }
    }
};
template <class T>
struct Kernel<contract::MixedSourceBackward<T>> {
    static void run(Context& context, const contract::MixedSourceBackward<T>& s) {
        context.parallel(s.chunks,
                         [&](std::int64_t chunk) { dispatch_wide<T, MixedSourceBackwardBody>(context.isa, s, chunk); });
    }
};
template <class T>
struct Kernel<contract::MixedSourceReduce<T>> {
    static void run(Context& context, const contract::MixedSourceReduce<T>& s) {
        const std::int64_t block = 9 * s.c + 1, chunks = s.groups > 1 ? 1 : s.chunks;
        context.parallel(s.groups * s.count, [&](std::int64_t item) {
            const std::int64_t group = item / s.count, j = item % s.count;
            const T* sums = s.partial + (group * s.count + j) * block;
            const auto total = [&](std::int64_t i) {
                double sum = 0;
                for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
                    sum += static_cast<double>(sums[chunk * s.count * block + i]);
                return static_cast<T>(sum);
            };
            if (s.dfilters)
                for (std::int64_t i = 0; i < 9 * s.c; ++i)
                    s.dfilters[(group * s.edges + s.edge[j]) * 9 * s.c + i] += total(i);
            if (s.dgamma && s.column[j] >= 0) s.dgamma[group * s.gamma_stride + s.column[j]] += total(9 * s.c);
        });
    }
};

template <class T>
struct Kernel<contract::MergeFiltersForward<T>> {
    static void run(Context& context, const contract::MergeFiltersForward<T>& s) {
        context.parallel(s.groups, [&](std::int64_t group) {
            T* filters = s.filters + group * s.edges * 9 * s.c;
            if (!s.accumulate) std::fill(filters, filters + s.edges * 9 * s.c, T(0));
            for (int j = 0; j < s.count; ++j) {
                const T gate = s.gamma[group * s.gamma_stride + s.column[j]];
                if (gate == T(0)) continue;
                T* f = filters + s.edge[j] * 9 * s.c;
                if (s.w[j])
                    for (std::int64_t i = 0; i < 9 * s.c; ++i) f[i] += gate * s.w[j][i];
                else
                    for (std::int64_t i = 4 * s.c; i < 5 * s.c; ++i) f[i] += gate;
            }
        });
    }
};
template <class T>
struct Kernel<contract::MergeFiltersBackward<T>> {
    static void run(Context& context, const contract::MergeFiltersBackward<T>& s) {
        context.parallel(s.count, [&](std::int64_t j) {
            for (std::int64_t group = 0; group < s.groups; ++group) {
                const T* d = s.dfilters + (group * s.edges + s.edge[j]) * 9 * s.c;
                const std::int64_t at = group * s.gamma_stride + s.column[j];
                double dot = 0;
                if (s.w[j])
                    for (std::int64_t i = 0; i < 9 * s.c; ++i)
                        dot += static_cast<double>(s.w[j][i]) * static_cast<double>(d[i]);
                else
                    for (std::int64_t i = 4 * s.c; i < 5 * s.c; ++i) dot += static_cast<double>(d[i]);
                if (s.dgamma) s.dgamma[at] += static_cast<T>(dot);
                if (const T gate = s.gamma[at]; s.dw[j] && gate != T(0))
                    for (std::int64_t i = 0; i < 9 * s.c; ++i) s.dw[j][i] += gate * d[i];
            }
        });
    }
};

}  // namespace hwnas::cpu
