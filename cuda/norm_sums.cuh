// SPDX-License-Identifier: MIT
// The sums of batch normalisation. A block sums a chunk, or up to 32 packs of channels of it, in fp32 about the mean of
// the chunk's first rows, so that nothing cancels; one more kernel merges the chunks in double, lanes of chunks side by
// side.
#pragma once

#include "rows.cuh"

#include <cmath>

namespace hwnas::cuda {

/// The part of a block in a sum over chunks: Rows over those of a chunk.
struct NormChunks {
    static constexpr int threads = 512, most_columns = 32;
    Chunks chunks;
    i64 pixels;
    Rows rows;
    NormChunks(i64 n, i64 pixels_a_image, i64 count, i64 row)
        : chunks(n, count), pixels(pixels_a_image), rows(row, most_columns, threads, chunks.most() * pixels) {}
    i64 blocks() const { return i64{rows.groups} * chunks.count; }
    template <int V>
    std::size_t scratch(std::size_t sums) const {
        return sums * static_cast<std::size_t>(rows.threads()) * sizeof(Pack<V>);
    }
    __device__ i64 begin() const { return chunks.begin(rows.item()) * pixels; }
    __device__ i64 end() const { return chunks.begin(rows.item() + 1) * pixels; }
};

template <int V>
struct BatchNormStatisticsKernel {
    static constexpr int threads = NormChunks::threads, registers = 48, unroll = 4, origin_rows = 8;
    float* partial;
    const float* x;
    NormChunks part;
    i32 resume;
    __device__ void operator()() const {
        const Rows& rows = part.rows;
        const i64 begin = part.begin(), end = part.end(), c = i64{rows.packs} * V;
        const Walk walk = rows.walk(begin, end);
        Pack<V>* const scratch = shared_memory<Pack<V>>();
        float* const out = partial + i64{rows.item()} * 3 * c + walk.column * V;
        const float* from = x + walk.first * c + walk.column * V;
        const i64 step = rows.lanes * c;
        const bool wanted = walk.column < rows.packs;

        // The origin is a mean of rows from all over, since a corner of the first image may be unlike the rest.
        const int count = static_cast<int>(std::min<i64>(std::min<i64>(origin_rows, rows.lanes), end - begin));
        if (walk.lane < count)
            scratch[threadIdx.x] =
                load_if<V>(wanted, x + (begin + walk.lane * ((end - begin) / count)) * c + walk.column * V);
        __syncthreads();
        auto origin = zeros<V>();
        if (resume) {
            origin = load_if<V>(wanted, out);
        } else {
            for (int lane = 0; lane < count; ++lane)
#pragma unroll
                for (int k = 0; k < V; ++k) origin[k] += scratch[lane * rows.columns + walk.local].v[k];
#pragma unroll
            for (int k = 0; k < V; ++k) origin[k] *= 1.0f / static_cast<float>(count);
        }
        Pack<V> sum[2] = {zeros<V>(), zeros<V>()};
        for (int left = walk.left; left > 0; left -= unroll, from += unroll * step) {
            Pack<V> v[unroll];
#pragma unroll
            for (int u = 0; u < unroll; ++u) v[u] = u < left ? load<V>(from + u * step) : origin;
#pragma unroll
            for (int u = 0; u < unroll; ++u)
#pragma unroll
                for (int k = 0; k < V; ++k) {
                    const float d = u < left ? v[u][k] - origin[k] : 0.0f;
                    sum[0][k] += d;
                    sum[1][k] += d * d;
                }
        }
        __syncthreads();  // the origin has been read
        sum_lanes(sum, scratch, rows, walk);
        if (walk.lane != 0 || !wanted) return;
        if (!resume) store(out, origin);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const auto old = load_if<V>(resume, out + (i + 1) * c);
#pragma unroll
            for (int k = 0; k < V; ++k) sum[i][k] += old[k];
            store(out + (i + 1) * c, sum[i]);
        }
    }
};

