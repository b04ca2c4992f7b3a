// SPDX-License-Identifier: MIT
// A relaxed node, and the gradient of a vertex, in one pass each, as their definitions read: plain loops. A CPU goes
// source by source (mixed_node.hpp), whose rows stay in the cache; this is what devices that share memory are compared
// with (cuda/mixed_band.cuh).
#pragma once

#include <hwnas/cpu/mixed_cell.hpp>

namespace hwnas::cpu {

/// Whether an edge's filter does anything.
template <class T>
bool filters_anything(const T* filter, std::int64_t c) {
    return std::any_of(filter, filter + 9 * c, [](T tap) { return tap != T(0); });
}

template <class T>
struct Kernel<contract::MixedNodeForward<T>> {
    static void run(Context& context, const contract::MixedNodeForward<T>& s) {
        const CellImage at{s.h, s.w, s.c};
        context.parallel(s.n, [&](std::int64_t image) {
            const std::int64_t draw = s.groups > 1 ? image : 0, first = image * at.size();
            if (!s.accumulate) std::fill_n(s.u + first, at.size(), T(0));
            for (int j = 0; j < s.count; ++j) {
                const T *const x = s.x[j] + first, *const filter = s.filters + (draw * s.edges + s.edge[j]) * 9 * s.c;
                const T gate = s.column[j] < 0 ? T(0) : s.gamma[draw * s.gamma_stride + s.column[j]];
                const bool filters = filters_anything(filter, s.c);
                at.for_each([&](std::int64_t p, std::int64_t q, std::int64_t b, std::int64_t place) {
                    T& u = s.u[first + place];
                    if (filters)
                        at.for_taps(p, q, b,
                                    [&](std::int64_t tap, std::int64_t from) { u += filter[tap * s.c + b] * x[from]; });
                    if (gate == T(0) && !s.tap[j]) return;
                    const std::int64_t best = at.largest(x, p, q, b);
                    if (gate != T(0)) u += gate * x[best];
                    if (!s.tap[j]) return;
                    at.for_taps(p, q, b, [&](std::int64_t tap, std::int64_t from) {
                        if (from == best) s.tap[j][first + place] = static_cast<std::uint8_t>(tap);
                    });
                });
            }
        });
    }
};

template <class T>
struct Kernel<contract::MixedVertexBackward<T>> {
    static void run(Context& context, const contract::MixedVertexBackward<T>& s) {
        const CellImage at{s.h, s.w, s.c};
        const std::int64_t size = at.size(), block = 9 * s.c + 1;
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            std::vector<T> sums(static_cast<std::size_t>(s.count * block));
            for (std::int64_t image = s.n * chunk / s.chunks; image < s.n * (chunk + 1) / s.chunks; ++image) {
                const std::int64_t draw = s.groups > 1 ? image : 0, first = image * size;
                if (s.dx && !s.accumulate) std::fill_n(s.dx + first, size, T(0));
                for (int j = 0; j < s.count; ++j) {
                    const T* const filter = s.filters + (draw * s.edges + s.edge[j]) * 9 * s.c;
                    const T gate = s.column[j] < 0 ? T(0) : s.gamma[draw * s.gamma_stride + s.column[j]];
                    const bool filters = filters_anything(filter, s.c);
                    T* const sum = sums.data() + j * block;
                    at.for_each([&](std::int64_t p, std::int64_t q, std::int64_t b, std::int64_t place) {
                        const T from = s.du[j][first + place];
                        at.for_taps(p, q, b, [&](std::int64_t tap, std::int64_t source) {
                            if (s.dx && filters) s.dx[first + source] += filter[tap * s.c + b] * from;
                            sum[tap * s.c + b] += s.x[first + source] * from;
                            if (s.dx && gate != T(0) && s.tap[first + place] == tap)
                                s.dx[first + source] += gate * from;
                        });
                        if (s.column[j] >= 0 && s.partial)
                            sum[9 * s.c] += s.x[first + at.largest(s.x + first, p, q, b)] * from;
                    });
                }
            }
            for (std::size_t i = 0; i < sums.size() && s.partial; ++i) {
                T& to = s.partial[static_cast<std::size_t>(chunk) * sums.size() + i];
                to = (s.resume ? to : T(0)) + sums[i];
            }
        });
    }
};

}  // namespace hwnas::cpu
