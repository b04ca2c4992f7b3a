// SPDX-License-Identifier: MIT
// Simplex kernel: k exponentials divided by their sum are uniform on the simplex.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

template <class T>
struct Kernel<contract::SimplexSample<T>> {
    static void run(Context& context, const contract::SimplexSample<T>& s) {
        context.parallel(1, [&](std::int64_t) {
            const auto draw = [&](std::int64_t i) {  // made twice rather than kept: k is small, and T may be float
                return random::exponential(
                    random::words_at(s.key, static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(*s.step)).w[0]);
            };
            double sum = 0;
            for (std::int64_t i = 0; i < s.k; ++i) sum += draw(i);
            for (std::int64_t i = 0; i < s.k; ++i) s.out[i] = static_cast<T>(draw(i) / sum);
        });
    }
};

}  // namespace hwnas::cpu
