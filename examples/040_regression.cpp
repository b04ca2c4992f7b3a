// SPDX-License-Identifier: MIT
// A task is two callables on (outputs, batch): here the search minimises a squared error on float targets, the place of
// a bright square in a noisy image. The data is made up, so this example needs no data set.
#include "short_run.hpp"

#include <hwnas/hwnas.hpp>

hwnas::Dataset squares(std::int64_t count, hwnas::Seed seed) {
    std::vector<float> images, places;
    const auto key = seed.stream("squares");
    for (std::int64_t n = 0; n < count; ++n) {
        const auto words = hwnas::random::words_at(key, 0, static_cast<std::uint64_t>(n));
        const int row = static_cast<int>(words.w[0] % 13), column = static_cast<int>(words.w[1] % 13);
        for (int i = 0; i < 16 * 16; ++i) {
            const bool inside = i / 16 >= row && i / 16 < row + 4 && i % 16 >= column && i % 16 < column + 4;
            images.push_back((inside ? 2.0f : 0.0f) + hwnas::random::uniform(hwnas::random::words_at(key, static_cast<std::uint64_t>(i) + 1, static_cast<std::uint64_t>(n)).w[0]));
        }
        places.push_back(static_cast<float>(row) / 6.0f - 1.0f), places.push_back(static_cast<float>(column) / 6.0f - 1.0f);
    }
    return hwnas::dataset_from_tensors(std::move(images), std::move(places), {.name = "squares", .image = {16, 16, 1}});
}

int main() try {
    const auto error = [](const auto& outputs, const auto& batch) {
        return hwnas::mean_squared_error(outputs, hwnas::Variable<float>(batch.targets));
    };
    const hwnas::Task place{.loss = error,
                            .metric = [error](const auto& outputs, const auto& batch) { return error(outputs.detach(), batch).value(); },
                            .metric_name = "squared error",
                            .higher_is_better = false};

    const auto device = hwnas::cpu::device({.threads = 2});
    const auto space = hwnas::SearchSpace::pointwise({.image = {16, 16, 1}, .classes = 2, .channels = 8});  // two outputs: row and column
    const auto train = squares(example::fast() ? 256 : 4'096, hwnas::seed(1)), test = squares(example::fast() ? 128 : 1'024, hwnas::seed(2));
    hwnas::SingleLevelTrainer trainer{hwnas::SuperNet{space, device, hwnas::seed(3)}, hwnas::HyperNet{space, device, hwnas::seed(3)}, std::nullopt,
                                      {.epochs = example::epochs(10), .latency_weight = 0, .task = place}};
    const hwnas::Family family = trainer.fit(train);
    hwnas::Choice small = family.best({.parameters = 20'000}, test);
    fmt::print("{}\n{} parameters, mean squared error {:.4f} with inherited weights\n", small.genotype, small.parameters, small.accuracy);
    hwnas::fit(small.network, train, {.epochs = example::epochs(20), .task = place});
    fmt::print("{:.4f} after training it further; always saying the middle gives 0.39\n", hwnas::evaluate(small.network, test, place).metric);
} catch (const hwnas::Error& error) {
    return example::report(error);
}