template <int V>
struct BatchNormGradientSumsKernel {
    static constexpr int threads = NormChunks::threads, registers = 64, unroll = 2;
    float* partial;
    const float *dy, *x, *mean, *inv_std, *skip;
    NormChunks part;
    i32 resume;
    __device__ void operator()() const {
        const Rows& rows = part.rows;
        const i64 c = i64{rows.packs} * V;
        const Walk walk = rows.walk(part.begin(), part.end());
        const bool wanted = walk.column < rows.packs;
        const auto m = load_if<V>(wanted, mean + walk.column * V);
        const i64 step = rows.lanes * c;
        i64 at = walk.first * c + walk.column * V;
        Pack<V> sum[3] = {zeros<V>(), zeros<V>(), zeros<V>()};
        for (int left = walk.left; left > 0; left -= unroll, at += unroll * step) {
            Pack<V> d[unroll], v[unroll], other[unroll];
#pragma unroll
            for (int u = 0; u < unroll; ++u) {
                d[u] = load_if<V>(u < left, dy + at + u * step);
                v[u] = u < left ? load<V>(x + at + u * step) : m;
                other[u] = load_if<V>(skip && u < left, skip + at + u * step);
            }
#pragma unroll
            for (int u = 0; u < unroll; ++u)
#pragma unroll
                for (int k = 0; k < V; ++k) {
                    sum[0][k] += d[u][k];
                    sum[1][k] += u < left ? d[u][k] * (v[u][k] - m[k]) : 0.0f;
                    if (skip) sum[2][k] += d[u][k] * other[u][k];
                }
        }
        sum_lanes(sum, shared_memory<Pack<V>>(), rows, walk);
        if (walk.lane != 0 || !wanted) return;
        const auto inverse = load<V>(inv_std + walk.column * V);
        float* const out = partial + i64{rows.item()} * 3 * c + walk.column * V;
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            const auto old = load_if<V>(resume, out + i * c);
#pragma unroll
            for (int k = 0; k < V; ++k) sum[i][k] = old[k] + (i == 1 ? sum[i][k] * inverse[k] : sum[i][k]);
            store(out + i * c, sum[i]);
        }
    }
};

/// Threads that merge chunks: `width` channels by `lanes` chunks at a time.
struct NormMerge {
    static constexpr int threads = 512;
    int width, lanes;
    explicit NormMerge(int channels) : width(channels), lanes(threads / channels) {}
    __device__ int channel() const { return static_cast<int>(threadIdx.x) % width; }
    __device__ int lane() const { return static_cast<int>(threadIdx.x) / width; }
    std::size_t scratch(std::size_t sums) const {
        return sums * (threads + static_cast<std::size_t>(width)) * sizeof(double);
    }
    /// The K sums over all lanes of a channel, in all of them. All threads call it; scratch must be free.
    template <int K>
    __device__ void sum(double (&value)[K], double* scratch) const {
        double* const totals = scratch + K * threads;
#pragma unroll
        for (int k = 0; k < K; ++k) scratch[k * threads + static_cast<int>(threadIdx.x)] = value[k];
        __syncthreads();
        if (lane() < K) {
            double total = 0;
            for (int i = 0; i < lanes; ++i) total += scratch[lane() * threads + i * width + channel()];
            totals[lane() * width + channel()] = total;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < K; ++k) value[k] = totals[k * width + channel()];
    }
};

struct BatchNormMergeKernel {
    static constexpr int threads = NormMerge::threads, registers = 48;
    contract::BatchNormMerge<float> s;
    Chunks chunks;
    NormMerge merge;
    __device__ void operator()() const {
        const i64 j = i64{blockIdx.x} * merge.width + merge.channel();
        const bool wanted = j < s.c;
        // About the origin of the first chunk, so that the sum over chunks does not cancel either.
        const double base = wanted ? static_cast<double>(s.partial[j]) : 0.0;
        double sum[2] = {};
        for (unsigned chunk = static_cast<unsigned>(merge.lane()); chunk < chunks.count && wanted;
             chunk += static_cast<unsigned>(merge.lanes)) {
            const float* const p = s.partial + i64{chunk} * 3 * s.c + j;
            const double size = static_cast<double>(chunks.images(chunk) * s.pixels),
                         shift = static_cast<double>(p[0]) - base, total = static_cast<double>(p[s.c]),
                         squares = static_cast<double>(p[2 * s.c]);
            sum[0] += size * shift + total;
            sum[1] += squares + shift * (2 * total + size * shift);
        }
        merge.sum(sum, shared_memory<double>());
        if (merge.lane() != 0 || !wanted) return;
        const double rows = static_cast<double>(s.n * s.pixels), mean = base + sum[0] / rows;
        double deviation = sum[1] - sum[0] * (sum[0] / rows);
        if (deviation < 0) deviation = 0;  // keeps NaN
        const double inv_std = 1.0 / std::sqrt(deviation / rows + static_cast<double>(s.epsilon));
        const double gain = inv_std * (s.scale ? static_cast<double>(s.scale[j]) : 1.0);
        const float rounded = static_cast<float>(mean);
        s.mean[j] = rounded;
        s.inv_std[j] = static_cast<float>(inv_std);
        s.gain[j] = static_cast<float>(gain);
        s.offset[j] = static_cast<float>((s.shift ? static_cast<double>(s.shift[j]) : 0.0) -
                                         (mean - static_cast<double>(rounded)) * gain);
        const auto follow = [&](float* running, double value) {
            if (!running) return;
            const double old = static_cast<double>(running[j]);
            running[j] = static_cast<float>(old + static_cast<double>(*s.momentum) * (value - old));
        };
        follow(s.running_mean, mean);
        follow(s.running_var, deviation / (rows - 1));
    }
};

