// expect: not a struct of contract.hpp's closed list
// SPDX-License-Identifier: MIT
// Only structs of the contract reach a device: a private one would not run on other devices.
#include <hwnas/ops/relu.hpp>

struct Private {
    float* out;
    long n;
};
template <>
struct hwnas::cpu::Kernel<Private> {
    static void run(Context&, const Private&) {}
};

int main() {
    const auto device = hwnas::cpu::device({.threads = 1});
    const auto tensor = hwnas::Tensor<float>::full({4}, 1.0f, device);
#if defined(HWNAS_MUST_COMPILE)
    hwnas::submit(device, hwnas::contract::Fill<float>{tensor.data(), 4, 0.0f});
#else
    hwnas::submit(device, Private{tensor.data(), 4});
#endif
}
