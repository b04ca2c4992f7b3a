// SPDX-License-Identifier: MIT
#include "support/modules.hpp"

#include <hwnas/autodiff/backward.hpp>
#include <hwnas/hypernet/hypernet.hpp>

namespace hypernet_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

const HyperNetOptions forms[] = {{.form = HyperNetForm::mlp, .hidden = 8},
                                 {.form = HyperNetForm::pivots, .pivots = 5, .bandwidth = 0.3}};
Tensor<double> tensor_of(const Complexity& s, const Device& device) {
    return Tensor<double>::from(s, {static_cast<std::int64_t>(s.size())}, device);
}

}  // namespace

TEST_CASE("hypernet: gradients of both forms", "[hypernet]") {
    const auto device = test_device(1);
    for (const auto& options : forms) {
        const BasicHyperNet<double> net(4, 3, device, seed(1), options);
        std::vector<Variable<double>> leaves;
        std::uint64_t i = 0;
        for (const auto& p : net.state().parameters) {
            if (p.name != "pivots")
                p.variable.value().assign(random_tensor<double>(p.variable.shape(), ++i, device).to_vector());
            leaves.push_back(p.variable);
        }
        const auto s = Variable<double>::leaf(tensor_of({0.2, 0.5, 0.3}, device));
        leaves.push_back(s);
        CHECK(difference_error([&] { return net.forward(s); }, leaves) < 1e-6);
        CHECK(net.forward(s).shape() == Shape{4, 3});
    }
}

