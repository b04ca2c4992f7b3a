// expect: this contract struct has no CPU kernel
// SPDX-License-Identifier: MIT
// A struct in the closed list whose kernel somebody forgot: cpu/kernels.hpp stops the build and names the struct.
#include <hwnas/cpu/kernels.hpp>

struct Forgotten {
    float* out;
    long n;
};

int main() {
#if defined(HWNAS_MUST_COMPILE)
    return hwnas::cpu::detail::has_kernel<hwnas::contract::Fill<float>>() ? 0 : 1;
#else
    return hwnas::cpu::detail::has_kernel<Forgotten>() ? 0 : 1;
#endif
}
