// SPDX-License-Identifier: MIT
// A task is two callables on (outputs, batch): here the search minimises a squared error on float targets, the size and
// the brightness of a square in a noisy image. The data is made up, so this example needs no data set.
#include "short_run.hpp"

#include <hwnas/hwnas.hpp>

hwnas::Dataset squares(std::int64_t count, hwnas::Seed seed) {
    std::vector<float> images, targets;
    const auto key = seed.stream("squares");
    for (std::uint64_t n = 0; n < static_cast<std::uint64_t>(count); ++n) {
        const auto words = hwnas::random::words_at(key, 0, n);
        const auto side = static_cast<int>(3 + words.w[0] % 8), row = static_cast<int>(words.w[1] % (17u - side)),
                   column = static_cast<int>(words.w[2] % (17u - side));
        const float brightness = 1 + hwnas::random::uniform(words.w[3]);
        for (int i = 0; i < 16 * 16; ++i) {
            const bool inside = i / 16 >= row && i / 16 < row + side && i % 16 >= column && i % 16 < column + side;
            images.push_back(
                (inside ? brightness : 0) +
                0.5f * hwnas::random::uniform(hwnas::random::words_at(key, static_cast<std::uint64_t>(i) + 1, n).w[0]));
        }
        targets.push_back((static_cast<float>(side) - 6.5f) / 3.5f),
            targets.push_back(2 * brightness - 3);  // both from -1 to 1
    }
    return hwnas::dataset_from_tensors(std::move(images), std::move(targets),
                                       {.name = "squares", .image = {16, 16, 1}});
}

int main() try {
    const auto error = [](const auto& outputs, const auto& batch) {
        return hwnas::mean_squared_error(outputs, hwnas::Variable<float>(batch.targets));
    };
    const hwnas::Task measuring{
        .loss = error,
        .metric = [error](const auto& outputs, const auto& batch) { return error(outputs.detach(), batch).value(); },
        .metric_name = "squared error",
        .higher_is_better = false};

    const auto device = hwnas::cpu::device({.threads = 2});
    const auto space =
        hwnas::SearchSpace::pointwise({.image = {16, 16, 1}, .classes = 2, .channels = 8});  // two outputs
    const auto train = squares(example::fast() ? 256 : 4'096, hwnas::seed(1)),
               test = squares(example::fast() ? 128 : 1'024, hwnas::seed(2));
    hwnas::SingleLevelTrainer trainer{hwnas::SuperNet{space, device, hwnas::seed(3)},
                                      hwnas::HyperNet{space, device, hwnas::seed(3)},
                                      std::nullopt,
                                      {.epochs = example::epochs(10), .latency_weight = 0, .task = measuring}};
    const hwnas::Family family = trainer.fit(train);
    hwnas::Choice small = family.best({.parameters = 20'000}, test);
    fmt::print("{}\n{} parameters, mean squared error {:.4f} with inherited weights\n", small.genotype,
               small.parameters, small.accuracy);
    hwnas::fit(small.network, train, {.epochs = example::epochs(20), .task = measuring});
    fmt::print("{:.4f} after training it further; always saying the middle gives 0.38\n",
               hwnas::evaluate(small.network, test, measuring).metric);
} catch (const hwnas::Error& error) {
    return example::report(error);
}
