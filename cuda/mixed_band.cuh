// SPDX-License-Identifier: MIT
// Kernels of relaxed nodes in one pass each: forward a node reads all its sources and is written once, backward a
// vertex reads the gradients of all nodes it feeds and its own is written once. A block has bands of its image, some
// rows with one above and one below (contract/mixed_node.hpp); a thread stands over one column of one channel of them.
// What comes from memory comes to shared memory by asynchronous copies, the next tensor's band while the last one's is
// worked on: at 28 x 28, 14 x 14 and 7 x 7 with 448 elements a row, 16 KB a block and two blocks are on their way to a
// multiprocessor, where 4.8 TB/s with 700 ns ask for 25 KB; in registers, with three columns loaded for each that is
// used, 20 warps would have 8 KB under way. Edges come one after the other, so that registers do not depend on their
// number: forward a thread has the sums of its rows, backward the gradients of its rows and ten sums of the edge, which
// the block adds up edge by edge.
#pragma once

#include "band.cuh"
#include "copy.cuh"

namespace hwnas::cuda {

struct MixedNodeForwardKernel {
    static constexpr int rows = Band::rows_most, threads = Band::threads_most, resident = 2, registers = 72;
    contract::MixedNodeForward<float> s;
    Band band;
    int bands;

    std::size_t shared_bytes() const { return 2 * static_cast<std::size_t>(buffer()) * sizeof(float); }
    __device__ void operator()() const {
        const int first = static_cast<int>(blockIdx.x) * band.slots;
        const auto place = band.place(first, bands);
        const i64 draw = s.groups > 1 ? band.image_of(first) : 0;
        float* const shared = shared_memory<float>();
        const auto fetch = [&](int j) {
            float* const to = shared + j % 2 * buffer();
            band.fetch(to, s.x[j], place);
            BandFilter::fetch(to + band.size(), s, j, draw);
        };
        float sum[rows] = {};
        if (s.count > 0) fetch(0);
        for (int j = 0; j < s.count; ++j) {
            copies_arrive();
            __syncthreads();
            if (j + 1 < s.count) fetch(j + 1);
            if (!place.mine()) continue;
            const float* const from = shared + j % 2 * buffer();
            const BandFilter filter(from + band.size(), place.channel);
            u8* const taps = s.tap[j];
            if (taps)
                add<true>(sum, from, filter, taps + band.element(place), place);
            else if (filter.live || filter.gate != 0.0f)
                add<false>(sum, from, filter, nullptr, place);
        }
        if (!place.mine()) return;
        float* const u = s.u + band.element(place);
#pragma unroll
        for (int r = 0; r < rows; ++r)
            if (r < place.count) u[r * band.line] = s.accumulate ? u[r * band.line] + sum[r] : sum[r];
    }

private:
    __host__ __device__ int buffer() const { return band.size() + BandFilter::size * band.c; }
    /// One edge; with Taps the pool's taps are wanted.
    template <bool Taps>
    __device__ void add(float (&sum)[rows], const float* from, const BandFilter& filter, u8* taps,
                        const Band::Place& place) const {
        float window[3][3], most[3];
        CellLargest largest[3];
        BandRows lines(from, band, place);
#pragma unroll
        for (int i = 0; i < rows + 2; ++i) {
            if (i % 2 == 0) keep_order();
            const bool inside = lines.next(window[i % 3]);
            if constexpr (Taps)
                largest[i % 3] = lines.largest(window[i % 3], inside);
            else
                most[i % 3] = lines.most(window[i % 3], inside);
            if (i < 2) continue;
            const int r = i - 2;
            float value;
            if constexpr (Taps) {
                CellLargest best = largest[r % 3];
                best.tap += place.first + r == 0 ? 3 : 0;  // no row above
#pragma unroll
                for (int a = 1; a < 3; ++a) best.offer(largest[(r + a) % 3].value, largest[(r + a) % 3].tap + 3 * a);
                if (r < place.count) taps[r * band.line] = static_cast<u8>(best.tap);
                value = best.value;
            } else {
                value = larger(larger(most[0], most[1]), most[2]);
            }
            if (filter.live) {
                float more = 0;
#pragma unroll
                for (int k = 0; k < 9; ++k) more += filter.tap[k] * window[(r + k / 3) % 3][k % 3];
                sum[r] += more;
            }
            if (filter.gate != 0.0f) sum[r] += filter.gate * value;
        }
    }
};

struct MixedVertexBackwardKernel {
    static constexpr std::size_t shared_limit = most_shared_bytes_of_any;
    static constexpr int rows = Band::rows_most, threads = Band::threads_most, resident = 2, registers = 72;
    static constexpr int sums = 10;  // of an edge and channel: correlations and the product with the pool
    contract::MixedVertexBackward<float> s;
    Band band;
    Chunks chunks;
    int first, edges;    // of all edges those that `partial` has room for, `edges` in all
    bool unpools, dots;  // pools pass something back to x, and to gamma

