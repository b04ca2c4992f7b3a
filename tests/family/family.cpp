// SPDX-License-Identifier: MIT
#include "train/tiny.hpp"

#include <hwnas/family/statistics.hpp>

using namespace hwnas;
using namespace hwnas::testing;
using Catch::Matchers::ContainsSubstring;

namespace {

/// One search for all tests here: 4 classes, penalties that matter.
const Family& searched() {
    static const Family family = [] {
        const auto space =
            SearchSpace::pointwise({.image = {8, 8, 1}, .classes = 4, .channels = 4, .cells = 2, .nodes = 2});
        auto trainer = tiny_trainer(
            space, test_device(1),
            {.epochs = 12, .batch = 32, .hyper_learning_rate = 1e-2, .complexity_weight = 3, .latency_weight = 0.05},
            made_up_table(space));
        return trainer.fit(shades(512, 1));
    }();
    return family;
}

}  // namespace

TEST_CASE("family: S gives architectures", "[family]") {
    const auto& family = searched();
    const auto& a = family.architecture();
    const auto gamma = family.mixture(uniform_complexity(3));
    REQUIRE(gamma.size() == static_cast<std::size_t>(a.rows() * 3));
    const auto choices = family.choices(uniform_complexity(3));
    for (std::size_t row = 0; row < static_cast<std::size_t>(a.rows()); ++row) {
        CHECK(std::abs(gamma[3 * row] + gamma[3 * row + 1] + gamma[3 * row + 2] - 1) < 1e-9);
        for (std::size_t m = 0; m < 3; ++m)
            CHECK(gamma[3 * row + m] <= gamma[3 * row + static_cast<std::size_t>(choices[row])]);
    }
    CHECK(family.at(uniform_complexity(3)).choices(a) == choices);
    CHECK(family.at(uniform_complexity(3)).space == "pointwise");
    CHECK_THROWS_WITH(family.at({1, 0}), "complexity: 2 entries for 3 primitives");
    const auto copy = family.clone();
    CHECK(copy.at({0.2, 0.3, 0.5}) == family.at({0.2, 0.3, 0.5}));
    CHECK(copy.mixture({0.2, 0.3, 0.5}) == family.mixture({0.2, 0.3, 0.5}));
}

TEST_CASE("family: control along rays and over random S", "[family]") {
    const auto report = searched().control(60, 11);
    REQUIRE(report.rays.size() == 3);
    CHECK(report.rays[0].primitive == "depthwise_conv_3x3");
    CHECK(report.samples == 60);
    CHECK(report.distinct >= 5);
    CHECK(report.distinct <= 60);
    int at_uniform = 0;
    for (const auto& ray : report.rays) {
        INFO(ray.primitive);
        REQUIRE(ray.counts.size() == 11);
        at_uniform += ray.counts.front();
        CHECK(ray.counts.back() <= 1);
        CHECK(ray.spearman <= 0);
    }
    CHECK(at_uniform == searched().architecture().rows());
    for (const auto& [primitive, spearman] : report.spearman) CHECK(spearman < -0.5);
    CHECK(searched().control(60, 11).distinct == report.distinct);
}

TEST_CASE("family: three accuracies, never mixed", "[family]") {
    const auto test = shades(300, 2);
    const auto accuracy = searched().accuracies(uniform_complexity(3), test);
    CHECK(accuracy.supernet > 0.7);
    CHECK(accuracy.recalibrated > 0.5);
    CHECK(accuracy.derived <= 1);
    const auto again = searched().accuracies(uniform_complexity(3), test);  // leaves nothing behind
    CHECK(again.supernet == accuracy.supernet);
    CHECK(again.derived == accuracy.derived);
    CHECK(again.recalibrated == accuracy.recalibrated);
}