/// Where the gradient of a gate is wanted, one block goes over all channels.
struct BatchNormGradientMergeKernel {
    static constexpr int threads = NormMerge::threads, registers = 48;
    contract::BatchNormGradientMerge<float> s;
    NormMerge merge;
    __device__ void operator()() const {
        const double gate = s.gate ? static_cast<double>(s.gate[0]) : 1.0, rows = static_cast<double>(s.n * s.pixels);
        double dgate[2] = {};
        for (i64 first = i64{blockIdx.x} * merge.width; first < s.c; first += i64{gridDim.x} * merge.width) {
            const i64 j = first + merge.channel();
            double sum[3] = {};
            for (i64 chunk = merge.lane(); chunk < s.chunks && j < s.c; chunk += merge.lanes)
#pragma unroll
                for (int k = 0; k < 3; ++k) sum[k] += static_cast<double>(s.partial[(chunk * 3 + k) * s.c + j]);
            merge.sum(sum, shared_memory<double>());
            if (merge.lane() != 0 || j >= s.c) continue;
#pragma unroll
            for (int k = 0; k < 2; ++k) s.means[k * s.c + j] = static_cast<float>(gate * sum[k] / rows);
            if (s.dshift) s.dshift[j] += static_cast<float>(gate * sum[0]);
            if (s.dscale) s.dscale[j] += static_cast<float>(gate * sum[1]);
            dgate[0] += (s.scale ? static_cast<double>(s.scale[j]) : 1.0) * sum[1] +
                        (s.shift ? static_cast<double>(s.shift[j]) : 0.0) * sum[0];
            dgate[1] += sum[2];
        }
        if (!s.dgate || threadIdx.x >= 32) return;  // lane 0 of the chunks is the first warp here
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            const double total = warp_sum(dgate[k]);
            if (threadIdx.x == 0 && (k == 0 || s.with_skip)) s.dgate[k] += static_cast<float>(total);
        }
    }
};

template <int V>
void launch_packs(const Stream& stream, const contract::BatchNormStatistics<float>& s) {
    const NormChunks part(s.n, s.pixels, s.chunks, s.c / V);
    start(stream, BatchNormStatisticsKernel<V>{s.partial, s.x, part, s.resume}, part.blocks(), part.rows.threads(),
          part.scratch<V>(2));
}
template <int V>
void launch_packs(const Stream& stream, const contract::BatchNormGradientSums<float>& s) {
    const NormChunks part(s.n, s.pixels, s.chunks, s.c / V);
    start(stream, BatchNormGradientSumsKernel<V>{s.partial, s.dy, s.x, s.mean, s.inv_std, s.skip, part, s.resume},
          part.blocks(), part.rows.threads(), part.scratch<V>(3));
}
inline void launch(const Stream& stream, const contract::BatchNormMerge<float>& s) {
    const NormMerge merge(8);  // channels: few, that a block has few chunks in turn, but whole sectors
    start(stream, BatchNormMergeKernel{s, Chunks(s.n, s.chunks), merge}, blocks_of(s.c, merge.width),
          NormMerge::threads, merge.scratch(2));
}
inline void launch(const Stream& stream, const contract::BatchNormGradientMerge<float>& s) {
    const NormMerge merge(s.dgate ? 32 : 8);
    start(stream, BatchNormGradientMergeKernel{s, merge}, s.dgate ? 1 : blocks_of(s.c, merge.width), NormMerge::threads,
          merge.scratch(3));
}

}  // namespace hwnas::cuda
