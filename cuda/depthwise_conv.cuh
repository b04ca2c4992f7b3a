// SPDX-License-Identifier: MIT
// Depthwise convolution kernels. 3x3, 5x5 and 7x7 at strides 1 and 2: a thread has one channel or a pack of them, whose
// filters it keeps in registers, and marches down a few columns; a row that it reads goes at once into all sums it
// belongs to, and the next row is on its way meanwhile. A dilation at stride 1 is the same on interleaved images. The
// gradient of the data at stride 1 is the same kernel with the filter turned round; at stride 2 a row of dy spreads
// over the rows of dx. The gradient of the filter is in depthwise_weight.cuh, both at once in depthwise_backward.cuh.
// Padding counts as zeros. Other windows: plain loops over the taps inside.
#pragma once

#include "depthwise_backward.cuh"

namespace hwnas::cuda {

/// Whether there is a kernel of four channels a thread, and from how many elements of output on it is the faster one.
/// What a thread has under way is its next row, of S columns for each that it writes. At 3x3, stride 1, resident
/// threads times that is 8 x 128 x 16 bytes a multiprocessor with one channel a thread, 5 x 128 x 32 with two, and with
/// four 4 x 128 x 64 bytes, 32 KB; at 5x5 10 KB with one channel and 24 KB with four. 4.8 TB/s, of which half is read,
/// times 700 ns of latency ask for 13 KB: two channels have that at 3x3, one has not at 5x5. So many do not stay beside
/// a filter in registers, so it lies in shared memory, each thread's own, 16 bytes a read: of the 128 bytes a clock
/// that L1 gives, reads of rows and filter take 15 bytes an output at 3x3, 33 at 5x5 (0.5 outputs a multiprocessor's
/// clock and 4 of 128 bytes at the memory's peak), 58 at 7x7, where products are the limit anyway and 16 bytes would
/// gain nothing. A quarter of the threads has to fill the card all the same, each with eight rows at least: 8.7 million
/// elements on 132 multiprocessors at 3x3.
template <int K>
inline constexpr bool by_four_channels = K <= 5;

/// Sums over windows of size K: out at place p is in at p S - padding + a step, times tap a, forwards. With four
/// channels a thread the filters are in shared memory, which each thread has `K * K` packs of.
template <int K, int S, int V>
struct DepthwiseMarch {
    static constexpr int threads = Strips::threads, resident = V == 4             ? (S == 2   ? 4
                                                                                     : K == 3 ? 4
                                                                                              : 3)
                                                               : K == 7           ? (S == 1 ? 4 : 3)
                                                               : K == 5 || V == 2 ? 5
                                                                                  : 8;
    static constexpr int registers = most_registers(threads, resident);
    static constexpr int columns = S == 1 ? 4 : 2, width = S * (columns - 1) + K, depth = (K - 1) / S + 1;
    float* out;
    const float *in, *w;
    Strips strips;
    Lines from, to;
    int padding;
    i32 turned, accumulate;

    static constexpr std::size_t shared_bytes() { return V == 4 ? K * K * threads * sizeof(Pack<V>) : 0; }
    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        const int step = to.step, channel = place.pack * V;
        constexpr bool shared = V == 4;
        Pack<V> filter[shared ? 1 : K * K], *const taps = shared ? shared_memory<Pack<V>>() + threadIdx.x : nullptr;
#pragma unroll
        for (int k = 0; k < K * K; ++k) {
            const auto tap = load<V>(w + (turned ? K * K - 1 - k : k) * to.c + channel);
            (shared ? taps[k * threads] : filter[shared ? 0 : k]) = tap;  // a thread's own: no barrier
        }
        // At place p arrive the last S rows that it sees.
        const int first = place.row - (depth - 1) * step, row = first * S - padding + (K - S) * step,
                  column = place.column * S - padding;
        RowReader<width, Pack<V>> reader(from, in + from.at(place.image, row, column) + channel, row, column,
                                         place.row * S - padding, (place.end - 1) * S - padding + (K - 1) * step + 1);
        float* const start = out + to.at(place.image, place.row, place.column) + channel;
        RowReader<columns, Pack<V>> before(to, start, place.row, place.column, 0, place.end);
        RowWriter<columns, V> writer(to, start, place.column);

