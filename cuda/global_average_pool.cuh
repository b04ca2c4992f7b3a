// SPDX-License-Identifier: MIT
// Global average pooling kernels. Forward, a block has some channels of an image; its slices of threads share the
// pixels, and a tree in shared memory adds them up.
#pragma once

#include "window.cuh"

namespace hwnas::cuda {

template <int V>
struct GlobalAveragePoolKernel {
    static constexpr int threads = 256, registers = 40;
    float* y;
    const float* x;
    Divisor groups, width;  // of packs of channels: block = image groups + group, thread = slice width + pack
    int slices, pixels, c;

    __device__ void operator()() const {
        auto* const sums = shared_memory<Pack<V>>();
        const auto [image, group] = groups.split(blockIdx.x);
        const auto [slice, lane] = width.split(threadIdx.x);
        const int channel = (group * width.value() + lane) * V;
        auto sum = zeros<V>();
        if (channel < c) {
            const float* from = x + (static_cast<i64>(image) * pixels + slice) * c + channel;
            const i64 step = static_cast<i64>(slices) * c;
#pragma unroll 4
            for (int pixel = slice; pixel < pixels; pixel += slices, from += step) {
                const auto v = load<V>(from);
#pragma unroll
                for (int i = 0; i < V; ++i) sum[i] += v[i];
            }
        }
        Pack<V>* const mine = sums + threadIdx.x;
        *mine = sum;
        __syncthreads();
        for (int left = slices; left > 1;) {
            const int half = (left + 1) / 2;
            if (slice + half < left) {
                const auto other = mine[half * width.value()];
#pragma unroll
                for (int i = 0; i < V; ++i) sum[i] += other[i];
                *mine = sum;
            }
            left = half;
            __syncthreads();
        }
        if (slice > 0 || channel >= c) return;
        const float share = 1.0f / static_cast<float>(pixels);
#pragma unroll
        for (int i = 0; i < V; ++i) sum[i] *= share;
        store(y + static_cast<i64>(image) * c + channel, sum);
    }
};

/// Places are pixels, in one column.
template <int V>
struct GlobalAveragePoolBackwardKernel {
    static constexpr int threads = Strips::threads, registers = 40;
    float* dx;
    const float* dy;
    Strips strips;
    Lines to;
    i32 accumulate;

    __device__ void operator()() const {
        const auto place = strips.mine();
        if (!place.inside) return;
        const int channel = place.pack * V;
        auto share = load<V>(dy + place.image * to.c + channel);
        const float factor = 1.0f / static_cast<float>(to.h);
#pragma unroll
        for (int i = 0; i < V; ++i) share[i] *= factor;
        float* out = dx + to.at(place.image, place.row, 0) + channel;
#pragma unroll 4
        for (int pixel = place.row; pixel < place.end; ++pixel, out += to.down) {
            auto sum = accumulate ? load<V>(out) : zeros<V>();
#pragma unroll
            for (int i = 0; i < V; ++i) sum[i] += share[i];
            store(out, sum);
        }
    }
};

inline void launch(const Stream& stream, const contract::GlobalAveragePoolForward<float>& s) {
    with_packs(packs(4, s.c, s.y, s.x), [&]<int V>() {
        using Kernel = GlobalAveragePoolKernel<V>;
        const i64 wide = std::min<i64>(s.c / V, 32), groups = blocks_of(s.c / V, wide),
                  slices = std::min<i64>(Kernel::threads / wide, s.pixels);
        start(stream,
              Kernel{s.y, s.x, Divisor(groups), Divisor(wide), static_cast<int>(slices), static_cast<int>(s.pixels),
                     static_cast<int>(s.c)},
              s.n * groups, static_cast<int>(wide * slices), static_cast<std::size_t>(wide * slices) * sizeof(Pack<V>));
    });
}
inline void launch(const Stream& stream, const contract::GlobalAveragePoolBackward<float>& s) {
    with_packs(packs(4, s.c, s.dx, s.dy), [&]<int V>() {
        start_strips(stream,
                     GlobalAveragePoolBackwardKernel<V>{s.dx, s.dy, Strips(stream, s.n, s.pixels, 1, s.c / V, 1),
                                                        Lines(s.pixels, 1, s.c), s.accumulate});
    });
}

}  // namespace hwnas::cuda
