// SPDX-License-Identifier: MIT
// Counters and running sums of a training step: one number each.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

template <>
struct Kernel<contract::Advance> {
    static void run(Context&, const contract::Advance& s) { *s.counter += s.by; }
};

template <class T>
struct Kernel<contract::ScalarAccumulate<T>> {
    static void run(Context&, const contract::ScalarAccumulate<T>& s) {
        *s.sum += s.weight * static_cast<double>(*s.value);
    }
};

}  // namespace hwnas::cpu