        Pack<V> x[width], next[width], sum[depth][columns] = {};  // sum[d] belongs to the place d steps below
        reader.next(x);
        if (S == 1 && accumulate) before.next(sum[depth - 1]);
#pragma unroll(S == 1 && !shared ? 2 : 1)
        for (int p = first; p < place.end; p += step) {
#pragma unroll
            for (int e = 0; e < S; ++e) {
                reader.next(next);
                if constexpr (shared) keep_order();
#pragma unroll
                for (int d = 0; d < depth; ++d) {
                    const int a = K - S + e - d * S;
                    if (a < 0) continue;
#pragma unroll
                    for (int b = 0; b < K; ++b) {
                        const Pack<V> tap = shared ? taps[(a * K + b) * threads] : filter[shared ? 0 : a * K + b];
#pragma unroll
                        for (int j = 0; j < columns; ++j)
#pragma unroll
                            for (int v = 0; v < V; ++v) sum[d][j][v] += x[S * j + b][v] * tap[v];
                    }
                }
#pragma unroll
                for (int j = 0; j < width; ++j) x[j] = next[j];
            }
            if (p >= place.row) writer.next(sum[0]);
#pragma unroll
            for (int j = 0; j < columns; ++j) {
#pragma unroll
                for (int d = 0; d + 1 < depth; ++d) sum[d][j] = sum[d + 1][j];
                sum[depth - 1][j] = zeros<V>();
            }
            if (S == 1 && accumulate) before.next(sum[depth - 1]);
        }
    }
};

/// The gradient of the data at stride 2. Places are pairs of rows and of columns of dx, counted with the padding: row p
/// of dy reaches rows 2 p + a, of which it completes the first two.
template <int K>
struct DepthwiseSpread {
    static constexpr int threads = Strips::threads, resident = K == 7 ? 4 : K == 5 ? 5 : 8;
    static constexpr int registers = most_registers(threads, resident);
    static constexpr int pairs = 2, reach = (K - 1) / 2, width = pairs + reach;
    float* dx;
    const float *dy, *w;
    Strips strips;
    Lines from, to;
    int padding;
    i32 accumulate;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        float filter[K * K];
#pragma unroll
        for (int k = 0; k < K * K; ++k) filter[k] = w[k * to.c + place.pack];
        const int first = padding / 2 + place.row, end = padding / 2 + place.end, left = padding / 2 + place.column;
        RowReader<width, Pack<1>> reader(from, dy + from.at(place.image, first - reach, left - reach) + place.pack,
                                         first - reach, left - reach, 0, end);
        const int row = 2 * first - padding, column = 2 * left - padding;
        float* const start = dx + to.at(place.image, row, column) + place.pack;
        RowReader<2 * pairs, Pack<1>> before(to, start, row, column, 0, 2 * end - padding);
        RowWriter<2 * pairs, 1> writer(to, start, column);

        Pack<1> x[width], next[width], sum[K + 1][2 * pairs] = {};
        reader.next(x);
        if (accumulate) before.next(sum[K - 1]), before.next(sum[K]);
#pragma unroll 2
        for (int p = first - reach; p < end; ++p) {
            reader.next(next);
#pragma unroll
            for (int a = 0; a < K; ++a)
#pragma unroll
                for (int u = 0; u < 2 * pairs; ++u)
#pragma unroll
                    for (int m = 0; m < width; ++m) {
                        const int b = u + 2 * (reach - m);
                        if (b >= 0 && b < K) sum[a][u][0] += x[m][0] * filter[a * K + b];
                    }
            if (p >= first)
#pragma unroll
                for (int a = 0; a < 2; ++a) {
                    const int i = 2 * p + a - padding;
                    writer.next(sum[a], i >= 0 && i < to.h);
                }
#pragma unroll
            for (int u = 0; u < 2 * pairs; ++u) {
#pragma unroll
                for (int a = 0; a + 2 <= K; ++a) sum[a][u] = sum[a + 2][u];
                sum[K - 1][u] = sum[K][u] = zeros<1>();
            }
            if (accumulate) before.next(sum[K - 1]), before.next(sum[K]);
#pragma unroll
            for (int m = 0; m < width; ++m) x[m] = next[m];
        }
    }
};

