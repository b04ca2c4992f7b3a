// SPDX-License-Identifier: MIT
#include "family/searched.hpp"

namespace family_test {

using namespace hwnas;
using namespace hwnas::testing;

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
        CHECK_FALSE(ray.spearman > 0);  // NaN where the count never changes
    }
    CHECK(at_uniform == searched().architecture().rows());
    for (const auto& [primitive, spearman] : report.spearman) CHECK(spearman < -0.5);
    CHECK(searched().control(60, 11).distinct == report.distinct);

    // Counts that no S changes have no rank.
    const auto constant = detail::control_report(
        searched().architecture(), 5, 3, seed(1),
        [](const std::vector<Complexity>& points) { return std::vector<std::vector<int>>(points.size(), {0, 0, 1}); });
    for (const auto& ray : constant.rays) CHECK(std::isnan(ray.spearman));
    for (const auto& [primitive, spearman] : constant.spearman) CHECK(std::isnan(spearman));
    CHECK(constant.rays[0].counts == std::vector<int>{2, 2, 2});
    CHECK(constant.distinct == 1);
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

TEST_CASE("family: samples and sweeps", "[family]") {
    const auto& family = searched();
    const auto& space = family.supernet().space();
    const auto sample = family.sample(40, seed(3));
    REQUIRE(sample.size() == 40);
    for (const auto& member : sample) {
        CHECK(member.genotype == family.at(member.complexity));
        CHECK(member.genotype.choices(family.architecture()) == member.choices);
        CHECK(member.size.parameters == Network::network_size(space, member.genotype).parameters);
        CHECK(member.predicted_ms == family.latency()->predict(member.genotype));
        CHECK_FALSE(member.latency_weight);
        CHECK_FALSE(member.accuracy);
    }
    CHECK(family.sample(40, seed(3))[7].complexity == sample[7].complexity);
    CHECK(family.sample(40, seed(4))[7].complexity != sample[7].complexity);
    const auto sweep = family.sweep();
    std::set<std::vector<int>> distinct;
    for (const auto& member : sweep) distinct.insert(member.choices);
    CHECK(distinct.size() == sweep.size());
    CHECK(distinct.contains(family.choices(uniform_complexity(3))));
    for (int m = 0; m < 3; ++m) CHECK(distinct.contains(family.choices(penalised(3, m, 1))));
    CHECK(sweep.size() >= family.sweep({.samples = 100, .points = 5}).size());
    CHECK_THROWS_WITH(family.sample(-1), "family: a sample of -1 members; 0 or more are expected");
    CHECK_THROWS_WITH(family.sweep({.points = 0}), "family: a sweep of 4000 samples and 0 points; at least 0 and 1");
    CHECK_THROWS_WITH(
        family.at(uniform_complexity(3), 0.1),
        "family: it was searched at one latency weight (HyperNetOptions::latency_weight searches for all)");
}

}  // namespace family_test
