// SPDX-License-Identifier: MIT
// Derived networks on the device, beside the same ones on the CPU in double.
#include <hwnas/supernet/prepared.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_network_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

/// Writes the values of one network into another of the same genotype.
void copy_rounded(const BasicNetwork<float>& from, const BasicNetwork<double>& to) {
    const auto source = from.state();
    const auto target = to.state();
    const auto copy = [](const Tensor<float>& a, const Tensor<double>& b) {
        const auto values = a.to_vector();
        b.assign(std::vector<double>(values.begin(), values.end()));
    };
    REQUIRE(source.parameters.size() == target.parameters.size());
    REQUIRE(source.buffers.size() == target.buffers.size());
    for (std::size_t i = 0; i < source.parameters.size(); ++i)
        copy(source.parameters[i].variable.value(), target.parameters[i].variable.value());
    for (std::size_t i = 0; i < source.buffers.size(); ++i) copy(source.buffers[i].tensor, target.buffers[i].tensor);
}
/// Logits of training, gradients of all parameters, and logits of the prepared network.
template <class T>
struct Found {
    std::vector<T> training, prepared;
    std::vector<std::vector<T>> gradients;
};
template <class T>
Found<T> run(const BasicNetwork<T>& network, const Shape& shape) {
    const auto& device = network.device();
    const auto images = random_values<float>(shape.elements(), 3);
    const std::vector<T> x(images.begin(), images.end());
    Found<T> found;
    BasicPrepared<T> prepared(network, shape[0]);
    prepared.input().assign(x);
    prepared.run();
    found.prepared = prepared.output().to_vector();
    const auto y = network.forward(Variable<T>(Tensor<T>::from(x, shape, device)), Phase::train);
    backward(y, test_seed<T>(y.shape(), device));
    found.training = y.value().to_vector();
    for (const auto& p : network.state().parameters) found.gradients.push_back(p.variable.grad().to_vector());
    return found;
}
double norm(const std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x * x;
    return std::sqrt(sum);
}

}  // namespace

TEST_CASE("derived networks on the device: training's gradients and prepared logits agree with the CPU",
          "[cuda][long]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const SpaceOptions tiny{.image = {6, 6, 1}, .classes = 4, .channels = 4, .cells = 2, .nodes = 3},
        whole{.image = {28, 28, 1}, .classes = 10, .channels = 16};
    for (const char* name : {"paper", "pointwise", "separable"})
        for (int turn = 0; turn < 3; ++turn) {
            INFO(name << ", primitives turned by " << turn);
            const auto space = SearchSpace::named(name, emulated() ? tiny : whole);
            const auto& a = space.architecture();
            std::vector<int> choices;
            for (int row = 0; row < a.rows(); ++row) choices.push_back((row + turn) % a.k());
            const auto genotype = Genotype::from_choices(a, choices);
            const BasicNetwork<float> network(space, genotype, device, Seed{1});
            std::uint64_t seed = 100;
            for (const auto& buffer : network.state().buffers)
                buffer.tensor.assign(random_values<float>(buffer.tensor.elements(), ++seed, 0.5, 1.5));
            const BasicNetwork<double> reference(space, genotype, test_device(), Seed{1});
            copy_rounded(network, reference);
            const auto& image = space.options().image;
            const Shape shape{emulated() ? 5 : 64, image.height, image.width, image.channels};
            const auto found = run(network, shape);
            const auto expected = run(reference, shape);
            CHECK(relative_error(found.prepared, expected.prepared) <= 5e-6);
            CHECK(relative_error(found.training, expected.training) <= 5e-6);
            double largest = 0;
            for (const auto& gradient : expected.gradients) largest = std::max(largest, norm(gradient));
            REQUIRE(largest > 0);
            for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
                std::vector<double> difference = expected.gradients[i];
                for (std::size_t j = 0; j < difference.size(); ++j)
                    difference[j] -= static_cast<double>(found.gradients[i][j]);
                INFO(network.state().parameters[i].name << ": |a - b| " << norm(difference) << ", |b| "
                                                        << norm(expected.gradients[i]));
                // A gradient that is nothing but what rounding left of larger ones has no digits to compare.
                CHECK(norm(difference) <= std::max(1e-5 * norm(expected.gradients[i]), 1e-6 * largest));
            }
        }
}

}  // namespace cuda_network_test