TEST_CASE("hypernet: starts near uniform and knows S", "[hypernet]") {
    const auto device = test_device();
    for (const auto form : {HyperNetForm::mlp, HyperNetForm::pivots}) {
        const HyperNet net(28, 3, device, seed(42), {.form = form});
        for (int m = 0; m < 3; ++m) {
            const auto alpha = net.logits(penalised(3, m, 1.0));
            REQUIRE(alpha.size() == 84);
            for (const double x : alpha) CHECK(std::abs(x) < 0.1);  // softmax within 3 % of uniform
        }
        CHECK(net.logits(penalised(3, 0, 0.9)) != net.logits(penalised(3, 1, 0.9)));  // order matters
        CHECK(net.logits({0.9, 0.05, 0.05}) == net.logits(penalised(3, 0, 0.9)));
        CHECK(HyperNet(28, 3, device, seed(42), {.form = form}).logits({0.2, 0.3, 0.5}) == net.logits({0.2, 0.3, 0.5}));
        CHECK(HyperNet(28, 3, device, seed(43), {.form = form}).logits({0.2, 0.3, 0.5}) != net.logits({0.2, 0.3, 0.5}));
    }
    const auto space = SearchSpace::paper();
    CHECK(HyperNet(space, device).rows() == 28);
    CHECK(HyperNet(space.architecture(), device).k() == 3);
    // The hypernetwork of torch_supernet.py: 3 - 64 - 64 - 84.
    CHECK(HyperNet(space, device).state().parameter_count() == 9'876);
}

TEST_CASE("hypernet: conditioned on the latency weight too", "[hypernet]") {
    const auto device = test_device(1);
    for (auto options : forms) {
        options.latency_weight = true;
        const BasicHyperNet<double> net(4, 3, device, seed(1), options);
        std::vector<Variable<double>> leaves;
        std::uint64_t i = 0;
        for (const auto& p : net.state().parameters) {
            if (p.name != "pivots")
                p.variable.value().assign(random_tensor<double>(p.variable.shape(), ++i, device).to_vector());
            leaves.push_back(p.variable);
        }
        const auto s = Variable<double>::leaf(tensor_of({0.2, 0.5, 0.3}, device));
        const auto weight = Variable<double>::leaf(tensor_of({0.4}, device));
        leaves.push_back(s), leaves.push_back(weight);
        CHECK(difference_error([&] { return net.forward(s, weight); }, leaves) < 1e-6);
        CHECK(net.logits({0.2, 0.5, 0.3}, 0.1) != net.logits({0.2, 0.5, 0.3}, 0.9));
        CHECK(net.logits({0.2, 0.5, 0.3}) == net.logits({0.2, 0.5, 0.3}, 0.5));
        CHECK(net.clone().logits({0.2, 0.5, 0.3}, 0.1) == net.logits({0.2, 0.5, 0.3}, 0.1));
        CHECK_THROWS_WITH(net.forward(s),
                          "hypernet: a latency weight is missing, the condition has one "
                          "(HyperNetOptions::latency_weight is true)");
        CHECK_THROWS_WITH(net.forward(s, s), "hypernet: latency weight of shape [3], expected [1]");
        CHECK_THROWS_WITH(net.logits({0.2, 0.5, 0.3}, 1.5),
                          "hypernet: latency weight 1.5 of its largest value is outside 0 to 1");
        options.latency_weight = false;
        CHECK_THROWS_WITH(BasicHyperNet<double>(4, 3, device, seed(1), options).forward(s, weight),
                          "hypernet: a latency weight is given, but nothing depends on it "
                          "(HyperNetOptions::latency_weight is false)");
    }
}

TEST_CASE("hypernet: many conditions at once have the bits of each alone", "[hypernet]") {
    for (const auto isa : {cpu::best_isa(), cpu::Isa::portable})
        for (const bool weighted : {false, true})
            for (auto options : {HyperNetOptions{}, HyperNetOptions{.form = HyperNetForm::pivots}}) {
                options.latency_weight = weighted;
                const HyperNet net(28, 3, test_device(2, isa), seed(42), options);
                std::vector<Condition> conditions;
                std::vector<double> alone;
                for (std::uint64_t i = 0; i < 1'100; ++i) {
                    conditions.push_back(
                        {random_complexity(3, seed(1).stream("many"), i), static_cast<double>(i % 11) / 10});
                    if (i % 50) continue;
                    const auto alpha = net.logits(conditions.back().s, conditions.back().weight);
                    alone.insert(alone.end(), alpha.begin(), alpha.end());
                }
                const auto all = net.logits(conditions);
                REQUIRE(all.size() == 1'100 * 84);
                std::vector<double> among;
                for (std::size_t i = 0; i < 1'100; i += 50)
                    among.insert(among.end(), all.begin() + static_cast<std::ptrdiff_t>(i * 84),
                                 all.begin() + static_cast<std::ptrdiff_t>((i + 1) * 84));
                CHECK(relative_error(among, alone) < 1e-6);  // few rows are added up in another order
                CHECK(net.logits(std::vector<Condition>{}).empty());
            }
}

TEST_CASE("hypernet: the nearest pivot wins", "[hypernet]") {
    const auto device = test_device(1);
    const BasicHyperNet<double> net(1, 3, device, seed(1),
                                    {.form = HyperNetForm::pivots, .pivots = 3, .bandwidth = 0.05});
    const auto state = net.state();
    REQUIRE(state.parameters.size() == 2);
    state.parameters[0].variable.value().assign(std::vector<double>{1, 0, 0, 0, 1, 0, 0, 0, 1});  // the vertices
    state.parameters[1].variable.value().assign(
        std::vector<double>{1, 0, 0, 0, 2, 0, 0, 0, 3});  // table: which pivot speaks
    for (int m = 0; m < 3; ++m) {
        const auto alpha = net.logits(penalised(3, m, 0.9));
        for (int other = 0; other < 3; ++other)
            CHECK(std::abs(alpha[static_cast<std::size_t>(other)] - (other == m ? m + 1 : 0)) < 1e-6);
    }
    const auto middle = net.logits(uniform_complexity(3));
    CHECK(std::abs(middle[0] - 1.0 / 3) < 1e-9);
    CHECK(std::abs(middle[2] - 1.0) < 1e-9);
}

TEST_CASE("hypernet: clones and refusals", "[hypernet]") {
    const auto device = test_device(1);
    for (const auto& options : forms) {
        const HyperNet net(4, 3, device, seed(1), options);
        const auto copy = net.clone();
        const auto before = net.logits({0.2, 0.3, 0.5});
        CHECK(copy.logits({0.2, 0.3, 0.5}) == before);
        for (const auto& p : net.state().parameters) p.variable.value().assign(0.25f);
        CHECK(copy.logits({0.2, 0.3, 0.5}) == before);
        CHECK(net.clone().logits({0.2, 0.3, 0.5}) == net.logits({0.2, 0.3, 0.5}));
        CHECK_THROWS_WITH(net.logits({0.5, 0.5}), "complexity: 2 entries for 3 primitives");
        CHECK_THROWS_WITH(net.forward(Variable<float>(random_tensor<float>({2}, 1, device))),
                          "hypernet: complexity vector of shape [2], expected [3]");
    }
    CHECK_THROWS_WITH(HyperNet(0, 3, device), "hypernet: 0 rows of 3 primitives");
    CHECK_THROWS_WITH(HyperNet(1, 3, device, {}, {.hidden = 0}), "hypernet: 0 hidden units");
    CHECK_THROWS_WITH(HyperNet(1, 3, device, {}, {.form = HyperNetForm::pivots, .pivots = 0}), "hypernet: 0 pivots");
    CHECK_THROWS_WITH(HyperNet(1, 3, device, {}, {.form = HyperNetForm::pivots, .bandwidth = 0}),
                      "hypernet: bandwidth 0 is not above 0");
}

TEST_CASE("simplex: profiles, rays and random points", "[hypernet]") {
    CHECK(uniform_complexity(4) == Complexity{0.25, 0.25, 0.25, 0.25});
    const auto b = penalised(3, 0, 0.7);
    CHECK(std::abs(b[1] - 0.15) < 1e-12);
    CHECK(b[1] == b[2]);
    CHECK(penalised(1, 0, 0.7) == Complexity{1.0});
    CHECK(on_ray(3, 2, 0) == uniform_complexity(3));
    CHECK(on_ray(3, 2, 1) == Complexity{0, 0, 1});
    std::vector<double> mean(3, 0.0);
    double square = 0;
    for (std::uint64_t i = 0; i < 4'000; ++i) {
        const auto s = random_complexity(3, seed(1).stream("points"), i);
        check_complexity(s, 3);
        for (std::size_t m = 0; m < 3; ++m) mean[m] += s[m] / 4'000;
        square += s[0] * s[0] / 4'000;
    }
    for (const double m : mean) CHECK(std::abs(m - 1.0 / 3) < 0.02);
    CHECK(std::abs(square - 1.0 / 6) < 0.01);  // E[S_m^2] = 2 / (k (k + 1))
    CHECK(random_complexity(3, seed(1).stream("points"), 5) == random_complexity(3, seed(1).stream("points"), 5));
    CHECK_THROWS_WITH(penalised(3, 3, 0.7), "complexity: primitive 3 of 3");
    CHECK_THROWS_WITH(penalised(3, 0, 1.5), "complexity: weight 1.5 is outside 0 to 1");
    CHECK_THROWS_WITH(on_ray(3, -1, 0.5), "complexity: primitive -1 of 3");
    CHECK_THROWS_WITH(on_ray(3, 0, -0.5), "complexity: point -0.5 of a ray is outside 0 to 1");
    CHECK_THROWS_WITH(check_complexity({0.5, 0.6, -0.1}, 3), "complexity: entry -0.1 is outside 0 to 1");
    CHECK_THROWS_WITH(check_complexity({0.5, 0.6, 0.1}, 3),
                      Catch::Matchers::ContainsSubstring("complexity: entries sum to 1.2"));
    CHECK_THROWS_WITH(check_complexity({std::nan(""), 0.6, 0.4}, 3), "complexity: entry nan is outside 0 to 1");
}

}  // namespace hypernet_test
