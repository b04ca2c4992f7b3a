// expect: no matching function for call to
// SPDX-License-Identifier: MIT
// float and double do not mix without being asked to.
#include <hwnas/ops/add.hpp>

int main() {
    const auto device = hwnas::cpu::device({.threads = 1});
    const hwnas::Variable<float> a(hwnas::Tensor<float>::full({4}, 1.0f, device));
#if defined(HWNAS_MUST_COMPILE)
    const hwnas::Variable<float> b(hwnas::Tensor<float>::full({4}, 1.0f, device));
#else
    const hwnas::Variable<double> b(hwnas::Tensor<double>::full({4}, 1.0, device));
#endif
    return hwnas::add(a, b).shape().rank() == 1 ? 0 : 1;
}
