// SPDX-License-Identifier: MIT
#include "latency/space_table.hpp"
#include "support/modules.hpp"

#include <hwnas/hypernet/simplex.hpp>
#include <hwnas/space/relaxation.hpp>
#include <hwnas/train/objective.hpp>

namespace train_objective_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

double value_of(const std::vector<double>& weights, const Complexity& s, const std::vector<double>& costs,
                const Device& device) {
    const auto k = static_cast<std::int64_t>(s.size()), rows = static_cast<std::int64_t>(costs.size()) / k;
    return complexity_term(Variable<double>(Tensor<double>::from(weights, {1, rows, k}, device)),
                           Variable<double>(Tensor<double>::from(s, {k}, device)),
                           Variable<double>(Tensor<double>::from(costs, {rows, k}, device)))
        .value()
        .item();
}

}  // namespace

TEST_CASE("objective: complexity of a mixture", "[train]") {
    const auto device = test_device(1);
    const auto space = SearchSpace::separable({.nodes = 2});
    const auto& a = space.architecture();
    const auto costs = complexity_costs(a, ComplexityCost::count, nullptr);
    CHECK(costs == std::vector<double>(static_cast<std::size_t>(a.rows() * 3), 1.0));
    // (k / E) sum_e sum_m gamma S_m c: at uniform S it is 1 whatever gamma is, so that S alone steers.
    for (std::uint64_t trial = 0; trial < 5; ++trial)
        CHECK(std::abs(value_of(random_mixture<double>(1, a.rows(), 3, trial, device).to_vector(),
                                uniform_complexity(3), costs, device) -
                       1) < 1e-12);
    const auto choices = random_choices(a.rows(), 3, 4);
    const auto one_hot = Relaxation<double>::one_hot(choices, 3, device).gamma.value().to_vector();
    const double convs = static_cast<double>(std::count(choices.begin(), choices.end(), 0));
    CHECK(std::abs(value_of(one_hot, {1, 0, 0}, costs, device) - 3 * convs / a.rows()) < 1e-12);
    // Averaged over draws.
    const auto draws = random_mixture<double>(4, a.rows(), 3, 1, device);
    const auto s = Variable<double>(Tensor<double>::from(Complexity{0.2, 0.3, 0.5}, {3}, device));
    const auto c = Variable<double>(Tensor<double>::from(costs, {a.rows(), 3}, device));
    double mean = 0;
    for (std::int64_t g = 0; g < 4; ++g)
        mean += complexity_term(Variable<double>(draws.rows(g, 1)), s, c).value().item() / 4;
    CHECK(std::abs(complexity_term(Variable<double>(draws), s, c).value().item() - mean) < 1e-12);
    for (const double curvature : {0.0, 0.85, 1.0}) {
        const auto checked =
            gradcheck([&](const auto& in) { return complexity_term(in[0], s, c, curvature); }, {draws});
        INFO(checked.message);
        CHECK(checked.passed);
    }
}

TEST_CASE("objective: curvature makes a rarer primitive cheaper", "[train]") {
    const auto device = test_device(1);
    const std::vector<double> costs{1, 2, 0.5, 0.5, 1, 1}, weights{0.2, 0.3, 0.5, 0.6, 0.4, 0.0};  // two rows of three
    const Complexity s{0.5, 0.2, 0.3};
    const auto value = [&](const std::vector<double>& gamma, const std::vector<double>& c, double curvature) {
        return complexity_term(Variable<double>(Tensor<double>::from(gamma, {1, 2, 3}, device)),
                               Variable<double>(Tensor<double>::from(s, {3}, device)),
                               Variable<double>(Tensor<double>::from(c, {2, 3}, device)), curvature)
            .value()
            .item();
    };
    for (const double q : {0.0, 0.4, 1.0}) {
        double expected = 0;
        for (std::size_t m = 0; m < 3; ++m) {
            const double use = (weights[m] * costs[m] + weights[3 + m] * costs[3 + m]) / 2;
            expected += 3 * s[m] * ((1 - q) * use + q * 1.5 * use * use);
        }
        CHECK(std::abs(value(weights, costs, q) - expected) < 1e-12);
        // The slope at even use is the same for every q.
        const std::vector<double> even(6, 1.0 / 3), one(6, 1.0);
        auto more = even;
        more[0] += 1e-6, more[1] -= 1e-6;
        CHECK(std::abs((value(more, one, q) - value(even, one, q)) / 1e-6 - 3 * (s[0] - s[1]) / 2) < 1e-5);
    }
}

TEST_CASE("objective: costs by parameters and latency have mean 1 and no zeros", "[train]") {
    const auto space = SearchSpace::pointwise();
    const auto& a = space.architecture();
    const LatencyModel latency(space, made_up_table(space));
    for (const auto cost : {ComplexityCost::parameters, ComplexityCost::latency}) {
        INFO(complexity_cost_name(cost));
        const auto costs = complexity_costs(a, cost, &latency);
        REQUIRE(costs.size() == 84);
        double mean = 0;
        for (const double c : costs) mean += c / 84;
        CHECK(std::abs(mean - 1) < 1e-12);
        CHECK(*std::min_element(costs.begin(), costs.end()) >= 0.5);
    }
    const auto parameters = complexity_costs(a, ComplexityCost::parameters, nullptr);
    CHECK(parameters[1] == 0.5);                // identity
    CHECK(parameters[14 * 3] > parameters[0]);  // a conv of the wider reduction cells costs more
    const auto latencies = latency.row_costs();
    CHECK(std::abs((complexity_costs(a, ComplexityCost::latency, &latency)[0] - 0.5) /
                       (complexity_costs(a, ComplexityCost::latency, &latency)[2] - 0.5) -
                   latencies[0][0] / latencies[0][2]) < 1e-9);
    // Nothing has parameters: all choices cost the same.
    const auto bare = SearchSpace::custom("bare", {primitives::identity(), primitives::max_pool()});
    for (const double c : complexity_costs(bare.architecture(), ComplexityCost::parameters, nullptr)) CHECK(c == 1);
    CHECK_THROWS_WITH(complexity_costs(a, ComplexityCost::latency, nullptr),
                      "complexity cost: latency needs a LatencyModel");
    CHECK_THROWS_WITH(
        complexity_costs(SearchSpace::paper({.nodes = 2}).architecture(), ComplexityCost::latency, &latency),
        "complexity cost: 84 costs for 10 rows of 3 primitives");
    CHECK_THROWS_WITH(complexity_cost("sofa"), "complexity cost: \"sofa\" is unknown (count, parameters, latency)");
    for (const auto cost : {ComplexityCost::count, ComplexityCost::parameters, ComplexityCost::latency})
        CHECK(complexity_cost(complexity_cost_name(cost)) == cost);
}

}  // namespace train_objective_test
