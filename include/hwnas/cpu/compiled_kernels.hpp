// SPDX-License-Identifier: MIT
// The kernels of one part of the closed list, for those who compile them once instead of in every source file: define
// HWNAS_COMPILED_KERNELS everywhere, and instantiate compiled_kernel<float, P> and compiled_kernel<double, P> for every
// part P in source files of your own, or link the target hwnas::kernels, which is just that.
#pragma once

#include <hwnas/cpu/kernels.hpp>

#ifdef HWNAS_COMPILED_KERNELS

namespace hwnas::cpu {

template <class T, int Part>
KernelFunction compiled_kernel(int index) {
    KernelFunction found = nullptr;
    contract::Calls<T>::for_each([&]<class S>() {
        constexpr int number = contract::Calls<T>::template index_of<S>();
        if constexpr (number % kernel_parts == Part)
            if (number == index) found = run_kernel<S>;
    });
    return found;
}

}  // namespace hwnas::cpu

#endif
