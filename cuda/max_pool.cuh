// SPDX-License-Identifier: MIT
// Max pooling kernels. Kernels 3 and 2 at strides up to 2: a thread marches down a column with the winners of the last
// rows in registers, so that a row of three neighbours is decided once for the three windows it is in; backwards a row
// of windows spreads over the rows that they may have chosen from. Other windows: plain loops over the taps inside.
#pragma once

#include "window.cuh"

#include <cmath>

namespace hwnas::cuda {

/// The largest so far of V channels and its tap. It starts with minus infinity at the first tap inside: what is
/// outside, minus infinity too, then never wins.
template <int V>
struct Largest {
    Pack<V> value;
    int tap[V];
    __device__ void start(const Pack<V>& first, int first_tap) {
        value = first;
#pragma unroll
        for (int v = 0; v < V; ++v) tap[v] = first_tap;
    }
    /// Takes what is larger, or the first NaN: not (x <= value) is true for both.
    __device__ void offer(int v, float x, int x_tap) {
        const bool take = !(x <= value[v]) && value[v] == value[v];
        value[v] = take ? x : value[v];
        tap[v] = take ? x_tap : tap[v];
    }
    __device__ void offer(const Pack<V>& x, int x_tap) {
#pragma unroll
        for (int v = 0; v < V; ++v) offer(v, x[v], x_tap);
    }
    /// taps may be null.
    __device__ void write(float* y, u8* taps, i64 at) const {
        store(y + at, value);
        if (!taps) return;
        Bytes<V> bytes{};
#pragma unroll
        for (int v = 0; v < V; ++v) bytes.set(v, tap[v]);
        *reinterpret_cast<Bytes<V>*>(taps + at) = bytes;
    }
};

template <int K, int S, int V>
struct MaxPoolMarch {
    static constexpr int threads = Strips::threads, registers = 72, depth = (K - 1) / S + 1;
    float* y;
    u8* tap;
    const float* x;
    Strips strips;
    Lines from, to;
    int padding;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        // At place p arrive the last S rows that it sees.
        const int channel = place.pack * V, first = place.row - (depth - 1), row = first * S - padding + K - S,
                  column = place.column * S - padding, left = column < 0 ? -column : 0;
        RowReader<K, Pack<V>> reader(from, x + from.at(place.image, row, column) + channel, row, column,
                                     place.row * S - padding, (place.end - 1) * S - padding + K);
        i64 at = to.at(place.image, place.row, place.column) + channel;
        Pack<V> here[K], next[K], nothing;
#pragma unroll
        for (int v = 0; v < V; ++v) nothing[v] = -HUGE_VALF;
        Largest<V> rows[K];
#pragma unroll
        for (int r = 0; r < K; ++r) rows[r].start(nothing, left);
        reader.next(here, nothing);
        for (int p = first; p < place.end; ++p) {
#pragma unroll
            for (int r = 0; r + S < K; ++r) rows[r] = rows[r + S];
#pragma unroll
            for (int e = K - S; e < K; ++e) {
                reader.next(next, nothing);
                rows[e].start(here[0], left);
#pragma unroll
                for (int b = 1; b < K; ++b) rows[e].offer(here[b], b);
#pragma unroll
                for (int b = 0; b < K; ++b) here[b] = next[b];
            }
            if (p < place.row) continue;
            const int top = p * S - padding, above = top < 0 ? -top : 0;
            Largest<V> best = rows[0];
#pragma unroll
            for (int v = 0; v < V; ++v) {
                best.tap[v] += K * above;
#pragma unroll
                for (int r = 1; r < K; ++r) best.offer(v, rows[r].value[v], rows[r].tap[v] + K * r);
            }
            best.write(y, tap, at);
            at += to.down;
        }
    }
};

/// Places are groups of S rows and columns of dx, counted with the padding: row p of the windows reaches rows S p + a,
/// of which it completes the first S.
template <int K, int S, int V>
struct MaxPoolSpread {
    static constexpr int threads = Strips::threads, registers = 88;
    static constexpr int reach = (K - 1) / S, width = 1 + reach, held = S * (1 + reach);
    float* dx;
    const float* dy;
    const u8* tap;
    Strips strips;
    Lines from, to;
    int padding;
    i32 accumulate;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        const int channel = place.pack * V, first = padding / S + place.row, end = padding / S + place.end,
                  left = padding / S + place.column, row = S * first - padding, column = S * left - padding;
        const i64 begin = from.at(place.image, first - reach, left - reach) + channel;
        RowReader<width, Pack<V>> reader(from, dy + begin, first - reach, left - reach, 0, end);
        RowReader<width, Bytes<V>, u8> taps(from, tap + begin, first - reach, left - reach, 0, end);
        float* const start = dx + to.at(place.image, row, column) + channel;
        RowReader<S, Pack<V>> before(to, start, row, column, 0, S * end - padding);
        RowWriter<S, V> writer(to, start, column);

        Pack<V> d[width], next[width], sum[held][S] = {};
        Bytes<V> chosen[width], next_chosen[width];
        reader.next(d), taps.next(chosen);
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
            reader.next(next), taps.next(next_chosen);
#pragma unroll
            for (int m = 0; m < width; ++m)
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    const int k = chosen[m][v];
#pragma unroll
                    for (int a = 0; a < K; ++a)
#pragma unroll
                        for (int u = 0; u < S; ++u) {
                            const int b = u + S * (reach - m);
                            if (b < K && k == a * K + b) sum[a][u][v] += d[m][v];
                        }
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
            for (int m = 0; m < width; ++m) d[m] = next[m], chosen[m] = next_chosen[m];
        }
    }
};

