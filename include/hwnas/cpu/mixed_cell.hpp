// SPDX-License-Identifier: MIT
// A relaxed cell as a whole, as its definition reads: plain loops. A CPU runs cells vertex by vertex (mixed_node.hpp),
// which the tiles of a recorded step keep in the cache; this is what devices that share memory are compared with.
#pragma once

#include <hwnas/cpu/device.hpp>

#include <limits>
#include <vector>

namespace hwnas::cpu {

/// One image of a vertex.
struct CellImage {
    std::int64_t h, w, c;
    std::int64_t size() const { return h * w * c; }
    /// f(tap, element) for the taps of a 3x3 window around pixel (p, q), channel b, that are inside, row-major.
    template <class F>
    void for_taps(std::int64_t p, std::int64_t q, std::int64_t b, F&& f) const {
        for (std::int64_t k = 0; k < 9; ++k) {
            const std::int64_t i = p + k / 3 - 1, j = q + k % 3 - 1;
            if (i >= 0 && i < h && j >= 0 && j < w) f(k, (i * w + j) * c + b);
        }
    }
    /// The element of x that a 3x3 pool chooses there: the first largest, the first NaN.
    template <class T>
    std::int64_t largest(const T* x, std::int64_t p, std::int64_t q, std::int64_t b) const {
        std::int64_t best = -1;
        for_taps(p, q, b, [&](std::int64_t, std::int64_t at) {
            if (best < 0 || (!(x[at] <= x[best]) && x[best] == x[best])) best = at;
        });
        return best;
    }
    /// f(p, q, b, element) for all.
    template <class F>
    void for_each(F&& f) const {
        for (std::int64_t p = 0, at = 0; p < h; ++p)
            for (std::int64_t q = 0; q < w; ++q)
                for (std::int64_t b = 0; b < c; ++b, ++at) f(p, q, b, at);
    }
};

template <class T>
struct Kernel<contract::MixedCellForward<T>> {
    static void run(Context& context, const contract::MixedCellForward<T>& s) {
        const CellImage at{s.h, s.w, s.c};
        const auto& graph = s.graph;
        context.parallel(s.n, [&](std::int64_t image) {
            const std::int64_t draw = s.groups > 1 ? image : 0;
            for (int k = 0; k < graph.nodes; ++k) std::fill_n(s.u[k] + image * at.size(), at.size(), T(0));
            for (int v = 0; v + 1 < graph.inputs + graph.nodes; ++v)
                for (int j = 0; j < graph.count; ++j) {
                    if (graph.from[j] != v) continue;
                    const T* x = (v < graph.inputs ? s.x[v] : s.u[v - graph.inputs]) + image * at.size();
                    const T* filter = s.filters + (draw * s.edges + graph.edge[j]) * 9 * s.c;
                    const T gate = graph.column[j] < 0 ? T(0) : s.gamma[draw * s.gamma_stride + graph.column[j]];
                    T* u = s.u[graph.to[j]] + image * at.size();
                    at.for_each([&](std::int64_t p, std::int64_t q, std::int64_t b, std::int64_t place) {
                        at.for_taps(p, q, b, [&](std::int64_t tap, std::int64_t from) {
                            if (filter[tap * s.c + b] != T(0)) u[place] += filter[tap * s.c + b] * x[from];
                        });
                        if (gate != T(0)) u[place] += gate * x[at.largest(x, p, q, b)];
                    });
                }
        });
    }
};

template <class T>
struct Kernel<contract::MixedCellBackward<T>> {
    static void run(Context& context, const contract::MixedCellBackward<T>& s) {
        const CellImage at{s.h, s.w, s.c};
        const auto& graph = s.graph;
        const std::int64_t size = at.size(), channels = contract::cell_channels(s.h, s.w, s.c),
                           block = 9 * s.c + contract::cell_groups(s.h, s.w, s.c);
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            std::vector<T> sums(static_cast<std::size_t>(graph.count * block));
            std::vector<std::vector<T>> du(static_cast<std::size_t>(graph.inputs + graph.nodes));
            for (std::int64_t image = s.n * chunk / s.chunks; image < s.n * (chunk + 1) / s.chunks; ++image) {
                const std::int64_t draw = s.groups > 1 ? image : 0;
                for (int v = graph.inputs + graph.nodes - 1; v >= 0; --v) {
                    auto& d = du[static_cast<std::size_t>(v)];
                    d.assign(static_cast<std::size_t>(size), T(0));
                    const bool input = v < graph.inputs;
                    const T* x = (input ? s.x[v] : s.u[v - graph.inputs]) + image * size;
                    if (!input && s.dy[v - graph.inputs])
                        std::copy_n(s.dy[v - graph.inputs] + image * size, size, d.begin());
                    for (int j = 0; j < graph.count; ++j)
                        if (graph.from[j] == v)
                            edge(s, at, j, draw, channels, x, du[static_cast<std::size_t>(graph.inputs + graph.to[j])],
                                 d, sums.data() + j * block);
                }
                for (int v = 0; v < graph.inputs; ++v)
                    for (std::int64_t i = 0; i < size && s.dx[v]; ++i) {
                        T& to = s.dx[v][image * size + i];
                        to = (s.accumulate >> v & 1u ? to : T(0)) +
                             du[static_cast<std::size_t>(v)][static_cast<std::size_t>(i)];
                    }
            }
            for (std::size_t i = 0; i < sums.size() && s.partial; ++i) {
                T& to = s.partial[static_cast<std::size_t>(chunk) * sums.size() + i];
                to = (s.resume ? to : T(0)) + sums[i];
            }
        });
    }

private:
    static void edge(const contract::MixedCellBackward<T>& s, const CellImage& at, int j, std::int64_t draw,
                     std::int64_t channels, const T* x, const std::vector<T>& du, std::vector<T>& d, T* sums) {
        const T* filter = s.filters + (draw * s.edges + s.graph.edge[j]) * 9 * s.c;
        const int column = s.graph.column[j];
        const T gate = column < 0 ? T(0) : s.gamma[draw * s.gamma_stride + column];
        at.for_each([&](std::int64_t p, std::int64_t q, std::int64_t b, std::int64_t place) {
            const T from = du[static_cast<std::size_t>(place)];
            at.for_taps(p, q, b, [&](std::int64_t tap, std::int64_t source) {
                d[static_cast<std::size_t>(source)] += filter[tap * s.c + b] * from;
                sums[tap * s.c + b] += x[source] * from;
            });
            if (column < 0) return;
            const std::int64_t best = at.largest(x, p, q, b);
            d[static_cast<std::size_t>(best)] += gate * from;
            sums[9 * s.c + b / channels] += x[best] * from;
        });
    }
};

}  // namespace hwnas::cpu
