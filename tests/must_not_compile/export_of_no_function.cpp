// expect: no matching function for call to
// SPDX-License-Identifier: MIT
// A network composed by hand is exported from a function on Variables; one on Tensors records no kernel that it calls.
#include <hwnas/io/cpp_header.hpp>
#include <hwnas/ops/relu.hpp>

int main() {
    const auto device = hwnas::cpu::device({.threads = 1});
#if defined(HWNAS_MUST_COMPILE)
    const auto forward = [](const hwnas::Variable<float>& x) { return hwnas::relu(x); };
#else
    const auto forward = [](const hwnas::Tensor<float>& x) { return x; };
#endif
    return hwnas::io::cpp_header(device, {.height = 4, .width = 4, .channels = 1}, forward).empty() ? 1 : 0;
}
