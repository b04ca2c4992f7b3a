// SPDX-License-Identifier: MIT
// Kernels of relaxed nodes of bare primitives, source by source. A vertex that is ready is pushed into the sums of all
// nodes it feeds, while it is in the cache; backward it gathers from their gradients. Either way a row of the output is
// summed over (input, row of its filter) pairs. What a filter does not use is not computed: an edge whose filter is
// zero is left out, one that has a centre tap only costs one multiplication.
#pragma once

#include <hwnas/cpu/depthwise_conv.hpp>
#include <hwnas/cpu/filter_row.hpp>

namespace hwnas::cpu {

template <class T, int B>
struct MixedSourceForwardBody {
    [[gnu::always_inline]] static void run(const contract::MixedSourceForward<T>& call, FilterRowKernel<T> kernel,
                                           std::int64_t begin, std::int64_t end) {
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
                FilterRow<T> row;
                row.w = s.w, row.c = row.step = s.c;
                row.add_edge(s.x + image * s.h * line, filters + s.edge[j] * 9 * s.c, p, s.h, kinds[j]);
                if (s.column[j] >= 0) {
                    const T gate = s.gamma[group * s.gamma_stride + s.column[j]];
                    if (gate != T(0)) row.scaled[row.scaled_count++] = {s.pooled + index * line, gate};
                }
                if (add && row.term_count + row.scaled_count == 0) continue;
                if (add) fetch_ahead(s.u[j] + (index + 2) * line, line);
                row.out = s.u[j] + index * line, row.accumulate = add;
                kernel(row);
            }
        }
    }
};
template <class T>
struct Kernel<contract::MixedSourceForward<T>> {
    static void run(Context& context, const contract::MixedSourceForward<T>& s) {
        context.for_range(s.n * s.h, row_grain(s.w, s.c), [&](std::int64_t begin, std::int64_t end) {
            dispatch_wide<T, MixedSourceForwardBody>(context.isa, s, filter_row_kernel<T>(context.isa), begin, end);
        });
    }
};

template <class T, int B>
struct MixedSourceBackwardBody {
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
    [[gnu::always_inline]] static void run(const contract::MixedSourceBackward<T>& call, FilterRowKernel<T> kernel,
                                           std::int64_t chunk) {
        const auto s = call;
        const std::int64_t line = s.w * s.c, size = s.h * line, block = 9 * s.c + 1;
        T* partial = s.partial ? s.partial + chunk * s.count * block : nullptr;
        contract::Window window{};
        window.h = window.oh = s.h, window.w = window.ow = s.w, window.c = s.c;
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
                FilterRow<T> row;
                row.w = s.w, row.c = s.c, row.step = -s.c;
                for (int j = 0; j < s.count; ++j) fetch_ahead(s.du[j] + at + 3 * line, line);
                if (s.dx) {
                    if (s.accumulate) fetch_ahead(s.dx + at + 2 * line, line);
                    for (int j = 0; j < s.count; ++j)
                        row.add_edge(s.du[j] + image * size, filters + s.edge[j] * 9 * s.c, p, s.h, kinds[j]);
                    row.out = s.dx + at, row.accumulate = s.accumulate != 0;
                    kernel(row);
                }
                if (s.dpooled) {
                    row.term_count = 0;
                    for (int j = 0; j < s.count; ++j)
                        if (gates[j] != T(0)) row.scaled[row.scaled_count++] = {s.du[j] + at, gates[j]};
                    row.out = s.dpooled + at, row.accumulate = false;
                    kernel(row);
                }
            }
            if (!partial) continue;
            for (int j = 0; j < s.count; ++j) {
                T* sums = partial + j * block;
                const T *x = s.x + image * size, *du = s.du[j] + image * size;
                for_parts<T, B>(s.c, [&]<class V>(std::int64_t b, auto part) __attribute__((always_inline)) {
                    V sum[9] = {};
                    DepthwiseWeight3x3<T, B, 1>::template image<V>(sum, x + b, du + b, window, part);
                    T* const to = sums + b;
                    if (s.resume || image != first) add_blocks<9>(sum, static_cast<const T*>(to), s.c, part);
                    store_blocks<9>(to, s.c, sum, part);
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
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            dispatch_wide<T, MixedSourceBackwardBody>(context.isa, s, filter_row_kernel<T>(context.isa), chunk);
        });
    }
};
template <class T>
struct Kernel<contract::MixedSourceReduce<T>> {
    static void run(Context& context, const contract::MixedSourceReduce<T>& s) {
        const std::int64_t block = 9 * s.c + s.products, chunks = s.groups > 1 ? 1 : s.chunks;
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
            for (std::int64_t i = 9 * s.c; i < block && s.dgamma && s.column[j] >= 0; ++i)
                s.dgamma[group * s.gamma_stride + s.column[j]] += total(i);
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
