// SPDX-License-Identifier: MIT
// A second source file of the same program includes what the first does: what headers define must be one thing.
#include <hwnas/autodiff/backward.hpp>
#include <hwnas/cpu/device.hpp>
#include <hwnas/io/json.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/sum.hpp>
#include <hwnas/version.hpp>

double slope_in_second(const hwnas::Device& device) {
    using namespace hwnas;
    const auto x = Variable<float>::leaf(Tensor<float>::from({3.0f, -1.0f}, {2}, device));
    backward(sum(relu(x)));
    return static_cast<double>(x.grad().to_vector()[0]);
}
const char* version_in_second() {
    return hwnas::version;
}