    /// Shared memory, part by part: the vertex and what its pool gives, two buffers for a node's gradient and an edge's
    /// filter, all threads' sums of an edge, taps of the pool, the block's sums of all edges.
    std::size_t shared_bytes() const {
        return static_cast<std::size_t>(parts(threads_of()) + sums * s.count * band.c) * sizeof(float);
    }
    __device__ void operator()() const {
        const unsigned chunk = blockIdx.x;
        const int images = chunks.images(chunk), bands = images * strips, all = static_cast<int>(blockDim.x),
                  t = static_cast<int>(threadIdx.x);
        const i64 before = chunks.begin(chunk) * band.h * band.line, draw = s.groups > 1 ? chunk : 0;
        float *const vertex = shared_memory<float>(), *const buffers = vertex + (dots ? 2 : 1) * band.size(),
                     *const of_threads = buffers + 2 * buffer();
        u8* const chosen = reinterpret_cast<u8*>(of_threads + sums * all);
        float* const totals = vertex + parts(all);
        for (int i = t; i < s.count * sums * band.c; i += all) totals[i] = 0.0f;
        for (int band_first = 0; band_first < bands; band_first += band.slots) {
            const auto place = band.place(band_first, bands);
            const auto fetch = [&](int j) {
                float* const to = buffers + j % 2 * buffer();
                band.fetch(to, s.du[j] + before, place);
                BandFilter::fetch(to + band.size(), s, j, draw);
            };
            __syncthreads();  // nobody reads the bands before any more
            band.fetch(vertex, s.x + before, place);
            fetch(0);
            if (unpools)
                band.for_copies(place, [&](int to, i64 from) {
                    if (band.wide)
                        *reinterpret_cast<std::uint32_t*>(chosen + to) =
                            *reinterpret_cast<const std::uint32_t*>(s.tap + before + from);
                    else
                        chosen[to] = s.tap[before + from];
                });
            float d[rows] = {}, gated[rows + 2] = {};
            for (int j = 0; j < s.count; ++j) {
                copies_arrive();
                __syncthreads();
                if (j + 1 < s.count) fetch(j + 1);
                if (j == 0 && dots && place.mine()) pool(vertex, place);
                if (j > 0 && s.partial) add_up(totals + (j - 1) * sums * band.c, of_threads);
                float sum[sums] = {};
                if (place.inside()) edge(d, gated, sum, vertex, buffers + j % 2 * buffer(), place);
                if (!s.partial) continue;
                __syncthreads();  // the sums of the edge before have been added up
#pragma unroll
                for (int k = 0; k < sums; ++k) of_threads[k * all + t] = sum[k];
            }
            if (!unpools && !s.partial) {
                store_rows(d, before, place);
                continue;
            }
            __syncthreads();
            if (s.partial) add_up(totals + (s.count - 1) * sums * band.c, of_threads);
            if (unpools) {
                // What the pools pass back lies where a node's gradient lay.
                if (place.inside())
#pragma unroll
                    for (int i = 0; i < rows + 2; ++i)
                        if (i >= place.low && i < place.high) buffers[place.top + i * band.span + place.at] = gated[i];
                __syncthreads();
                if (place.mine()) unpool(d, buffers, chosen, place);
            }
            store_rows(d, before, place);
        }
        if (!s.partial) return;
        __syncthreads();
        store_totals(totals, chunk);
    }
    int strips;  // bands of an image

private:
    int threads_of() const { return band.threads(); }
    __host__ __device__ int buffer() const { return band.size() + BandFilter::size * band.c; }
    /// Elements before the totals.
    __host__ __device__ int parts(int all) const {
        return (dots ? 2 : 1) * band.size() + 2 * buffer() + sums * all + band.size() / 4;
    }
    __device__ void store_rows(const float (&d)[rows], i64 before, const Band::Place& place) const {
        if (!s.dx || !place.mine()) return;
        float* const dx = s.dx + before + band.element(place);
#pragma unroll
        for (int r = 0; r < rows; ++r)
            if (r < place.count) dx[r * band.line] = s.accumulate ? dx[r * band.line] + d[r] : d[r];
    }
    /// The pool of this thread's places, which lies behind the vertex and which nobody else reads.
    __device__ void pool(float* vertex, const Band::Place& place) const {
        BandRows lines(vertex, band, place);
        float most[3], row[3];
#pragma unroll
        for (int i = 0; i < rows + 2; ++i) {
            const bool inside = lines.next(row);
            most[i % 3] = lines.most(row, inside);
            if (i >= 2 && i - 2 < place.count)
                vertex[band.size() + place.top + (i - 1) * band.span + place.at] =
                    larger(larger(most[0], most[1]), most[2]);
        }
    }
    /// One edge: a window of its node's gradient over every place of this thread.
    __device__ void edge(float (&d)[rows], float (&gated)[rows + 2], float (&sum)[sums], const float* vertex,
                         const float* from, const Band::Place& place) const {
        const BandFilter filter(from + band.size(), place.channel);
        BandRows lines(from, band, place);
        const float* const x = vertex + place.top + band.span + place.at;
        const int pooled = band.size();  // behind the vertex
        float du[3][3];
#pragma unroll
        for (int i = 0; i < rows + 2; ++i) {
            if (i % 2 == 0) keep_order();
            lines.next(du[i % 3]);
            if (filter.gate != 0.0f) gated[i] += filter.gate * du[i % 3][1];
            if (i < 2) continue;
            const int r = i - 2;
            if (r >= place.count || !place.mine()) continue;
            const float value = x[r * band.span];
            // The filter turned round: what stands above was reached by the lowest tap.
            float more = 0;
#pragma unroll
            for (int k = 0; k < 9; ++k) {
                const float one = du[(r + k / 3) % 3][k % 3];
                more += filter.tap[8 - k] * one;
                sum[8 - k] += value * one;
            }
            if (filter.live) d[r] += more;
            if (dots) sum[9] += du[(r + 1) % 3][1] * x[r * band.span + pooled];
        }
    }
    /// d += what reaches a place through the pools that have chosen it.
    __device__ void unpool(float (&d)[rows], const float* gated, const u8* chosen, const Band::Place& place) const {
        int at = place.top + place.at;
#pragma unroll
        for (int i = 0; i < rows + 2; ++i, at += band.span) {
            if (i < place.low || i >= place.high) continue;
#pragma unroll
            for (int b = 0; b < 3; ++b) {
                if ((b == 0 && place.column == 0) || (b == 2 && place.column + 1 == band.w)) continue;
                const int tap = chosen[at + (b - 1) * band.c];
                const float from = gated[at + (b - 1) * band.c];
                // The row of windows i reaches the rows above it, at it and below it through its taps' rows.
#pragma unroll
                for (int a = 0; a < 3; ++a) {
                    const int r = i - 2 + a;
                    if (r >= 0 && r < rows && tap == 3 * a + 2 - b) d[r] += from;
                }
            }
        }
    }
    /// The sums of an edge, channel by channel over the columns of the block.
    __device__ void add_up(float* totals, const float* of_threads) const {
        const int all = static_cast<int>(blockDim.x), used = band.slots * band.span;
        for (int k = 0, i = static_cast<int>(threadIdx.x); i < sums * band.c; i += all) {
            while (i >= (k + 1) * band.c) ++k;
            float total = 0;
#pragma unroll 4
            for (int at = i - k * band.c; at < used; at += band.c) total += of_threads[k * all + at];
            totals[i] += total;
        }
    }
    __device__ void store_totals(const float* totals, unsigned chunk) const {
        const int c = band.c, block = 9 * c + 1;
        float* const out = s.partial + (i64{chunk} * edges + first) * block;
        for (int i = static_cast<int>(threadIdx.x); i < s.count * block; i += static_cast<int>(blockDim.x)) {
            const int j = i / block, k = i - j * block;
            float total = totals[j * sums * c + k];
            if (k == 9 * c)
                for (int channel = 1; channel < c; ++channel) total += totals[j * sums * c + k + channel];
            if (k == 9 * c && s.column[j] < 0) total = 0.0f;
            out[i] = s.resume ? out[i] + total : total;
        }
    }
};

inline void launch(const Stream& stream, const contract::MixedNodeForward<float>& s) {
    bool aligned = true;
    for (int j = 0; j < s.count; ++j) aligned = aligned && packs(4, s.c, s.x[j]);
    const i64 each = Band(s.h, s.w, s.c, 1, aligned).bands(), bands = s.n * each;
    // Several bands a block where rows are short, as long as every multiprocessor has two; of one image where images
    // have filters of their own.
    const Band band(s.h, s.w, s.c, s.groups > 1 ? 1 : bands / (2 * i64{stream.multiprocessors}), aligned);
    const MixedNodeForwardKernel kernel{s, band, static_cast<int>(bands)};
    start(stream, kernel, blocks_of(bands, band.slots), band.threads(), kernel.shared_bytes());
}
inline void launch(const Stream& stream, const contract::MixedVertexBackward<float>& s) {
    using Kernel = MixedVertexBackwardKernel;
    if (s.count == 0 && s.dx && !s.accumulate)  // nothing comes back from no nodes, which is said as well
        return launch(stream, contract::Fill<float>{s.dx, s.n * s.h * s.w * s.c, 0.0f});
    for (int first = 0; first < s.count; first += static_cast<int>(contract::band_edges)) {
        auto some = s;
        some.count = std::min(s.count - first, static_cast<int>(contract::band_edges));
        bool aligned = packs(4, s.c, s.x) && reinterpret_cast<std::uintptr_t>(s.tap) % 4 == 0, pools = false;
        for (int j = 0; j < some.count; ++j) {
            some.du[j] = s.du[first + j], some.edge[j] = s.edge[first + j], some.column[j] = s.column[first + j];
            aligned = aligned && packs(4, s.c, some.du[j]), pools = pools || some.column[j] >= 0;
        }
        some.accumulate = s.accumulate || first > 0;
        const Chunks chunks(s.n, s.chunks);
        const i64 each = Band(s.h, s.w, s.c, 1, aligned).bands();
        const Band band(s.h, s.w, s.c, chunks.most() * each, aligned);
        const Kernel kernel{
            some, band, chunks, first, s.count, pools && s.dx, pools && s.partial, static_cast<int>(each)};
        start(stream, kernel, s.chunks, band.threads(), kernel.shared_bytes());
    }
}

}  // namespace hwnas::cuda
