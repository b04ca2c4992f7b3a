// SPDX-License-Identifier: MIT
// Convolutions of images of few channels, as at the stem of a network. There the gathered matrix would be many times
// the image: instead, the lines that a row of the output sees are copied once, with their padding, and every column
// then reads kernel x channels neighbours in each.
#pragma once

#include <hwnas/cpu/device.hpp>
#include <hwnas/cpu/matmul.hpp>

namespace hwnas::cpu {

/// The lines of x that one row of the output sees, one after the other.
template <class T>
struct StemLines {
    static constexpr std::int64_t most = 8192;
    const contract::Window s;
    const std::int64_t length;
    alignas(64) T line[static_cast<std::size_t>(most)];

    static bool fits(const contract::Window& s) {
        return s.c <= 4 && s.kernel > 1 && s.dilation == 1 && s.kernel * (s.w + 2 * s.padding) * s.c <= most;
    }
    [[gnu::always_inline]] explicit StemLines(const contract::Window& window)
        : s(window), length((window.w + 2 * window.padding) * window.c) {}
    /// Row `index` of all rows of the batch.
    [[gnu::always_inline]] void read(const T* x, std::int64_t index) {
        const std::int64_t image = index / s.oh, first = index % s.oh * s.stride - s.padding, pad = s.padding * s.c;
        for (std::int64_t k = 0; k < s.kernel; ++k) {
            T* const to = line + k * length;
            const std::int64_t y = first + k;
            if (y < 0 || y >= s.h) {
                clear_run(to, length);
                continue;
            }
            clear_run(to, pad);
            copy_run(to + pad, x + (image * s.h + y) * s.w * s.c, s.w * s.c);
            clear_run(to + pad + s.w * s.c, pad);
        }
    }
    [[gnu::always_inline]] const T* at(std::int64_t k, std::int64_t q) const {
        return line + k * length + q * s.stride * s.c;
    }
};

template <class T, int B>
struct StemForwardBody {
    /// R columns of the output from q on, a block of channels from `o` on.
    template <class V, int R, class M>
    [[gnu::always_inline]] static void strip(const StemLines<T>& lines, const contract::ConvForward<T>& s, T* out,
                                             std::int64_t q, std::int64_t o, M part) {
        const std::int64_t run = lines.s.kernel * lines.s.c, pitch = lines.s.stride * lines.s.c;
        V start{}, sum[R];
        if (s.bias) load_block(start, s.bias + o, part);
        unroll<R>([&](auto r) __attribute__((always_inline)) { sum[r] = start; });
        const T* w = s.w + o;
        for (std::int64_t k = 0; k < lines.s.kernel; ++k) {
            const T* a = lines.at(k, q);
            for (std::int64_t i = 0; i < run; ++i, ++a, w += s.out_channels) {
                V b;
                load_block(b, w, part);
                if (pitch == 1)
                    unroll<R>([&](auto r) __attribute__((always_inline)) {
                        V left{};
                        broadcast(left, a + r);
                        sum[r] += left * b;
                    });
                else
                    unroll<R>([&](auto r) __attribute__((always_inline)) {
                        V left{};
                        broadcast(left, a + r * pitch);
                        sum[r] += left * b;
                    });
            }
        }
        store_blocks<R>(out + q * s.out_channels + o, s.out_channels, sum, part);
    }
    [[gnu::always_inline]] static void run(const contract::ConvForward<T>& call, std::int64_t begin, std::int64_t end) {
        const auto s = call;
        StemLines<T> lines(s.window);
        constexpr int R = B > vector_bytes ? 14 : 7;  // the usual widths are multiples
        for (std::int64_t index = begin; index < end; ++index) {
            lines.read(s.x, index);
            T* const out = s.y + index * s.window.ow * s.out_channels;
            for_parts<T, B>(s.out_channels, [&]<class V>(std::int64_t o, auto part) __attribute__((always_inline)) {
                std::int64_t q = 0;
                for (; q + R <= s.window.ow; q += R) strip<V, R>(lines, s, out, q, o, part);
                for (; q < s.window.ow; ++q) strip<V, 1>(lines, s, out, q, o, part);
            });
        }
    }
};

/// The gradient of the weights over rows [begin, end) of the output, three taps or channels at a time.
template <class T, int B>
struct StemWeightBody {
    template <class V, int R, class M>
    [[gnu::always_inline]] static void taps(const T* a, std::int64_t pitch, const T* dy, std::int64_t out_channels,
                                            std::int64_t ow, T* out, M part) {
        V sum[R] = {};
        add_blocks<R>(sum, static_cast<const T*>(out), out_channels, part);
        for (std::int64_t q = 0; q < ow; ++q, a += pitch, dy += out_channels) {
            V d;
            load_block(d, dy, part);
            unroll<R>([&](auto r) __attribute__((always_inline)) {
                V left{};
                broadcast(left, a + r);
                sum[r] += left * d;
            });
        }
        store_blocks<R>(out, out_channels, sum, part);
    }
    [[gnu::always_inline]] static void run(const contract::Window& window, const T* x, const T* dy, T* partial,
                                           std::int64_t out_channels, std::int64_t begin, std::int64_t end,
                                           bool resume) {
        StemLines<T> lines(window);
        const std::int64_t run = window.kernel * window.c, pitch = window.stride * window.c;
        if (!resume) clear_run(partial, window.kernel * run * out_channels);
        for (std::int64_t index = begin; index < end; ++index) {
            lines.read(x, index);
            const T* const row = dy + index * window.ow * out_channels;
            for_parts<T, B>(out_channels, [&]<class V>(std::int64_t o, auto part) __attribute__((always_inline)) {
                for (std::int64_t k = 0; k < window.kernel; ++k) {
                    T* const to = partial + k * run * out_channels + o;
                    const T* const a = lines.at(k, 0);
                    std::int64_t i = 0;
                    for (; i + 3 <= run; i += 3)
                        taps<V, 3>(a + i, pitch, row + o, out_channels, window.ow, to + i * out_channels, part);
                    for (; i < run; ++i)
                        taps<V, 1>(a + i, pitch, row + o, out_channels, window.ow, to + i * out_channels, part);
                }
            });
        }
    }
};

}  // namespace hwnas::cpu