TEST_CASE("family: the best within a budget", "[family]") {
    const auto& family = searched();
    const auto validation = shades(300, 3);
    auto any = family.best({}, validation, 4);
    CHECK(any.accuracy > 0.5);
    CHECK(any.parameters == any.network.state().parameter_count());
    CHECK(any.parameters == any.network.size().parameters);
    CHECK(any.macs == any.network.size().macs);
    CHECK(any.measured_ms > 0);
    CHECK(any.predicted_ms == family.latency()->predict(any.genotype));
    CHECK(any.genotype == family.at(any.complexity));
    CHECK(std::abs(evaluate(any.network, validation).metric - any.accuracy) <
          1e-6);  // what was scored is what is returned
    const auto smaller = family.best({.parameters = any.parameters - 1}, validation, 4);
    CHECK(smaller.parameters < any.parameters);
    const auto fewer = family.best({.macs = any.macs - 1}, validation, 4);
    CHECK(fewer.macs < any.macs);
    CHECK(family.best({.latency_ms = 1e6}, validation, 2).measured_ms < 1e6);
    // It is ready to be trained further, and the family stays as it was.
    const auto before = family.mixture(uniform_complexity(3));
    fit(any.network, shades(128, 1), {.epochs = 1, .batch = 32});
    CHECK(family.mixture(uniform_complexity(3)) == before);
    try {
        family.best({.parameters = 10}, validation);
        FAIL("a budget of 10 parameters was kept");
    } catch (const InfeasibleBudget& error) {
        CHECK_THAT(error.what(),
                   ContainsSubstring("best: no network of the family keeps 10 parameters; the nearest has "));
        CHECK(error.parameters ==
              BasicNetwork<float>::network_size(family.supernet().space(), error.smallest).parameters);
        CHECK(error.parameters > 10);
        // Nothing in the family is smaller.
        for (std::uint64_t i = 0; i < 50; ++i) {
            const auto other = family.at(random_complexity(3, seed(9).stream("others"), i));
            CHECK(BasicNetwork<float>::network_size(family.supernet().space(), other).parameters >= error.parameters);
        }
    }
    CHECK_THROWS_WITH(
        family.best({.latency_ms = 1e-9, .parameters = 5'000, .macs = 1'000'000}, validation),
        ContainsSubstring(
            "best: no network of the family keeps 1e-09 ms, 5000 parameters, 1000000 MACs; the nearest has "));
    // The limit in the way decides which network is shown.
    const auto nearest = [&](const Budget& budget) {
        try {
            family.best(budget, validation, 2);
        } catch (const InfeasibleBudget& error) {
            return error;
        }
        throw std::logic_error("the budget was kept");
    };
    double least_ms = HUGE_VAL;
    std::int64_t least_macs = std::numeric_limits<std::int64_t>::max();
    for (std::uint64_t i = 0; i < 50; ++i) {
        const auto other = family.at(random_complexity(3, seed(9).stream("others"), i));
        least_ms = std::min(least_ms, family.latency()->predict(other));
        least_macs = std::min(least_macs, BasicNetwork<float>::network_size(family.supernet().space(), other).macs);
    }
    const auto slow = nearest({.latency_ms = 1e-9});
    CHECK(slow.latency_ms <= least_ms);
    CHECK(slow.latency_ms == family.latency()->predict(slow.smallest));
    CHECK(nearest({.macs = 1}).macs <= least_macs);
    const auto untimed = BasicFamily<SuperNet>(
        family.supernet().clone(), family.hypernet().clone(), std::nullopt,
        std::make_shared<DeviceDataset>(DeviceDataset::upload(validation, family.supernet().device())),
        classification<float>());
    CHECK_THROWS_WITH(untimed.best({.latency_ms = 1}, validation),
                      "best: a latency budget needs a family searched with a LatencyModel");
    CHECK(untimed.best({}, validation, 2).measured_ms == 0);
    CHECK_THROWS_WITH(untimed.best({.parameters = 10}, validation),
                      ContainsSubstring("keeps 10 parameters; the nearest has ") && !ContainsSubstring(" ms"));
    CHECK_THROWS_WITH(family.best({}, validation, 0), "best: 0 candidates");
    CHECK_THROWS_WITH(family.control(10, 1), "control: 10 samples, 1 points; at least 0 and 2");
}

TEST_CASE("statistics: ranks and Spearman", "[family]") {
    CHECK(ranks({3, 1, 2}) == std::vector<double>{3, 1, 2});
    CHECK(ranks({1, 2, 2, 5}) == std::vector<double>{1, 2.5, 2.5, 4});
    CHECK(std::abs(spearman({1, 2, 3, 4}, {10, 20, 30, 1000}) - 1) < 1e-12);
    CHECK(std::abs(spearman({1, 2, 3, 4}, {4, 3, 2, 1}) + 1) < 1e-12);
    CHECK(std::abs(spearman({1, 2, 3, 4, 5}, {2, 1, 4, 3, 5}) - 0.8) < 1e-12);
    CHECK(spearman({1, 2, 3}, {7, 7, 7}) == 0);
}
