// SPDX-License-Identifier: MIT
// LatencyModel: predictions against a plain count of what a prepared network runs, expectation against enumeration.
#include <hwnas/autodiff/program.hpp>
#include <hwnas/latency/model.hpp>
#include <hwnas/supernet/prepared.hpp>

#include <set>

#include "latency/space_table.hpp"
#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace latency_model_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

/// A bare convolution of the user's own, and a pool of theirs.
SpaceOptions with_own_primitives(SpaceOptions options) {
    options.additional.push_back(primitives::depthwise_conv(5));
    options.additional.push_back(Primitive(
        "mean_3x3", [](const Site&) { return PrimitiveState{}; },
        [](const auto& x, const auto&, const Site& site, Phase) {
            return average_pool(x, {.kernel = 3, .stride = site.stride, .padding = 1});
        }));
    return options;
}

std::vector<SearchSpace> spaces() {
    std::vector<SearchSpace> all;
    for (const auto sharing : {RowSharing::kind, RowSharing::all, RowSharing::none})
        for (const char* name : {"paper", "pointwise", "separable"})
            all.push_back(
                SearchSpace::named(name, {.image = {8, 8, 1}, .channels = 4, .nodes = 3, .sharing = sharing}));
    all.push_back(
        SearchSpace::pointwise(with_own_primitives({.image = {9, 7, 2}, .channels = 2, .cells = 2, .nodes = 2})));
    all.push_back(SearchSpace::separable({.image = {8, 8, 1}, .channels = 4, .cells = 2, .nodes = 1}));
    return all;
}

/// The rows a genotype uses, cell by cell, edge by edge.
double counted(const SearchSpace& space, const LatencyTable& table, const Genotype& genotype) {
    const auto units = hwnas::detail::space_units(space, table.batch);
    const auto time = [&](const hwnas::detail::LatencyUnit& unit) {
        return table.at(unit.unit, unit.input, unit.stride).median;
    };
    double total = time(units.stem) + time(units.head);
    for (int i = 0; i < space.cells(); ++i) {
        const auto options = space.cell_options(i, &genotype);
        const auto& cell = units.cells[static_cast<std::size_t>(i)];
        for (const auto& input : cell.inputs) total += time(input);
        std::set<std::pair<int, int>> pooled;
        std::set<int> mixed;
        for (std::size_t e = 0; e < cell.edges.size(); ++e) {
            const int m = (*options.choices)[e];
            const auto& unit = cell.edges[e][static_cast<std::size_t>(m)];
            if (unit.cost == hwnas::detail::EdgeCost::own) total += time(unit.unit);
            const auto [from, to] = options.graph.edges[e];
            if (unit.cost == hwnas::detail::EdgeCost::shared && pooled.insert({from, m}).second)
                total += time(unit.unit);
            const bool convolves = options.primitives[static_cast<std::size_t>(m)].traits().convolution;
            if (convolves && cell.transform && mixed.insert(to).second) total += time(*cell.transform);
        }
        for (const auto& sum : cell.sums)
            if (sum) total += time(*sum);
    }
    return total;
}

Variable<double> constant_gamma(const std::vector<double>& values, std::int64_t groups, const Architecture& a,
                                const Device& device) {
    return Variable<double>(Tensor<double>::from(values, {groups, a.rows(), a.k()}, device));
}

}  // namespace

TEST_CASE("predict and one-hot expected agree with a count of units, in every space", "[latency]") {
    const auto device = test_device();
    for (const auto& space : spaces()) {
        CAPTURE(space.name(), space.cells(), space.architecture().rows());
        const LatencyModel model(space, made_up_table(space, 3));
        const auto& a = space.architecture();
        for (int i = 0; i < 8; ++i) {
            const auto choices =
                i < a.k() ? std::vector<int>(static_cast<std::size_t>(a.rows()), i) : random_choices(a, i);
            const auto genotype = Genotype::from_choices(a, choices);
            const double predicted = model.predict(genotype);
            CHECK_THAT(predicted, Catch::Matchers::WithinRel(counted(space, model.table(), genotype), 1e-12));
            const auto gamma = Relaxation<double>::one_hot(choices, a.k(), device).gamma;
            CHECK(std::abs(model.expected(gamma).value().item() - predicted) <= 1e-9);
            const auto single = Relaxation<float>::one_hot(choices, a.k(), device).gamma;
            CHECK_THAT(static_cast<double>(model.expected(single).value().item()),
                       Catch::Matchers::WithinRel(predicted, 1e-5));
        }
    }
}