/// Either direction for any window.
struct DepthwiseGather {
    static constexpr int threads = Strips::threads, registers = 48;
    float* out;
    const float *in, *w;
    Strips strips;
    Axis rows, columns;
    int c;
    i32 accumulate;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        const auto across = columns.taps(place.column);
        const i64 x_step = static_cast<i64>(columns.source_step) * c, w_step = static_cast<i64>(columns.tap_step) * c;
        const float *const from = in + place.image * rows.from * columns.from * c + place.pack,
                           *const filter = w + static_cast<i64>(across.tap) * c + place.pack;
        float* to = out + ((place.image * strips.h() + place.row) * strips.w() + place.column) * c + place.pack;
        for (int row = place.row; row < place.end; ++row, to += static_cast<i64>(strips.w()) * c) {
            const auto down = rows.taps(row);
            float sum = 0;
            for (int a = 0; a < down.count; ++a) {
                const i64 source = down.source + a * rows.source_step;
                const float* x = from + (source * columns.from + across.source) * c;
                const float* f = filter + static_cast<i64>(down.tap + a * rows.tap_step) * rows.kernel * c;
                for (int b = 0; b < across.count; ++b, x += x_step, f += w_step) sum += *x * *f;
            }
            *to = accumulate ? *to + sum : sum;
        }
    }
};

/// f.operator()<K, S>() for the windows that have kernels of their own; false for others.
template <class F>
bool usual_filter(const contract::Window& s, F&& f) {
    if (s.stride > 2 || (s.stride == 2 && s.dilation > 1)) return false;
    const bool halves = s.stride == 2;
    switch (s.kernel) {
        case 3:
            halves ? f.template operator()<3, 2>() : f.template operator()<3, 1>();
            return true;
        case 5:
            halves ? f.template operator()<5, 2>() : f.template operator()<5, 1>();
            return true;
        case 7:
            halves ? f.template operator()<7, 2>() : f.template operator()<7, 1>();
            return true;
        default:
            return false;
    }
}
template <int K, int S>
void march(const Stream& stream, float* out, const float* in, const float* w, i64 n, const Lines& from, const Lines& to,
           int padding, i32 turned, i32 accumulate) {
    const auto run = [&]<int V>() {
        using Kernel = DepthwiseMarch<K, S, V>;
        const Strips strips(stream, n, to.h, to.w, to.c / V, Kernel::columns, to.step);
        const Kernel kernel{out, in, w, strips, from, to, padding, turned, accumulate};
        start(stream, kernel, strips.blocks(), strips.block(), Kernel::shared_bytes());
    };
    if constexpr (by_four_channels<K>) {
        using Kernel = DepthwiseMarch<K, S, 4>;
        const i64 least = i64{Kernel::resident} * Kernel::threads * stream.multiprocessors * 8 * 4 * Kernel::columns;
        if (packs(4, to.c, out, in, w) && n * to.h * to.w * to.c >= least) return run.template operator()<4>();
    }
    if (K == 3 && packs(2, to.c, out, in, w))
        run.template operator()<K == 3 ? 2 : 1>();
    else
        run.template operator()<1>();
}

