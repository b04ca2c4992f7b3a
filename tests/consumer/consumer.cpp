// SPDX-License-Identifier: MIT
// Uses a bit of every target: an op and its gradient, a file, and, where it is linked, the accelerators' door.
#include <hwnas/autodiff/backward.hpp>
#include <hwnas/cpu/device.hpp>
#include <hwnas/io/json.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/sum.hpp>
#include <hwnas/version.hpp>

#if defined(HWNAS_COMPILED_KERNELS) && !defined(HWNAS_CONSUMER_ALONE)
#define HWNAS_CONSUMER_DEVICE
#include <hwnas/cuda.hpp>
#endif

#include <string>

double slope_in_second(const hwnas::Device& device);  // second.cpp
const char* version_in_second();

int main() {
    using namespace hwnas;
    const auto device = cpu::device({.threads = 1});
    const auto x = Variable<float>::leaf(Tensor<float>::from({-1.0f, 2.0f}, {2}, device));
    backward(sum(relu(x)));
    const auto slope = x.grad().to_vector();
    io::write_json("consumer.json", {{"slope", slope}});
    const bool right = io::read_json("consumer.json")["slope"] == io::Json{0.0, 1.0} &&
                       slope_in_second(device) == 1.0 && std::string(version) == version_in_second();
#ifdef HWNAS_CONSUMER_DEVICE
    fmt::print("{} accelerators\n", cuda::device_count());
#endif
    fmt::print("{}\n", right ? "slope 0 and 1" : "wrong slope");
    return right ? 0 : 1;
}