TEST_CASE("the units of a space are those its prepared networks run", "[latency]") {
    const auto device = test_device(1);
    const auto space = SearchSpace::pointwise({.image = {8, 8, 1}, .channels = 4, .cells = 2, .nodes = 2});
    const auto& a = space.architecture();
    // All pools: stem, head, 4 inputs, 4 sums, and one pool for each of the 3 vertices with an edge, in 2
    // cells.
    const auto all = [&](const char* primitive) {
        return Genotype::from_choices(a, std::vector<int>(static_cast<std::size_t>(a.rows()), a.index(primitive)));
    };
    const Prepared pools(Network(space, all("max_pool_3x3"), device));
    std::size_t pooled = 0;
    for (std::size_t i = 0; i < pools.program().size(); ++i)
        pooled += std::string(pools.program().kernel(i)) == "max_pool_forward";
    CHECK(pooled == 6);
    const LatencyModel model(space, made_up_table(space));
    double firsts = 0;
    for (const auto& extents : {std::vector<std::int64_t>{1, 8, 8, 4}, std::vector<std::int64_t>{1, 4, 4, 8}})
        firsts += 3 * model.table().at("max_pool_3x3/first", extents, 1).median;
    CHECK_THAT(model.predict(all("max_pool_3x3")) - model.fixed(), Catch::Matchers::WithinRel(firsts, 1e-12));
    CHECK_THAT(model.predict(all("identity")), Catch::Matchers::WithinRel(model.fixed(), 1e-12));
}

TEST_CASE("expected is the mean over all networks drawn edge by edge", "[latency]") {
    const auto device = test_device();
    for (const char* name : {"pointwise", "separable"}) {
        CAPTURE(name);
        const auto space = SearchSpace::named(
            name, {.image = {4, 4, 1}, .channels = 2, .cells = 2, .nodes = 2, .sharing = RowSharing::all});
        const auto& a = space.architecture();
        const LatencyModel model(space, made_up_table(space));
        const auto rows = static_cast<std::size_t>(a.rows()), k = static_cast<std::size_t>(a.k());
        auto gamma = random_values<double>(a.rows() * a.k(), 5, 0.1, 1.0);
        for (std::size_t row = 0; row < rows; ++row) {
            double sum = 0;
            for (std::size_t m = 0; m < k; ++m) sum += gamma[row * k + m];
            for (std::size_t m = 0; m < k; ++m) gamma[row * k + m] /= sum;
        }
        double mean = 0, uniform = 0;
        std::vector<int> choices(rows, 0);
        for (;;) {
            double chance = 1;
            for (std::size_t row = 0; row < rows; ++row)
                chance *= gamma[row * k + static_cast<std::size_t>(choices[row])];
            const double time = model.predict(Genotype::from_choices(a, choices));
            mean += chance * time;
            uniform += time / std::pow(static_cast<double>(k), static_cast<double>(rows));
            std::size_t row = 0;
            while (row < rows && ++choices[row] == static_cast<int>(k)) choices[row++] = 0;
            if (row == rows) break;
        }
        CHECK_THAT(model.expected(constant_gamma(gamma, 1, a, device)).value().item(),
                   Catch::Matchers::WithinRel(mean, 1e-12));
        CHECK_THAT(model.reference(), Catch::Matchers::WithinRel(uniform, 1e-12));
        const std::vector<double> even(rows * k, 1.0 / static_cast<double>(k));
        CHECK_THAT(model.expected(constant_gamma(even, 1, a, device)).value().item(),
                   Catch::Matchers::WithinRel(uniform, 1e-12));
        const auto costs = model.row_costs();
        REQUIRE(costs.size() == rows);
        double total = model.fixed();
        for (const auto& row : costs)
            for (const double x : row) total += x / static_cast<double>(k);
        CHECK_THAT(total, Catch::Matchers::WithinRel(uniform, 1e-12));
        for (const auto& row : costs) {
            CHECK(row[static_cast<std::size_t>(a.index("max_pool_3x3"))] > 0);
            CHECK(row[0] > 0);
        }
    }
}

TEST_CASE("expected averages over draws", "[latency]") {
    const auto device = test_device();
    const auto space = SearchSpace::pointwise({.image = {8, 8, 1}, .channels = 4, .nodes = 3});
    const auto& a = space.architecture();
    const LatencyModel model(space, made_up_table(space));
    const std::size_t size = static_cast<std::size_t>(a.rows() * a.k());
    const auto values = random_values<double>(5 * a.rows() * a.k(), 8, 0.0, 0.5);
    double mean = 0;
    for (std::size_t g = 0; g < 5; ++g) {
        const auto begin = values.begin() + static_cast<std::ptrdiff_t>(g * size);
        mean += model.expected(constant_gamma({begin, begin + static_cast<std::ptrdiff_t>(size)}, 1, a, device))
                    .value()
                    .item() /
                5;
    }
    const auto all = model.expected(constant_gamma(values, 5, a, device));
    CHECK(all.shape() == Shape{});
    CHECK_THAT(all.value().item(), Catch::Matchers::WithinRel(mean, 1e-12));
}

