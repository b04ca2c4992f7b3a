// SPDX-License-Identifier: MIT
// Augmentation kernel: pixels move, none is computed; image by image.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

template <class T>
struct Kernel<contract::Augment<T>> {
    static void run(Context& context, const contract::Augment<T>& s) {
        const std::int64_t size = s.limits.h * s.limits.w * s.c;
        context.for_range(s.n, std::max<std::int64_t>(1, stream_grain / size),
                          [&](std::int64_t begin, std::int64_t end) {
                              for (std::int64_t i = begin; i < end; ++i)
                                  image(s, s.in + i * size, s.out + i * size,
                                        Augmentation::draw(s.limits, s.key, static_cast<std::uint64_t>(i),
                                                           static_cast<std::uint64_t>(*s.step)));
                          });
    }

private:
    static void image(const contract::Augment<T>& s, const T* in, T* out, const Augmentation& drawn) {
        for (std::int64_t y = 0; y < s.limits.h; ++y)
            for (std::int64_t x = 0; x < s.limits.w; ++x, out += s.c) {
                const std::int64_t from = drawn.source(y, x);
                if (drawn.erased(y, x))
                    std::fill(out, out + s.c, s.erased);
                else if (from < 0)
                    std::fill(out, out + s.c, s.outside);
                else
                    std::copy(in + from * s.c, in + (from + 1) * s.c, out);
            }
    }
};

}  // namespace hwnas::cpu
