// SPDX-License-Identifier: MIT
// The kernel of derived nodes. A thread keeps a patch of the sum in registers, a few rows and columns of a pack of
// channels, and goes through the terms. Of one with a filter the rows that the patch sees come one by one, and each is
// added to the up to three rows of the patch it belongs to; padding counts as zeros. Of any other term the patch alone
// is read; where the pack's filter is zero, nothing, and where it is zero but for its centre, the patch alone.
#pragma once

#include "window.cuh"

namespace hwnas::cuda {

template <int V>
struct NodeSumKernel {
    static constexpr int threads = Strips::threads, resident = V == 1 ? 6 : 5,
                         registers = most_registers(threads, resident);
    static constexpr int rows = 4, columns = V == 1 ? 4 : 2, most = contract::max_edges + 1;
    using Patch = Pack<V>[rows][columns];
    float* y;
    const float *x[most], *f[most], *offset[contract::max_edges];
    Strips strips;
    Lines lines;
    int windows, terms, offsets;  // the first `windows` terms have a filter, the others a factor or null
    i32 reversed, rectify;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        const int channel = place.pack * V;
        const i64 at = lines.at(place.image, place.row, place.column) + channel;
        auto start = zeros<V>(), ones = zeros<V>();
#pragma unroll
        for (int v = 0; v < V; ++v) ones[v] = 1.0f;
        for (int j = 0; j < offsets; ++j) {
            const auto pack = load<V>(offset[j] + channel);
#pragma unroll
            for (int v = 0; v < V; ++v) start[v] += pack[v];
        }
        Patch sum;
#pragma unroll
        for (int r = 0; r < rows; ++r)
#pragma unroll
            for (int i = 0; i < columns; ++i) sum[r][i] = start;
        for (int j = 0; j < windows; ++j) convolve(sum, x[j] + at, f[j] + channel, place);
        for (int j = windows; j < terms; ++j) add(sum, x[j] + at, f[j] ? load<V>(f[j] + channel) : ones, place);
        RowWriter<columns, V> writer(lines, y + at, place.column);
#pragma unroll
        for (int r = 0; r < rows; ++r) {
            if (rectify)
#pragma unroll
                for (int i = 0; i < columns; ++i)
#pragma unroll
                    for (int v = 0; v < V; ++v)
                        if (sum[r][i][v] < 0.0f) sum[r][i][v] = 0.0f;  // keeps NaN
            writer.next(sum[r], place.row + r < place.end);
        }
    }

private:
    __device__ void add(Patch& sum, const float* from, const Pack<V>& factor, const Strips::Place& place) const {
        RowReader<columns, Pack<V>> reader(lines, from, place.row, place.column, 0, place.end);
#pragma unroll
        for (int r = 0; r < rows; ++r) {
            Pack<V> row[columns];
            reader.next(row);
#pragma unroll
            for (int i = 0; i < columns; ++i)
#pragma unroll
                for (int v = 0; v < V; ++v) sum[r][i][v] += row[i][v] * factor[v];
        }
    }
    __device__ void convolve(Patch& sum, const float* from, const float* filter, const Strips::Place& place) const {
        Pack<V> taps[9];
        bool centre = false, around = false;  // some tap there is not zero
#pragma unroll
        for (int k = 0; k < 9; ++k) {
            taps[k] = load<V>(filter + (reversed ? 8 - k : k) * lines.c);
#pragma unroll
            for (int v = 0; v < V; ++v) (k == 4 ? centre : around) |= !(taps[k][v] == 0.0f);
        }
        if (!around) {
            if (centre) add(sum, from, taps[4], place);
            return;
        }
        RowReader<columns + 2, Pack<V>> reader(lines, from - lines.down - lines.right, place.row - 1, place.column - 1,
                                               0, place.end + 1);
#pragma unroll
        for (int r = 0; r < rows + 2; ++r) {
            Pack<V> row[columns + 2];
            reader.next(row);
#pragma unroll
            for (int a = 0; a < 3; ++a) {
                if (r - a < 0 || r - a >= rows) continue;
#pragma unroll
                for (int b = 0; b < 3; ++b)
#pragma unroll
                    for (int i = 0; i < columns; ++i)
#pragma unroll
                        for (int v = 0; v < V; ++v) sum[r - a][i][v] += row[i + b][v] * taps[3 * a + b][v];
            }
        }
    }
};

inline void launch(const Stream& stream, const contract::NodeSum<float>& s) {
    bool fits = packs(2, s.c, s.y);
    for (int j = 0; j < s.count; ++j) fits = fits && packs(2, s.c, s.x[j], s.f[j], s.offset[j]);
    const auto go = [&]<int V>() {
        using Kernel = NodeSumKernel<V>;
        Kernel kernel{s.y,
                      {},
                      {},
                      {},
                      Strips(stream, s.n, s.h, s.w, s.c / V, Kernel::columns, 1, Kernel::rows),
                      Lines(s.h, s.w, s.c),
                      0,
                      0,
                      0,
                      s.reversed,
                      s.rectify};
        const auto append = [&](const float* x, const float* f) {
            kernel.x[kernel.terms] = x, kernel.f[kernel.terms++] = f;
        };
        for (int j = 0; j < s.count; ++j) {
            if (s.windows >> j & 1u) append(s.x[j], s.f[j]);
            if (s.offset[j]) kernel.offset[kernel.offsets++] = s.offset[j];
        }
        kernel.windows = kernel.terms;
        for (int j = 0; j < s.count; ++j)
            if (!(s.windows >> j & 1u)) append(s.x[j], s.f[j]);
        if (s.accumulate) append(s.y, nullptr);
        start_strips(stream, kernel);
    };
    fits ? go.template operator()<2>() : go.template operator()<1>();
}

}  // namespace hwnas::cuda
