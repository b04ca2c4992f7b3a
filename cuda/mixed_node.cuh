// SPDX-License-Identifier: MIT
// Kernels of relaxed nodes of bare primitives, source by source, up to four edges in one pass. A thread stands over one
// column of one channel and marches down the rows, two at a time: neighbours in a warp are neighbours in memory.
// Filters come from shared memory, which leaves the registers to loads in flight and to sums. Forward the window of x
// feeds all nodes. Backward a row of du, as soon as it is there, is added to the three rows of dx that see it and to
// the correlations with the three rows of x; a block stays with one chunk, and adds up its columns at the end.
#pragma once

#include "mixed_filters.cuh"

namespace hwnas::cuda {

inline constexpr int edges_together = 4;  ///< that the registers have room for

/// The three columns around element `at` of a row, 0 beyond the border.
struct Neighbours {
    bool left, right;
    unsigned c;
    __device__ void load(float (&v)[3], const float* plane, unsigned at, bool inside) const {
        v[0] = inside && left ? plane[at - c] : 0.0f;
        v[1] = inside ? plane[at] : 0.0f;
        v[2] = inside && right ? plane[at + c] : 0.0f;
    }
};

/// Filters of J edges in shared memory, those of one channel side by side, so that a thread reads them 16 bytes at a
/// time at constant offsets; the stride keeps the lanes of a warp on banks of their own.
template <int J>
struct Taps {
    static constexpr int packs = (9 * J + 3) / 4, stride = 4 * packs;
    static_assert(packs % 2 == 1);
    /// f(j, k, tap k of edge j), one after the other.
    template <class F>
    __device__ static void for_each(const float* channel, const F& f) {
#if defined(__CUDA_ARCH__)
        asm volatile("" ::: "memory");  // else the compiler keeps all of them in registers, which it has not got
#endif
#pragma unroll
        for (int p = 0; p < packs; ++p) {
            const auto pack = load<4>(channel + 4 * p);
#pragma unroll
            for (int i = 4 * p; i < 4 * p + 4 && i < 9 * J; ++i) f(i / 9, i % 9, pack[i - 4 * p]);
        }
    }
};

template <int J>
struct MixedSourceForwardKernel {
    // Far fewer threads are launched: 768 bounds the registers so that 24 warps have room.
    static constexpr int threads = 768, registers = 80, launched = 256;
    float* u[J];
    const float *x, *pooled, *filters, *gamma;
    i64 filter_stride, gamma_stride;       // from image to image
    unsigned h, line, c;                   // line: elements of a row of pixels
    unsigned units, strips, rows;          // a unit is a strip of an image: `rows` rows
    unsigned units_a_block, width, tiles;  // threads a unit has in a block, blocks side by side over a line
    int edge[J], column[J];
    std::uint32_t accumulate;
    std::size_t shared_bytes() const { return std::min(c, width) * Taps<J>::stride * sizeof(float); }
    __device__ void operator()() const {
        const unsigned block = blockIdx.x / tiles, tile = blockIdx.x - block * tiles, slot = threadIdx.x / width,
                       place = threadIdx.x - slot * width, t = tile * width + place,
                       unit = block * units_a_block + slot, before = block * units_a_block / strips;
        // The filters of the channels that the block sees; where images have their own, it sees one image.
        float* const taps = shared_memory<float>();
        const bool all = c <= width;
        const unsigned channels = all ? c : width;
        for (unsigned i = threadIdx.x; i < channels * 9 * J; i += blockDim.x) {
            const unsigned tap = i / channels, local = i - tap * channels;
            taps[local * Taps<J>::stride + tap] =
                filters[before * filter_stride + (i64{9} * edge[tap / 9] + tap % 9) * c +
                        (all ? local : (tile * width + local) % c)];
        }
        __syncthreads();
        if (slot >= units_a_block || unit >= units || t >= line) return;
        const float* const mine = taps + (all ? t % c : place) * Taps<J>::stride;

        const unsigned image = unit / strips, first = (unit - image * strips) * rows,
                       last = first + rows < h ? first + rows : h;
        float gate[J];
        bool live[J], pools = false;  // live: the edge does anything to this channel
#pragma unroll
        for (int j = 0; j < J; ++j) {
            gate[j] = column[j] >= 0 ? gamma[image * gamma_stride + column[j]] : 0.0f;
            live[j] = gate[j] != 0.0f;
            pools = pools || live[j];
        }
        Taps<J>::for_each(mine, [&](int j, int, float tap) { live[j] = live[j] || tap != 0.0f; });
        const Neighbours around{t >= c, t + c < line, c};
        unsigned at = (image * h + first) * line + t;
        float window[4][3];  // rows row - 1 .. row + 2, for two rows of output
        around.load(window[0], x, at - line, first > 0);
        around.load(window[1], x, at, true);
        for (unsigned row = first; row < last; row += 2, at += 2 * line) {
            const bool both = row + 1 < last;
            around.load(window[2], x, at + line, row + 1 < h);
            around.load(window[3], x, at + 2 * line, both && row + 2 < h);
            float pool[2], old[2][J], sum[2][J] = {};
#pragma unroll
            for (unsigned r = 0; r < 2; ++r) {
                pool[r] = pools && (r == 0 || both) ? pooled[at + r * line] : 0.0f;
#pragma unroll
                for (int j = 0; j < J; ++j)
                    old[r][j] = live[j] && (accumulate >> j & 1u) && (r == 0 || both) ? u[j][at + r * line] : 0.0f;
            }
            Taps<J>::for_each(mine, [&](int j, int k, float tap) {
#pragma unroll
                for (int r = 0; r < 2; ++r) sum[r][j] += tap * window[r + k / 3][k % 3];
            });
#pragma unroll
            for (unsigned r = 0; r < 2; ++r)
#pragma unroll
                for (int j = 0; j < J; ++j) {
                    if (gate[j] != 0.0f) sum[r][j] += gate[j] * pool[r];
                    if ((r == 0 || both) && (live[j] || !(accumulate >> j & 1u)))
                        u[j][at + r * line] = old[r][j] + (live[j] ? sum[r][j] : 0.0f);
                }
#pragma unroll
            for (int k = 0; k < 3; ++k) window[0][k] = window[2][k], window[1][k] = window[3][k];
        }
    }
};

template <int J>
struct MixedSourceBackwardKernel {
    static constexpr int threads = J <= 2 ? 896 : 448, registers = J <= 2 ? 72 : 128;
    float *dx, *dpooled, *partial;
    const float *du[J], *x, *pooled, *filters, *gamma;
    Chunks chunks;
    unsigned first_chunk;
    i64 filter_stride, gamma_stride;  // from chunk to chunk
    int h, w, c, strips, rows;        // strips: of `rows` rows, which an image is cut into
    int channels, slots;              // of the block: channels and columns at a time
    int edge[J], column[J];
    int first, count;  // place of these edges in partial
    i32 accumulate, accumulate_pooled, resume;
    std::size_t shared_bytes() const {
        return static_cast<std::size_t>(std::max(channels * (Taps<J>::stride + 9 * slots), 32)) * sizeof(float);
    }
    __device__ void operator()() const {
        const unsigned chunk = first_chunk + blockIdx.x;
        const int slot = static_cast<int>(threadIdx.x / static_cast<unsigned>(channels)),
                  local = static_cast<int>(threadIdx.x) - slot * channels;
        const int tasks = chunks.images(chunk) * strips * w,
                  before = static_cast<int>(chunks.begin(chunk) - chunks.begin(first_chunk));
        float* const out = partial ? partial + (i64{chunk} * count + first) * (i64{9} * c + 1) : nullptr;
        float* const taps = shared_memory<float>();
        float gate[J], dot[J] = {};
#pragma unroll
        for (int j = 0; j < J; ++j) gate[j] = column[j] >= 0 ? gamma[chunk * gamma_stride + column[j]] : 0.0f;
        for (int base = 0; base < c; base += channels) {
            const int channel = base + local;
            const bool inside = channel < c && slot < slots;
            for (int k = slot; k < 9 * J && inside; k += slots)
                taps[local * Taps<J>::stride + k] =
                    filters[chunk * filter_stride + (i64{9} * edge[k / 9] + k % 9) * c + channel];
            __syncthreads();
            float sum[J][9] = {};
            for (int task = slot; task < tasks && inside; task += slots) {
                const int strip = task / w, image = strip / strips;
                march(sum, dot, gate, taps + local * Taps<J>::stride, before + image, (strip - image * strips) * rows,
                      task - strip * w, channel);
            }
            __syncthreads();
            if (out) store_filters(sum, out, base, local, slot);
        }
        if (!out) return;
#pragma unroll
        for (int j = 0; j < J; ++j) {
            const float total = block_sum(dot[j], shared_memory<float>());
            float* const to = out + j * (i64{9} * c + 1) + i64{9} * c;
            if (threadIdx.x == 0) *to = (resume ? *to : 0.0f) + (column[j] >= 0 ? total : 0.0f);
        }
    }

private:
    /// Rows [begin, begin + rows) of one column, one channel; two rows of du at a time.
    __device__ void march(float (&sum)[J][9], float (&dot)[J], const float (&gate)[J], const float* taps, int image,
                          int begin, int col, int channel) const {
        const int end = begin + rows < h ? begin + rows : h;
        const auto line = static_cast<unsigned>(w * c);
        const Neighbours around{col > 0, col + 1 < w, static_cast<unsigned>(c)};
        float out[4] = {},
              v[4] = {};  // of rows row - 1 .. row + 2; those of x beyond the strip belong to other threads
        unsigned at = static_cast<unsigned>(image * h + begin - 1) * line + static_cast<unsigned>(col * c + channel);
        for (int row = begin - 1; row <= end; row += 2, at += 2 * line) {
            float d[2][J][3], pool[2], old[2], gated[2];
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const int here = row + r;
                const bool mine = here >= begin && here < end;
                const unsigned above = at + (r == 0 ? 0 - line : 0), level = at + (r == 0 ? 0 : line),
                               below = level + line;
#pragma unroll
                for (int j = 0; j < J; ++j) around.load(d[r][j], du[j], level, here >= 0 && here <= end && here < h);
                v[r + 2] = here + 1 < end ? x[below] : 0.0f;
                pool[r] = pooled && mine ? pooled[level] : 0.0f;
                gated[r] = 0;
                old[r] = accumulate && here > begin && here <= end ? dx[above] : 0.0f;
            }
            // Row k / 3 of the filter takes x one row above, at or below u to it.
            Taps<J>::for_each(taps, [&](int j, int k, float tap) {
#pragma unroll
                for (int r = 0; r < 2; ++r) {
                    const float from = d[r][j][2 - k % 3];
                    out[r + k / 3] += tap * from;
                    sum[j][k] += v[r + k / 3] * from;
                }
            });
#pragma unroll
            for (int j = 0; j < J; ++j) {
#pragma unroll
                for (int r = 0; r < 2; ++r) {
                    dot[j] += d[r][j][1] * pool[r];
                    if (gate[j] != 0.0f) gated[r] += gate[j] * d[r][j][1];
                }
            }
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const int here = row + r;
                if (dpooled && here >= begin && here < end) {
                    float& to = dpooled[r == 0 ? at : at + line];
                    to = accumulate_pooled ? to + gated[r] : gated[r];
                }
                if (dx && here > begin && here <= end) dx[r == 0 ? at - line : at] = old[r] + out[r];
            }
#pragma unroll
            for (int r = 0; r < 2; ++r) out[r] = out[r + 2], out[r + 2] = 0, v[r] = v[r + 2];
        }
    }
    /// The correlations of the block's columns add up, edge by edge.
    __device__ void store_filters(const float (&sum)[J][9], float* out, int base, int local, int slot) const {
        float* const sums = shared_memory<float>() + Taps<J>::stride * channels;
        const int size = channels * slots;
#pragma unroll
        for (int j = 0; j < J; ++j, out += i64{9} * c + 1) {
#pragma unroll
            for (int k = 0; k < 9; ++k)
                if (slot < slots) sums[k * size + slot * channels + local] = sum[j][k];
            __syncthreads();
            for (int k = slot; k < 9 && slot < slots && base + local < c; k += slots) {
                float total = 0;
                for (int i = 0; i < slots; ++i) total += sums[k * size + i * channels + local];
                float* const to = out + k * c + base + local;
                *to = (resume ? *to : 0.0f) + total;
            }
            __syncthreads();
        }
    }
};

