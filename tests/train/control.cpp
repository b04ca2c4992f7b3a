// SPDX-License-Identifier: MIT
// What a search learns: the task, and to follow S and the latency.
#include "train/tiny.hpp"

namespace train_control_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("trainer: a tiny search learns", "[train]") {
    for (const auto mode : modes) {
        INFO(search_mode_name(mode));
        std::vector<std::vector<double>> epochs;
        auto trainer =
            tiny_trainer(tiny_space(), test_device(1),
                         {.epochs = 6,
                          .batch = 32,
                          .mode = mode,
                          .learning_rate = 1e-2,
                          .complexity_weight = 0.1,
                          .latency_weight = 0,
                          .on_epoch = [&](const TrainingProgress& progress) { epochs.push_back(progress.metrics()); }});
        CHECK_FALSE(trainer.finished());
        trainer.fit(shades(512, 1, 10));
        REQUIRE(epochs.size() == 6);
        REQUIRE(epochs.back().size() == 5);
        CHECK(epochs.back()[1] > 0.45);  // every batch meets another architecture
        CHECK(epochs.back()[2] < 0.8 * epochs.front()[2]);
        CHECK(epochs.back()[4] == 0);  // no latency model
    }
}

TEST_CASE("trainer: the latency gradient reaches the hypernetwork", "[train]") {
    const auto space = tiny_space();
    auto table = made_up_table(space);
    for (auto& row : table.rows)
        row.median = row.unit.rfind("depthwise", 0) == 0 ? 1.0 : 0.01;  // convolutions are dear, identity is free
    for (const auto mode : modes)
        for (const bool on_sample : {false, true}) {
            INFO(search_mode_name(mode) << (on_sample ? ", on the sample" : ""));
            std::vector<double> milliseconds;
            auto trainer = tiny_trainer(
                space, test_device(1),
                {.epochs = 30,
                 .batch = 32,
                 .mode = mode,
                 .hyper_learning_rate = 1e-2,
                 .complexity_weight = 0,
                 .latency_weight = 1,
                 .costs_on_sample = on_sample,
                 .task = no_task(),
                 .on_epoch = [&](const TrainingProgress& progress) { milliseconds.push_back(progress.metrics()[4]); }},
                table);
            const auto family = trainer.fit(shades(64, 1, 10));
            CHECK(milliseconds.back() < 0.9 * milliseconds.front());
            const auto gamma = family.mixture(uniform_complexity(3));
            double conv = 0, identity = 0;
            for (std::size_t row = 0; row < 28; ++row) conv += gamma[row * 3] / 28, identity += gamma[row * 3 + 1] / 28;
            CHECK(conv < 0.25);
            CHECK(identity > 0.34);
        }
}

TEST_CASE("trainer: raising S_m lowers the count of m under each complexity cost", "[train]") {
    const auto check = [](const SearchSpace& space, TrainerOptions options, const Dataset& data) {
        INFO(search_mode_name(options.mode) << ", " << complexity_cost_name(options.complexity_cost));
        auto trainer = tiny_trainer(space, test_device(1), std::move(options), made_up_table(space));
        const auto family = trainer.fit(data);
        for (int m = 0; m < 3; ++m) {
            INFO(space.architecture().primitives[static_cast<std::size_t>(m)]);
            std::vector<double> penalty, count, share;  // share: the mean weight of m in the mixtures
            bool gone = false;                          // what is left of m below this is noise, and ranks nothing
            for (int i = 0; i <= 10; ++i) {
                const auto s = penalised(3, m, i / 10.0);
                const auto choices = family.choices(s);
                const auto gamma = family.mixture(s);
                double weight = 0;
                for (std::size_t row = 0; row < choices.size(); ++row)
                    weight += gamma[3 * row + static_cast<std::size_t>(m)] / static_cast<double>(choices.size());
                if (gone) {
                    CHECK(weight < 0.01);
                    continue;
                }
                gone = weight < 0.01;
                penalty.push_back(i);
                share.push_back(weight);
                count.push_back(static_cast<double>(std::count(choices.begin(), choices.end(), m)));
            }
            INFO(fmt::format("counts {}, shares {:.3f}", fmt::join(count, " "), fmt::join(share, " ")));
            CHECK(spearman(penalty, share) < -0.9);
            CHECK(share.front() > 2 * share.back());
            CHECK(count.front() >= 2);
            CHECK(count.back() <= std::max(1.0, count.front() / 4));
            CHECK(spearman(penalty, count) < -0.5);
        }
    };
    const auto data = shades(160, 1);
    TrainerOptions quick{
        .epochs = 60, .batch = 16, .hyper_learning_rate = 2e-2, .complexity_weight = 10, .latency_weight = 0};
    for (const auto mode : modes) {
        quick.mode = mode;
        check(smallest_space(), quick, data);
    }
    quick.mode = SearchMode::relaxed, quick.complexity_cost = ComplexityCost::latency;
    check(smallest_space(), quick, data);
    // Where the convolution alone has parameters it costs four times the others: more rows and the default pace.
    check(SearchSpace::pointwise({.image = {8, 8, 1}, .classes = 4, .channels = 2, .cells = 2}),
          {.epochs = 600, .batch = 16, .latency_weight = 0, .complexity_cost = ComplexityCost::parameters}, data);
}

}  // namespace train_control_test
