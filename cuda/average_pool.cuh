// SPDX-License-Identifier: MIT
// Average pooling kernels. Kernel 3 and, where it halves, 2: a thread marches down a column, adds the neighbours
// in a row once and puts their sum into every window it is in; backwards a row of windows spreads over the rows that
// they saw. A window's divisor is (rows inside) x (columns inside). Other windows: plain loops over the taps inside.
#pragma once

#include "window.cuh"

namespace hwnas::cuda {

/// 1 / (taps inside along one axis), or 1 / kernel, of the window that begins at `start`; dilation 1.
__device__ inline float pool_share(int start, int extent, int kernel, bool count_padding) {
    const int first = start > 0 ? start : 0, last = start + kernel < extent ? start + kernel : extent;
    return 1.0f / static_cast<float>(count_padding ? kernel : last - first);
}

template <int K, int S, int V>
struct AveragePoolMarch {
    static constexpr int threads = Strips::threads, registers = 64, depth = (K - 1) / S + 1;
    float* y;
    const float* x;
    Strips strips;
    Lines from, to;
    int padding;
    i32 count_padding;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        // At place p arrive the last S rows that it sees.
        const int channel = place.pack * V, first = place.row - (depth - 1), row = first * S - padding + K - S,
                  column = place.column * S - padding;
        RowReader<K, Pack<V>> reader(from, x + from.at(place.image, row, column) + channel, row, column,
                                     place.row * S - padding, (place.end - 1) * S - padding + K);
        float* to_y = y + to.at(place.image, place.row, place.column) + channel;
        const float across = pool_share(column, from.w, K, count_padding);
        Pack<V> here[K], next[K], sum[depth] = {};  // sum[d] belongs to the place d steps below
        reader.next(here);
        for (int p = first; p < place.end; ++p) {
#pragma unroll
            for (int e = 0; e < S; ++e) {
                reader.next(next);
                Pack<V> line = here[0];
#pragma unroll
                for (int b = 1; b < K; ++b)
#pragma unroll
                    for (int v = 0; v < V; ++v) line[v] += here[b][v];
#pragma unroll
                for (int d = 0; d < depth; ++d) {
                    const int a = K - S + e - d * S;
                    if (a < 0) continue;
#pragma unroll
                    for (int v = 0; v < V; ++v) sum[d][v] += line[v];
                }
#pragma unroll
                for (int b = 0; b < K; ++b) here[b] = next[b];
            }
            if (p >= place.row) {
                const float share = across * pool_share(p * S - padding, from.h, K, count_padding);
#pragma unroll
                for (int v = 0; v < V; ++v) sum[0][v] *= share;
                store(to_y, sum[0]);
                to_y += to.down;
            }
#pragma unroll
            for (int d = 0; d < depth; ++d) sum[d] = d + 1 < depth ? sum[d + 1] : zeros<V>();
        }
    }
};

/// Places are groups of S rows and columns of dx, counted with the padding: row p of dy reaches rows S p + a, of which
/// it completes the first S.
template <int K, int S, int V>
struct AveragePoolSpread {
    static constexpr int threads = Strips::threads, registers = 88;
    static constexpr int reach = (K - 1) / S, width = 1 + reach, held = S * (1 + reach);
    float* dx;
    const float* dy;
    Strips strips;
    Lines from, to;
    int padding;
    i32 count_padding, accumulate;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        const int channel = place.pack * V, first = padding / S + place.row, end = padding / S + place.end,
                  left = padding / S + place.column, row = S * first - padding, column = S * left - padding;
        RowReader<width, Pack<V>> reader(from, dy + from.at(place.image, first - reach, left - reach) + channel,
                                         first - reach, left - reach, 0, end);
        float* const start = dx + to.at(place.image, row, column) + channel;
        RowReader<S, Pack<V>> before(to, start, row, column, 0, S * end - padding);
        RowWriter<S, V> writer(to, start, column);
        float across[width];
#pragma unroll
        for (int m = 0; m < width; ++m) {
            const int q = left - reach + m;
            across[m] = q >= 0 && q < from.w ? pool_share(S * q - padding, to.w, K, count_padding) : 0.0f;
        }

        Pack<V> d[width], next[width], sum[held][S] = {};
        reader.next(d);
        const auto begin_rows = [&] {
#pragma unroll
            for (int a = held - S; a < held; ++a) {
#pragma unroll
                for (int u = 0; u < S; ++u) sum[a][u] = zeros<V>();
                if (accumulate) before.next(sum[a]);
            }
        };
        begin_rows();
        for (int p = first - reach; p < end; ++p) {
            reader.next(next);
            const float down = p >= 0 && p < from.h ? pool_share(S * p - padding, to.h, K, count_padding) : 0.0f;
#pragma unroll
            for (int u = 0; u < S; ++u)
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    float line = 0;
#pragma unroll
                    for (int m = 0; m < width; ++m)
                        if (u + S * (reach - m) < K) line += d[m][v] * across[m];
#pragma unroll
                    for (int a = 0; a < K; ++a) sum[a][u][v] += line * down;
                }
            if (p >= first)
#pragma unroll
                for (int a = 0; a < S; ++a) {
                    const int i = S * p + a - padding;
                    writer.next(sum[a], i >= 0 && i < to.h);
                }
#pragma unroll
            for (int a = 0; a + S < held; ++a)
#pragma unroll
                for (int u = 0; u < S; ++u) sum[a][u] = sum[a + S][u];
            begin_rows();
#pragma unroll
            for (int m = 0; m < width; ++m) d[m] = next[m];
        }
    }
};