/// Any window.
template <int V>
struct MaxPoolGather {
    static constexpr int threads = Strips::threads, resident = 8, registers = 64;
    float* y;
    u8* tap;
    const float* x;
    Strips strips;
    Axis rows, columns;
    Lines from, to;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        const auto across = columns.taps(place.column);
        const int channel = place.pack * V, dilation = rows.dilation;
        for (int p = place.row; p < place.end; ++p) {
            const auto down = rows.taps(p);
            Pack<V> nothing;
#pragma unroll
            for (int v = 0; v < V; ++v) nothing[v] = -HUGE_VALF;
            Largest<V> best;
            best.start(nothing, down.tap * rows.kernel + across.tap);
            for (int a = 0; a < down.count; ++a) {
                const float* at = x + from.at(place.image, down.source + a * dilation, across.source) + channel;
                for (int b = 0; b < across.count; ++b, at += static_cast<i64>(dilation) * from.c)
                    best.offer(load<V>(at), (down.tap + a) * rows.kernel + across.tap + b);
            }
            best.write(y, tap, to.at(place.image, p, place.column) + channel);
        }
    }
};
template <int V>
struct MaxPoolGatherBackward {
    static constexpr int threads = Strips::threads, resident = 5, registers = 96;
    float* dx;
    const float* dy;
    const u8* tap;
    Strips strips;
    Axis rows, columns;
    Lines from, to;
    i32 accumulate;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        const auto across = columns.taps(place.column);
        const int channel = place.pack * V;
        for (int i = place.row; i < place.end; ++i) {
            float* const out = dx + to.at(place.image, i, place.column) + channel;
            const auto down = rows.taps(i);
            Pack<V> sum = accumulate ? load<V>(out) : zeros<V>();
            for (int a = 0; a < down.count; ++a)
                for (int b = 0; b < across.count; ++b) {
                    const i64 at = from.at(place.image, down.source + a * rows.source_step,
                                           across.source + b * columns.source_step) +
                                   channel;
                    const int k = (down.tap + a * rows.tap_step) * rows.kernel + across.tap + b * columns.tap_step;
                    const auto d = load<V>(dy + at);
                    const auto chosen = *reinterpret_cast<const Bytes<V>*>(tap + at);
#pragma unroll
                    for (int v = 0; v < V; ++v)
                        if (chosen[v] == k) sum[v] += d[v];
                }
            store(out, sum);
        }
    }
};

/// f.operator()<K, S>() for the windows that have kernels of their own; false for others.
template <class F>
bool usual_max_pool(const contract::Window& s, F&& f) {
    if (s.dilation > 1) return false;
    if (s.kernel == 3 && s.stride == 1) return f.template operator()<3, 1>(), true;
    if (s.kernel == 3 && s.stride == 2) return f.template operator()<3, 2>(), true;
    if (s.kernel == 2 && s.stride == 2) return f.template operator()<2, 2>(), true;
    return false;
}
inline void launch(const Stream& stream, const contract::MaxPoolForward<float>& call) {
    const auto& s = call.window;
    const Lines from(s.h, s.w, s.c), to(s.oh, s.ow, s.c);
    const bool aligned = packs(4, s.c, call.y, call.x) && reinterpret_cast<std::uintptr_t>(call.tap) % 4 == 0;
    with_packs(aligned, [&]<int V>() {
        const Strips strips(stream, s.n, s.oh, s.ow, s.c / V, 1);
        if (!usual_max_pool(s, [&]<int K, int S>() {
                start_strips(stream, MaxPoolMarch<K, S, V>{call.y, call.tap, call.x, strips, from, to, s.padding});
            }))
            start_strips(stream,
                         MaxPoolGather<V>{call.y, call.tap, call.x, strips, rows_seen(s), columns_seen(s), from, to});
    });
}
inline void launch(const Stream& stream, const contract::MaxPoolBackward<float>& call) {
    const auto& s = call.window;
    const Lines from(s.oh, s.ow, s.c), to(s.h, s.w, s.c);
    const bool aligned = packs(4, s.c, call.dx, call.dy) && reinterpret_cast<std::uintptr_t>(call.tap) % 4 == 0;
    with_packs(aligned, [&]<int V>() {
        if (usual_max_pool(s, [&]<int K, int S>() {
                const Strips strips(stream, s.n, groups_of(s.h, s.padding, S), groups_of(s.w, s.padding, S), s.c / V,
                                    1);
                start_strips(stream, MaxPoolSpread<K, S, V>{call.dx, call.dy, call.tap, strips, from, to, s.padding,
                                                            call.accumulate});
            }))
            return;
        const Strips strips(stream, s.n, s.h, s.w, s.c / V, 1);
        start_strips(stream, MaxPoolGatherBackward<V>{call.dx, call.dy, call.tap, strips, rows_seeing(s),
                                                      columns_seeing(s), from, to, call.accumulate});
    });
}

}  // namespace hwnas::cuda