inline void launch(const Stream& stream, const contract::DepthwiseConvForward<float>& call) {
    const auto& s = call.window;
    const Lines from(s.h, s.w, s.c, s.dilation), to(s.oh, s.ow, s.c, s.dilation);
    if (usual_filter(
            s, [&]<int K, int S>() { march<K, S>(stream, call.y, call.x, call.w, s.n, from, to, s.padding, 0, 0); }))
        return;
    start_strips(stream, DepthwiseGather{call.y, call.x, call.w, Strips(stream, s.n, s.oh, s.ow, s.c, 1), rows_seen(s),
                                         columns_seen(s), static_cast<int>(s.c), 0});
}
inline void launch(const Stream& stream, const contract::DepthwiseConvBackwardData<float>& call) {
    const auto& s = call.window;
    const Lines from(s.oh, s.ow, s.c, s.dilation), to(s.h, s.w, s.c, s.dilation);
    if (usual_filter(s, [&]<int K, int S>() {
            if constexpr (S == 1)
                march<K, 1>(stream, call.dx, call.dy, call.w, s.n, from, to, (K - 1) * s.dilation - s.padding, 1,
                            call.accumulate);
            else {
                const Strips strips(stream, s.n, groups_of(s.h, s.padding, 2), groups_of(s.w, s.padding, 2), s.c,
                                    DepthwiseSpread<K>::pairs);
                start_strips(
                    stream, DepthwiseSpread<K>{call.dx, call.dy, call.w, strips, from, to, s.padding, call.accumulate});
            }
        }))
        return;
    start_strips(stream, DepthwiseGather{call.dx, call.dy, call.w, Strips(stream, s.n, s.h, s.w, s.c, 1),
                                         rows_seeing(s), columns_seeing(s), static_cast<int>(s.c), call.accumulate});
}
/// Channels of a block that sums over chunks: few where many would leave multiprocessors idle, but sectors whole.
inline i64 most_channels(const Stream& stream, i64 c, i64 chunks) {
    i64 most = 32;
    while (most > 8 && chunks * blocks_of(c, most) < stream.multiprocessors) most /= 2;
    return most;
}
inline void launch(const Stream& stream, const contract::DepthwiseConvBackwardWeight<float>& call) {
    const auto& s = call.window;
    const Lines from(s.h, s.w, s.c, s.dilation), to(s.oh, s.ow, s.c, s.dilation);
    const i64 images = blocks_of(s.n, call.chunks), most = most_channels(stream, s.c, call.chunks);
    if (usual_filter(s, [&]<int K, int S>() {
            using Kernel = DepthwiseWeight<K, S>;
            const i64 step = s.dilation, lines = blocks_of(s.oh, step),
                      groups = step * blocks_of(blocks_of(s.ow, step), Kernel::columns),
                      slices = Kernel::threads / std::min(s.c, most),
                      wanted = std::min(blocks_of(lines, 4), blocks_of(slices, images * groups * step)),
                      rows = blocks_of(lines, wanted), strips = step * blocks_of(lines, rows);
            const ChunkBlock block(s.c, most, Kernel::threads, images * groups * strips);
            start(stream,
                  Kernel{call.partial, call.x, call.dy, block, Divisor(groups), Divisor(strips), Divisor(step),
                         static_cast<int>(rows), s.n, call.chunks, from, to, s.padding, call.resume},
                  call.chunks * block.groups.value(), block.threads(),
                  static_cast<std::size_t>(K * K * block.threads()) * sizeof(float));
        }))
        return;
    const ChunkBlock block(s.c, most, DepthwiseWeightTap::threads, images * s.oh);
    const i64 taps = i64{s.kernel} * s.kernel;
    start(stream,
          DepthwiseWeightTap{call.partial, call.x, call.dy, block, Divisor(taps), Divisor(s.oh), rows_seen(s),
                             columns_seen(s), s.n, call.chunks, to, call.resume},
          call.chunks * taps * block.groups.value(), block.threads(),
          static_cast<std::size_t>(block.threads()) * sizeof(float));
}

/// In one pass at stride 1, where it saves a quarter of the bytes; else one kernel after the other.
inline void launch(const Stream& stream, const contract::DepthwiseConvBackward<float>& call) {
    if (call.window.stride == 1 && usual_filter(call.window, [&]<int K, int S>() {
            if constexpr (S == 1)
                start_depthwise_backward<K>(stream, call, most_channels(stream, call.window.c, call.chunks));
        }))
        return;
    launch(stream, contract::DepthwiseConvBackwardData<float>{call.dx, call.dy, call.w, call.window, call.accumulate});
    launch(stream, contract::DepthwiseConvBackwardWeight<float>{call.partial, call.x, call.dy, call.window, call.chunks,
                                                                call.resume});
}

}  // namespace hwnas::cuda