/// Any window.
template <int V>
struct AveragePoolGather {
    static constexpr int threads = Strips::threads, resident = 8, registers = 64;
    float* y;
    const float* x;
    Strips strips;
    Axis rows, columns;
    Lines from, to;
    i32 count_padding;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        const auto across = columns.taps(place.column);
        const int channel = place.pack * V;
        for (int p = place.row; p < place.end; ++p) {
            const auto down = rows.taps(p);
            auto sum = zeros<V>();
            for (int a = 0; a < down.count; ++a) {
                const float* at = x + from.at(place.image, down.source + a * rows.dilation, across.source) + channel;
                for (int b = 0; b < across.count; ++b, at += static_cast<i64>(rows.dilation) * from.c) {
                    const auto v = load<V>(at);
#pragma unroll
                    for (int i = 0; i < V; ++i) sum[i] += v[i];
                }
            }
            const int count = count_padding ? rows.kernel * rows.kernel : down.count * across.count;
            const float share = 1.0f / static_cast<float>(count);
#pragma unroll
            for (int i = 0; i < V; ++i) sum[i] *= share;
            store(y + to.at(place.image, p, place.column) + channel, sum);
        }
    }
};
template <int V>
struct AveragePoolGatherBackward {
    static constexpr int threads = Strips::threads, resident = 8, registers = 64;
    float* dx;
    const float* dy;
    Strips strips;
    Axis rows, columns, rows_of_window, columns_of_window;
    Lines from, to;
    i32 count_padding, accumulate;

    __device__ float share(const Axis& seen, int place) const {
        return 1.0f / static_cast<float>(count_padding ? seen.kernel : seen.taps(place).count);
    }
    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        const auto across = columns.taps(place.column);
        const int channel = place.pack * V;
        for (int i = place.row; i < place.end; ++i) {
            float* const out = dx + to.at(place.image, i, place.column) + channel;
            const auto down = rows.taps(i);
            auto sum = accumulate ? load<V>(out) : zeros<V>();
            for (int a = 0; a < down.count; ++a) {
                const int p = down.source + a * rows.source_step;
                const float by_row = share(rows_of_window, p);
                for (int b = 0; b < across.count; ++b) {
                    const int q = across.source + b * columns.source_step;
                    const float factor = by_row * share(columns_of_window, q);
                    const auto d = load<V>(dy + from.at(place.image, p, q) + channel);
#pragma unroll
                    for (int v = 0; v < V; ++v) sum[v] += d[v] * factor;
                }
            }
            store(out, sum);
        }
    }
};

/// f.operator()<K, S>() for the windows that have kernels of their own; false for others.
template <class F>
bool usual_average_pool(const contract::Window& s, F&& f) {
    if (s.dilation > 1) return false;
    if (s.kernel == 3 && s.stride == 1) return f.template operator()<3, 1>(), true;
    if (s.kernel == 3 && s.stride == 2) return f.template operator()<3, 2>(), true;
    if (s.kernel == 2 && s.stride == 2) return f.template operator()<2, 2>(), true;
    if (s.kernel == 1 && s.stride == 2) return f.template operator()<1, 2>(), true;
    return false;
}

inline void launch(const Stream& stream, const contract::AveragePoolForward<float>& call) {
    const auto& s = call.window;
    const Lines from(s.h, s.w, s.c), to(s.oh, s.ow, s.c);
    with_packs(packs(4, s.c, call.y, call.x), [&]<int V>() {
        const Strips strips(stream, s.n, s.oh, s.ow, s.c / V, 1);
        const auto march = [&]<int K, int S>() {
            if constexpr (K >= S)
                start_strips(
                    stream, AveragePoolMarch<K, S, V>{call.y, call.x, strips, from, to, s.padding, call.count_padding});
        };
        // A march would read rows that a kernel below the stride leaves out.
        if (s.kernel < s.stride || !usual_average_pool(s, march))
            start_strips(stream, AveragePoolGather<V>{call.y, call.x, strips, rows_seen(s), columns_seen(s), from, to,
                                                      call.count_padding});
    });
}
inline void launch(const Stream& stream, const contract::AveragePoolBackward<float>& call) {
    const auto& s = call.window;
    const Lines from(s.oh, s.ow, s.c), to(s.h, s.w, s.c);
    with_packs(packs(4, s.c, call.dx, call.dy), [&]<int V>() {
        if (usual_average_pool(s, [&]<int K, int S>() {
                const Strips strips(stream, s.n, groups_of(s.h, s.padding, S), groups_of(s.w, s.padding, S), s.c / V,
                                    1);
                start_strips(stream, AveragePoolSpread<K, S, V>{call.dx, call.dy, strips, from, to, s.padding,
                                                                call.count_padding, call.accumulate});
            }))
            return;
        const Strips strips(stream, s.n, s.h, s.w, s.c / V, 1);
        start_strips(stream, AveragePoolGatherBackward<V>{call.dx, call.dy, strips, rows_seeing(s), columns_seeing(s),
                                                          rows_seen(s), columns_seen(s), from, to, call.count_padding,
                                                          call.accumulate});
    });
}

}  // namespace hwnas::cuda
