// expect: no matching function for call to
// SPDX-License-Identifier: MIT
// Ops take Variables; a Tensor becomes one when it is asked to, so that a gradient is never lost unseen.
#include <hwnas/ops/relu.hpp>

int main() {
    const auto device = hwnas::cpu::device({.threads = 1});
    const auto x = hwnas::Tensor<float>::full({4}, 1.0f, device);
#if defined(HWNAS_MUST_COMPILE)
    return hwnas::relu(hwnas::Variable<float>(x)).shape().rank() == 1 ? 0 : 1;
#else
    return hwnas::relu(x).shape().rank() == 1 ? 0 : 1;
#endif
}
