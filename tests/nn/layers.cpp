// SPDX-License-Identifier: MIT
#include "support/modules.hpp"

#include <hwnas/autodiff/backward.hpp>
#include <hwnas/nn/layers.hpp>

namespace nn_layers_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("layers: batch norm keeps PyTorch's running statistics", "[nn]") {
    const auto device = test_device();
    const Initializer<double> init(device, seed(1));
    const BatchNorm<double> norm(init.in("norm"), 3);
    ModuleState<double> state;
    norm.collect(state);
    REQUIRE(state.buffers.size() == 2);
    CHECK(state.parameters[0].name == "norm/scale");
    CHECK(state.buffers[1].name == "norm/variance");
    std::vector<double> mean(3, 0.0), variance(3, 1.0);
    for (std::uint64_t step = 0; step < 4; ++step) {
        const auto x = random_tensor<double>({2, 3, 5, 3}, step, device);
        norm(Variable<double>(x), Phase::train);
        const auto values = x.to_vector();
        for (std::size_t c = 0; c < 3; ++c) {
            double m = 0, v = 0;
            for (std::size_t row = 0; row < 30; ++row) m += values[row * 3 + c] / 30;
            for (std::size_t row = 0; row < 30; ++row)
                v += (values[row * 3 + c] - m) * (values[row * 3 + c] - m) / 29;  // unbiased
            mean[c] += 0.1 * (m - mean[c]);
            variance[c] += 0.1 * (v - variance[c]);
        }
    }
    CHECK(relative_error(state.buffers[0].tensor.to_vector(), mean) < 1e-12);
    CHECK(relative_error(state.buffers[1].tensor.to_vector(), variance) < 1e-12);
    const auto x = random_tensor<double>({2, 3, 5, 3}, 9, device);
    const auto y = norm(Variable<double>(x), Phase::eval).value().to_vector();
    const auto [factor, offset] = norm.affine();
    auto expected = x.to_vector();
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = factor[i % 3] * expected[i] + offset[i % 3];
    CHECK(relative_error(y, expected) < 1e-12);
    ModuleState<double> plain;
    BatchNorm<double>(init.in("plain"), 3, false).collect(plain);
    CHECK(plain.parameters.empty());
    CHECK(plain.buffers.size() == 2);
}

TEST_CASE("layers: a folded convolution equals convolution and batch norm in eval", "[nn]") {
    const auto device = test_device();
    for (const std::int64_t kernel : {1, 3}) {
        ConvNorm<float> layer(Initializer<float>(device, seed(2)), kernel, 5, 12, {.stride = kernel == 3 ? 2 : 1});
        ModuleState<float> state;
        layer.collect(state);
        std::uint64_t i = 0;
        for (const auto& [name, variable] : state.parameters)
            variable.value().assign(random_tensor<float>(variable.shape(), ++i, device, 0.3, 1.7).to_vector());
        for (const auto& [name, tensor] : state.buffers)
            tensor.assign(random_tensor<float>(tensor.shape(), ++i, device, 0.3, 1.7).to_vector());
        const Variable<float> x(random_tensor<float>({2, 7, 6, 5}, 50, device));
        const auto expected = layer(x, Phase::eval).value().to_vector();
        layer.fold();
        CHECK(relative_error(layer(x, Phase::eval).value().to_vector(), expected) < 1e-5);
        CHECK(layer.folded_bias().shape() == Shape{12});
    }
}

TEST_CASE("initializer: a tensor depends on its own name and the seed, not on its neighbours", "[nn]") {
    const auto device = test_device(1);
    const Initializer<float> init(device, seed(7));
    const auto alone = init.in("b").normal("weight", {4, 5}, 0.5).variable.value().to_vector();
    init.in("a").normal("weight", {400}, 1);  // somebody adds a layer before it
    const auto again = init.in("b").normal("weight", {4, 5}, 0.5);
    CHECK(again.name == "b/weight");
    CHECK(again.variable.value().to_vector() == alone);
    CHECK(init.in("b").normal("bias", {4, 5}, 0.5).variable.value().to_vector() != alone);
    CHECK(Initializer<float>(device, seed(8)).in("b").normal("weight", {4, 5}, 0.5).variable.value().to_vector() !=
          alone);
    // The same numbers in double, and the moments asked for.
    const auto precise =
        Initializer<double>(device, seed(7)).in("b").normal("weight", {4, 5}, 0.5).variable.value().to_vector();
    CHECK(relative_error(alone, precise) < 1e-6);
    const auto many = init.normal("many", {101, 99}, 2).variable.value().to_vector();
    double mean = 0, square = 0;
    for (const float x : many) mean += x / 9999.0, square += static_cast<double>(x) * x / 9999.0;
    CHECK(std::abs(mean) < 0.08);
    CHECK(std::abs(square - 4) < 0.25);
    CHECK(init.momentum().item() == 0.1f);
}

TEST_CASE("layers: linear, and states copied by name", "[nn]") {
    const auto device = test_device(1);
    const Linear<float> a(Initializer<float>(device, seed(1)), 3, 4), b(Initializer<float>(device, seed(2)), 3, 4);
    ModuleState<float> from, to;
    a.collect(from), b.collect(to);
    CHECK(from.parameter_count() == 16);
    CHECK(a.weight().value().to_vector() != b.weight().value().to_vector());
    copy_state(from, to);
    const Variable<float> x(random_tensor<float>({5, 3}, 3, device));
    CHECK(a(x).value().to_vector() == b(x).value().to_vector());
    ModuleState<float> narrow, other;
    Linear<float>(Initializer<float>(device, seed(1)), 2, 4).collect(narrow);
    Linear<float>(Initializer<float>(device, seed(1)).in("head"), 3, 4).collect(other);
    CHECK_THROWS_WITH(copy_state(from, other), "copy_state: the source has no \"head/weight\"");
    CHECK_THROWS_WITH(copy_state(from, narrow), "copy_state: \"weight\" has shape [3, 4] in the source, [2, 4] here");
}

}  // namespace nn_layers_test