/// Images whose elements 31 bits number; larger tensors go in several launches.
template <class S>
i64 images_together(const S& s) {
    return std::max<i64>(1, (i64{1} << 31) / (s.h * s.w * s.c));
}
/// The pointer to an image some images on.
template <class T>
void skip(T*& pointer, i64 elements) {
    if (pointer) pointer += elements;
}

template <int J>
void launch_edges(const Stream& stream, const contract::MixedSourceForward<float>& s, int first) {
    using Kernel = MixedSourceForwardKernel<J>;
    const i64 line = s.w * s.c, each = s.groups > 1;
    // Few rows a thread where there are few threads; two more rows are read for every strip.
    const i64 wanted = 640 * i64{stream.multiprocessors} / std::max<i64>(1, s.n * line),
              rows = std::max<i64>(std::min<i64>(s.h, 4), blocks_of(s.h, wanted + 1)), strips = blocks_of(s.h, rows),
              tiles = blocks_of(line, Kernel::launched), width = blocks_of(line, tiles),
              units = tiles > 1 || s.groups > 1 ? 1 : Kernel::launched / width,
              threads = blocks_of(units * width, 32) * 32;
    const auto extent = [](i64 value) { return static_cast<unsigned>(value); };
    Kernel kernel{{},
                  s.x,
                  s.pooled,
                  s.filters,
                  s.gamma,
                  each * s.edges * 9 * s.c,
                  each * s.gamma_stride,
                  extent(s.h),
                  extent(line),
                  extent(s.c),
                  extent(s.n * strips),
                  extent(strips),
                  extent(rows),
                  extent(units),
                  extent(width),
                  extent(tiles),
                  {},
                  {},
                  s.accumulate >> first};
    for (int j = 0; j < J; ++j)
        kernel.u[j] = s.u[first + j], kernel.edge[j] = s.edge[first + j], kernel.column[j] = s.column[first + j];
    start(stream, kernel, blocks_of(s.n * strips, units) * tiles, static_cast<int>(threads), kernel.shared_bytes());
}
template <int J>
void launch_edges(const Stream& stream, const contract::MixedSourceBackward<float>& s, int first) {
    using Kernel = MixedSourceBackwardKernel<J>;
    const Chunks chunks(s.n, s.chunks);
    const i64 channels = blocks_of(s.c, blocks_of(s.c, 64)), most = Kernel::threads / channels,
              columns = chunks.most() * s.w;
    // Where there are few chunks, columns are cut into strips; two more rows are read for every one.
    const i64 cuts = s.chunks < 2 * stream.multiprocessors ? std::clamp<i64>(most / columns, 1, blocks_of(s.h, 7)) : 1,
              rows = blocks_of(s.h, cuts), strips = blocks_of(s.h, rows), tasks = columns * strips,
              slots = blocks_of(tasks, blocks_of(tasks, most)), threads = blocks_of(slots * channels, 32) * 32;
    const bool each = s.groups > 1;
    Kernel kernel{s.dx,
                  s.dpooled,
                  s.partial,
                  {},
                  s.x,
                  s.pooled,
                  s.filters,
                  s.gamma,
                  chunks,
                  0,
                  each ? s.edges * 9 * s.c : 0,
                  each ? s.gamma_stride : 0,
                  static_cast<int>(s.h),
                  static_cast<int>(s.w),
                  static_cast<int>(s.c),
                  static_cast<int>(strips),
                  static_cast<int>(rows),
                  static_cast<int>(channels),
                  static_cast<int>(slots),
                  {},
                  {},
                  first,
                  s.count,
                  s.dx && (s.accumulate || first > 0),
                  s.dpooled && first > 0,
                  s.resume};
    for (int j = 0; j < J; ++j)
        kernel.du[j] = s.du[first + j], kernel.edge[j] = s.edge[first + j], kernel.column[j] = s.column[first + j];
    const i64 together = std::max<i64>(1, images_together(s) / chunks.most());
    for (i64 chunk = 0; chunk < s.chunks; chunk += together) {
        const i64 skipped = s.n * chunk / s.chunks * s.h * s.w * s.c;
        auto part = kernel;
        part.first_chunk = static_cast<unsigned>(chunk);
        for (auto& from : part.du) skip(from, skipped);
        skip(part.x, skipped), skip(part.pooled, skipped), skip(part.dx, skipped), skip(part.dpooled, skipped);
        start(stream, part, std::min(together, s.chunks - chunk), static_cast<int>(threads), kernel.shared_bytes());
    }
}
template <class S>
void launch_edges(const Stream& stream, const S& s, int first, int together) {
    if (together == 1) return launch_edges<1>(stream, s, first);
    if (together == 2) return launch_edges<2>(stream, s, first);
    if (together == 3) return launch_edges<3>(stream, s, first);
    launch_edges<edges_together>(stream, s, first);
}

inline void launch(const Stream& stream, const contract::MixedSourceForward<float>& call) {
    auto s = call;
    for (i64 left = call.n; left > 0; left -= s.n) {
        s.n = std::min(left, images_together(s));
        for (int first = 0; first < s.count;) {
            int together = 1;  // edges that lead to the same node add to it one after the other
            while (together < edges_together && first + together < s.count &&
                   std::find(s.u + first, s.u + first + together, s.u[first + together]) == s.u + first + together)
                ++together;
            launch_edges(stream, s, first, together);
            first += together;
        }
        const i64 elements = s.n * s.h * s.w * s.c;
        for (int j = 0; j < s.count; ++j) skip(s.u[j], elements);
        skip(s.x, elements), skip(s.pooled, elements);
        if (s.groups > 1) skip(s.filters, s.n * s.edges * 9 * s.c), skip(s.gamma, s.n * s.gamma_stride);
    }
}
inline void launch(const Stream& stream, const contract::MixedSourceBackward<float>& s) {
    for (int first = 0; first < s.count; first += edges_together)
        launch_edges(stream, s, first, std::min(edges_together, s.count - first));
}

}  // namespace hwnas::cuda