TEST_CASE("expected's gradient agrees with finite differences", "[latency][gradcheck]") {
    const auto device = test_device();
    for (const auto& space : spaces()) {
        CAPTURE(space.name(), space.architecture().rows());
        const LatencyModel model(space, made_up_table(space));
        const std::int64_t groups = space.name() == "separable" ? 1 : 2;
        const auto gamma = random_tensor<double>({groups, space.architecture().rows(), space.architecture().k()}, 3,
                                                 device, 0.05, 0.6);
        const auto result = gradcheck([&](const auto& v) { return model.expected(v[0]); }, {gamma});
        INFO(result.message);
        CHECK(result.passed);
    }
}

TEST_CASE("expected inside a recorded step repeats the eager value and gradient", "[latency]") {
    const auto device = test_device();
    const auto space = SearchSpace::pointwise({.image = {8, 8, 1}, .channels = 4, .cells = 2});
    const auto& a = space.architecture();
    const LatencyModel model(space, made_up_table(space));
    const auto values = random_tensor<float>({1, a.rows(), a.k()}, 3, device, 0.05, 0.6);
    const auto eager_gamma = Variable<float>::leaf(values.clone());
    const auto eager = model.expected(eager_gamma);
    backward(eager);
    const auto gamma = Variable<float>::leaf(values.clone());
    gamma.set_grad(Tensor<float>::full(values.shape(), 0.0f, device));
    Tensor<float> out;
    const auto program = Program::record(device, [&] {
        const auto total = model.expected(gamma);
        out = total.value();
        backward(total);
    });
    for (int run = 0; run < 2; ++run) {
        gamma.grad().assign(0.0f);
        program.run();
        CHECK(out.item() == eager.value().item());
        CHECK(gamma.grad().to_vector() == eager_gamma.grad().to_vector());
    }
    CHECK(program.size() < 40);
}

TEST_CASE("a latency model refuses tables and mixtures that do not fit", "[latency]") {
    const auto space = SearchSpace::pointwise({.image = {8, 8, 1}, .channels = 4});
    auto table = made_up_table(space);
    const LatencyModel model(space, table);
    CHECK(model.table() == table);
    const auto device = test_device();
    CHECK_THROWS_WITH(model.expected(Variable<float>(Tensor<float>::full({1, 28, 4}, 0.1f, device))),
                      "latency model: gamma has shape [1, 28, 4], expected [G, 28, 3]");
    CHECK_THROWS_WITH(model.expected(Variable<float>(Tensor<float>::full({28, 3}, 0.1f, device))),
                      "latency model: gamma has shape [28, 3], expected [G, 28, 3]");
    CHECK_THROWS_WITH(model.expected(Variable<float>()), "latency model: gamma has no value");
    CHECK_THROWS_WITH(
        LatencyModel(SearchSpace::separable({.image = {8, 8, 1}, .channels = 4}), table),
        Catch::Matchers::ContainsSubstring("latency table: no row for separable_conv_3x3 [1, 8, 8, 4] stride 1 among"));
    CHECK_THROWS_WITH(LatencyModel(space.with_channels(8), table),
                      Catch::Matchers::ContainsSubstring("latency table: no row for network/stem_to_8 [1, 8, 8, 1]"));
    const auto with = [&](auto change) {
        auto other = table;
        change(other);
        return LatencyModel(space, other);
    };
    CHECK_THROWS_WITH(with([](auto& t) { t.dtype = "int8"; }),
                      "latency model: the table holds times of \"int8\" networks, \"float32\" is expected");
    CHECK_THROWS_WITH(with([](auto& t) { t.batch = 0; }),
                      "latency model: the table holds times at batch 0, at least 1 is expected");
    CHECK_THROWS_WITH(with([](auto& t) { t.threads = 0; }),
                      "latency model: the table holds times on 0 threads, at least 1 is expected");
    CHECK_THROWS_WITH(with([](auto& t) { t.batch = 2; }),
                      Catch::Matchers::ContainsSubstring("no row for network/stem_to_4 [2, 8, 8, 1] stride 1 among"));
    CHECK_THROWS_WITH(with([](auto& t) { t.rows[0].median = -1; }),
                      "latency model: network/stem_to_4 [1, 8, 8, 1] stride 1 takes -1 ms in the table");
    CHECK_THROWS_WITH(with([](auto& t) { t.rows.pop_back(); }),
                      Catch::Matchers::ContainsSubstring("latency table: no row for "));
}

}  // namespace latency_model_test
