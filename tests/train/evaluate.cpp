// SPDX-License-Identifier: MIT
#include "support/modules.hpp"
#include "support/shades.hpp"

#include <hwnas/train/evaluate.hpp>

namespace train_evaluate_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

Network network_of(const SearchSpace& space, const Device& device) {
    return {space,
            Genotype::from_choices(space.architecture(),
                                   random_choices(space.architecture().rows(), space.architecture().k(), 1)),
            device, seed(3)};
}

}  // namespace

TEST_CASE("evaluate: every row counts once, whatever the batch", "[train]") {
    const auto device = test_device();
    const auto network = network_of(tiny_space(), device);
    const auto data = shades(53, 1, 10);
    const auto uploaded = DeviceDataset::upload(data, device);
    double loss = 0, hits = 0;  // by hand, row by row
    for (std::int64_t n = 0; n < 53; ++n) {
        const Variable<float> x(
            Tensor<float>::from(std::vector<float>(data.values.begin() + n * 64, data.values.begin() + (n + 1) * 64),
                                {1, 8, 8, 1}, device));
        const auto logits = network.forward(x, Phase::eval).value().to_vector();
        const auto label = static_cast<std::size_t>(data.labels[static_cast<std::size_t>(n)]);
        double sum = 0;
        for (const float v : logits) sum += std::exp(static_cast<double>(v));
        loss += (std::log(sum) - static_cast<double>(logits[label])) / 53;
        hits +=
            (std::max_element(logits.begin(), logits.end()) - logits.begin() == static_cast<std::ptrdiff_t>(label)) /
            53.0;
    }
    for (const std::int64_t batch : {1, 7, 10, 52, 53, 250}) {
        INFO("batch " << batch);
        const auto found = evaluate_forward<float>(
            device, uploaded, classification<float>(),
            [&](const Variable<float>& x) { return network.forward(x, Phase::eval); }, batch);
        CHECK(found.count == 53);
        CHECK(std::abs(found.loss - loss) < 1e-5);
        CHECK(std::abs(found.metric - hits) < 1e-6);
    }
    CHECK(std::abs(evaluate(network, data).metric - hits) < 1e-6);
    CHECK_THROWS_WITH(evaluate_forward<float>(
                          device, uploaded, classification<float>(),
                          [&](const Variable<float>& x) { return network.forward(x, Phase::eval); }, 0),
                      "evaluate: batch 0");
    CHECK_THROWS_WITH(evaluate(network, DeviceDataset{}), "evaluate: the data set is empty");
}

TEST_CASE("recalibrate: running statistics become those of the training data", "[train]") {
    const auto device = test_device();
    const auto network = network_of(tiny_space(), device);
    const auto data = shades(64, 2, 10);
    const auto state = network.state();
    REQUIRE(state.parameters[0].name == "stem/weight");
    REQUIRE(state.buffers[0].name == "stem/norm/mean");
    for (const auto& b : state.buffers) b.tensor.assign(123.0f);  // whatever was there before is forgotten
    // What the stem's batch norm sees, by hand.
    const auto seen =
        conv(Variable<float>(Tensor<float>::from(data.values, {64, 8, 8, 1}, device)), state.parameters[0].variable)
            .value()
            .to_vector();
    std::vector<double> mean(4, 0.0), variance(4, 0.0);
    const double rows = static_cast<double>(seen.size()) / 4;
    for (std::size_t i = 0; i < seen.size(); ++i) mean[i % 4] += static_cast<double>(seen[i]) / rows;
    for (std::size_t i = 0; i < seen.size(); ++i)
        variance[i % 4] +=
            (static_cast<double>(seen[i]) - mean[i % 4]) * (static_cast<double>(seen[i]) - mean[i % 4]) / (rows - 1);

    recalibrate(network, data, {.batches = 50, .batch = 64});  // one batch, the whole data
    CHECK(relative_error(state.buffers[0].tensor.to_vector(), mean) < 1e-5);
    CHECK(relative_error(state.buffers[1].tensor.to_vector(), variance) < 1e-5);
    const auto exact = evaluate(network, data);
    // In batches: the mean over the batches; the order of the images does not matter to it.
    recalibrate(network, data, {.batches = 4, .batch = 16, .seed = seed(5)});
    CHECK(relative_error(state.buffers[0].tensor.to_vector(), mean) < 1e-5);
    CHECK(relative_error(state.buffers[1].tensor.to_vector(), variance) < 0.2);
    CHECK(network.momentum().item() == 0.1f);
    for (const auto& b : state.buffers) b.tensor.assign(7.0f);
    CHECK(std::abs(evaluate(network, data).loss - exact.loss) > 1e-3);  // wrong statistics matter
    recalibrate(network, data, {.batch = 1'000});                       // no more than there is
    CHECK(std::abs(evaluate(network, data).loss - exact.loss) < 1e-4);
    CHECK_THROWS_WITH(recalibrate(network, data, {.batches = 0}), "recalibrate: 0 batches");
    CHECK_THROWS_WITH(recalibrate(network, data, {.batch = 1}), "recalibrate: a batch of 1 has no statistics");
}

}  // namespace train_evaluate_test
