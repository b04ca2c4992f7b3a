// SPDX-License-Identifier: MIT
// Networks to export: with statistics that no default hides behind, and with a primitive of the test's own.
#pragma once

#include "io/onnx_interpreter.hpp"

#include <hwnas/cpu/device.hpp>
#include <hwnas/io/onnx.hpp>
#include <hwnas/supernet/prepared.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace hwnas_test::onnx {

using namespace hwnas;

inline std::vector<float> uniform(std::int64_t n, std::uint64_t seed, double low, double high) {
    std::vector<float> values;
    const auto key = Seed{seed}.stream("onnx");
    for (std::int64_t i = 0; i < n; ++i)
        values.push_back(static_cast<float>(
            low + (high - low) * static_cast<double>(
                                     random::uniform(random::words_at(key, static_cast<std::uint64_t>(i), 0).w[0]))));
    return values;
}

/// Statistics, scales, shifts and biases that no default hides behind.
inline void randomise(const Network& network) {
    std::uint64_t seed = 100;
    const auto state = network.state();
    for (const auto& buffer : state.buffers) {
        const bool variance = buffer.name.ends_with("variance");
        buffer.tensor.assign(uniform(buffer.tensor.elements(), seed++, variance ? 0.5 : -0.5, variance ? 2 : 0.5));
    }
    for (const auto& parameter : state.parameters)
        if (parameter.variable.shape().rank() == 1)
            parameter.variable.value().assign(uniform(parameter.variable.shape().elements(), seed++, 0.2, 1));
}

/// All rows primitive `choice`, or at random when negative.
inline Network network_of(const SearchSpace& space, int choice) {
    std::vector<int> choices;
    for (int row = 0; row < space.architecture().rows(); ++row)
        choices.push_back(
            choice >= 0 ? choice
                        : static_cast<int>(random::words_at(Seed{5}.stream("choices"), static_cast<std::uint64_t>(row),
                                                            static_cast<std::uint64_t>(-choice))
                                               .w[0] %
                                           static_cast<unsigned>(space.architecture().k())));
    Network network(space, Genotype::from_choices(space.architecture(), choices), cpu::device({.threads = 1}),
                    seed(42));
    randomise(network);
    return network;
}

inline std::vector<float> prepared_logits(const Network& network, const std::vector<float>& images,
                                          std::int64_t batch) {
    const Prepared prepared(network, batch);
    prepared.input().assign(images);
    prepared.run();
    return prepared.output().to_vector();
}

/// Largest difference as a share of the largest magnitude.
inline double difference(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size() || a.empty()) return HUGE_VAL;
    double worst = 0, largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return HUGE_VAL;
        worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        largest = std::max(largest, std::abs(static_cast<double>(b[i])));
    }
    return largest > 0 ? worst / largest : HUGE_VAL;
}

inline double interpreted_difference(const Network& network, std::int64_t batch) {
    const auto& image = network.space().options().image;
    const std::vector<std::int64_t> nhwc{batch, image.height, image.width, image.channels};
    const auto images = uniform(onnx::product(nhwc), 3, -2, 2);
    const auto logits = onnx::run(onnx::read(io::onnx_bytes(network)), images, nhwc);
    return difference(logits.values, prepared_logits(network, images, batch));
}

inline const SpaceOptions small{
    .image = {.height = 9, .width = 7, .channels = 2}, .classes = 3, .channels = 4, .cells = 2, .nodes = 2};

/// A network whose two edges are one primitive of the test's: apply(x, parameters), x [N, 5, 6, 4].
template <class F>
Network network_with(
    F apply, std::function<PrimitiveState(const Site&)> state = [](const Site&) { return PrimitiveState{}; }) {
    const Primitive primitive("own", std::move(state),
                              [apply](const auto& x, const auto& p, const Site&, Phase) { return apply(x, p); });
    const SpaceOptions options{
        .image = {.height = 5, .width = 6, .channels = 3}, .classes = 3, .channels = 4, .cells = 1, .nodes = 1};
    return network_of(SearchSpace::custom("own", {primitive}, options), 0);
}
template <class T>
Variable<T> constant(const Variable<T>& x, const Shape& shape, std::uint64_t seed = 9) {
    const auto values = uniform(shape.elements(), seed, -1, 1);
    return Variable<T>(Tensor<T>::from(std::vector<T>(values.begin(), values.end()), shape, x.device()));
}

}  // namespace hwnas_test::onnx
