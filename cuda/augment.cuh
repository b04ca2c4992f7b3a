// SPDX-License-Identifier: MIT
// Augmentation kernel: one thread a pixel. Each draws what happens to its image anew: sixty integer instructions cost
// less than a barrier behind one thread that draws for all.
#pragma once

#include "platform.cuh"

#include <hwnas/core/augmentation.hpp>

namespace hwnas::cuda {

struct AugmentKernel {
    static constexpr int registers = 48;
    contract::Augment<float> s;
    i64 pixels;
    __device__ void operator()(i64 i) const {
        const i64 image = i / pixels, y = i % pixels / s.limits.w, x = i % pixels % s.limits.w;
        const auto drawn =
            Augmentation::draw(s.limits, s.key, static_cast<std::uint64_t>(image), static_cast<std::uint64_t>(*s.step));
        const i64 from = drawn.source(y, x);
        const bool erased = drawn.erased(y, x);
        for (i64 c = 0; c < s.c; ++c)
            s.out[i * s.c + c] = erased ? s.erased : from < 0 ? s.outside : s.in[(image * pixels + from) * s.c + c];
    }
};

inline void launch(const Stream& stream, const contract::Augment<float>& s) {
    const i64 pixels = s.limits.h * s.limits.w;
    for_each(stream, s.n * pixels, AugmentKernel{s, pixels});
}

}  // namespace hwnas::cuda
