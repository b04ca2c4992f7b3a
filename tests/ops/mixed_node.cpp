// SPDX-License-Identifier: MIT
// The fused node against the same sum op by op.
#include <hwnas/ops/depthwise_conv.hpp>
#include <hwnas/ops/max_pool.hpp>
#include <hwnas/ops/mixed_node.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/weighted_sum.hpp>

#include "support/window_ops.hpp"

namespace ops_mixed_node_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

/// Two vertices feed two nodes, the first node feeds the second: five edges of convolution, identity and pool.
/// Inputs: x0, x1, gamma [G, 15], five filters.
struct Graph {
    std::optional<MixedSchedule> schedule;  ///< none: op by op
    template <class T>
    Variable<T> operator()(const std::vector<Variable<T>>& v) const {
        const int from[] = {0, 1, 0, 1, 2}, to[] = {2, 2, 3, 3, 3};
        std::vector<Variable<T>> vertices{v[0], v[1]};
        const auto& gamma = v[2];
        std::vector<FilterTerm<T>> terms;
        for (int e = 0; e < 5; ++e)
            terms.push_back({e, 3 * e, v[3 + static_cast<std::size_t>(e)]}), terms.push_back({e, 3 * e + 1, {}});
        const auto filters = merged_filters(terms, gamma, 5, v[0].shape()[3]);
        std::vector<MixedEdge> edges;
        for (int e = 0; e < 5; ++e) edges.push_back({from[e], to[e], 3 * e + 2});
        const bool fused = schedule.has_value();
        MixedNodes<T> mixed(edges, filters, gamma, schedule);
        for (int i = 0; i < 2 && fused; ++i) mixed.push(i, vertices[static_cast<std::size_t>(i)]);
        for (int node = 2; node < 4; ++node) {
            std::vector<Variable<T>> xs;
            std::vector<int> columns;
            for (int e = 0; e < 5 && !fused; ++e) {
                if (to[e] != node) continue;
                const auto& x = vertices[static_cast<std::size_t>(from[e])];
                for (int m = 0; m < 3; ++m) {
                    xs.push_back(m == 0   ? depthwise_conv(x, v[3 + static_cast<std::size_t>(e)])
                                 : m == 1 ? x
                                          : max_pool(x));
                    columns.push_back(3 * e + m);
                }
            }
            vertices.push_back(fused ? mixed.sum(node) : weighted_sum(xs, gamma, columns));
            if (fused) mixed.push(node, vertices.back());
        }
        return add(vertices[3], scale(vertices[2], 0.5));
    }
};
constexpr MixedSchedule schedules[] = {MixedSchedule::by_source, MixedSchedule::by_node};
struct Case {
    Shape x;
    std::int64_t groups;
    std::vector<std::vector<double>> inputs() const {
        std::vector<std::vector<double>> values{random_values<double>(x.elements(), 1),
                                                random_values<double>(x.elements(), 2),
                                                random_values<double>(groups * 15, 3, 0, 1)};
        for (std::uint64_t e = 0; e < 5; ++e) values.push_back(random_values<double>(9 * x[3], 10 + e));
        return values;
    }
    std::vector<Shape> shapes() const {
        std::vector<Shape> all{x, x, {groups, 15}};
        for (int e = 0; e < 5; ++e) all.push_back({3, 3, x[3]});
        return all;
    }
};

}  // namespace

TEST_CASE("mixed_node and its gradients equal the sum op by op", "[ops]") {
    const Case cases[] = {{{2, 2, 2, 1}, 1},   {{3, 5, 4, 3}, 1},  {{2, 7, 7, 12}, 1},    {{3, 8, 9, 8}, 3},
                          {{2, 9, 14, 17}, 2}, {{2, 6, 15, 4}, 1}, {{40, 28, 28, 16}, 1}, {{2, 2, 11, 20}, 1}};
    for (const auto& c : cases) {
        INFO(fmt::format("{}, {} draws", c.x, c.groups));
        const auto inputs = c.inputs();
        const auto expected = run_op<double>(Graph{}, inputs, c.shapes(), test_device(1));
        for (const auto schedule : schedules) check_op(Graph{schedule}, inputs, c.shapes(), expected);
    }
}

TEST_CASE("mixed_node: one-hot gamma, and edges that are nothing", "[ops]") {
    Case c{{2, 7, 6, 8}, 1};
    auto inputs = c.inputs();
    // convolution, identity, pool, nothing at all, convolution
    inputs[2] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0};
    const auto expected = run_op<double>(Graph{}, inputs, c.shapes(), test_device(1));
    for (const auto schedule : schedules) check_op(Graph{schedule}, inputs, c.shapes(), expected);
}

TEST_CASE("mixed_node gradients agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    for (const std::int64_t groups : {1, 2}) {
        std::vector<Tensor<double>> inputs{distinct_tensor<double>({2, 3, 4, 2}, 1, device, 0.02),
                                           distinct_tensor<double>({2, 3, 4, 2}, 2, device, 0.02),
                                           random_tensor<double>({groups, 15}, 3, device, 0.1, 1)};
        for (std::uint64_t e = 0; e < 5; ++e) inputs.push_back(random_tensor<double>({3, 3, 2}, 10 + e, device));
        for (const auto schedule : schedules) {
            const auto result = gradcheck(Graph{schedule}, inputs);
            INFO(result.message);
            CHECK(result.passed);
        }
    }
}

TEST_CASE("mixed_node: two uses add up, a recorded step repeats", "[ops]") {
    const Case c{{4, 9, 7, 12}, 1};
    const auto inputs = c.inputs();
    const auto shapes = c.shapes();
    const auto device = test_device(2);
    for (const auto schedule : schedules) {
        const auto once = run_op<float>(Graph{schedule}, inputs, shapes, device),
                   twice = run_op<float>(Graph{schedule}, inputs, shapes, device, 2);
        for (std::size_t i = 0; i < inputs.size(); ++i) {  // sums in another order: not the same bits
            auto doubled = once.gradients[i];
            for (float& x : doubled) x *= 2;
            CHECK(relative_error(twice.gradients[i], doubled) <= 1e-6);
        }
        CHECK(run_op<float>(Graph{schedule}, inputs, shapes, device, 1, true) == once);
        CHECK(run_op<float>(Graph{schedule}, inputs, shapes, device, 2, true) == twice);
    }
}

/// A cell made up at random: up to 3 inputs and 5 nodes, some edges missing, some there twice, some without a pool,
/// gamma even or one-hot, inputs that are constants. Its inputs: vertices, gamma [G, 3 edges], a filter an edge.
struct RandomCell {
    int vertices = 0, nodes = 0;
    std::vector<MixedEdge> edges = {};
    Shape x = {};
    std::int64_t draws = 1;
    bool one_hot = false, constant = false;
    explicit RandomCell(std::uint64_t number) {
        std::uint64_t next = 0;
        const auto below = [&](int most) {
            return static_cast<int>(random::words_at(Seed{number}.stream("random cell"), next++, 0).w[0] %
                                    static_cast<std::uint32_t>(most));
        };
        vertices = 1 + below(3), nodes = 1 + below(5);
        x = {1 + below(3), 2 + below(15), 2 + below(9), 1 + below(9)};
        draws = below(3) == 0 ? x[0] : 1;
        one_hot = below(3) == 0, constant = below(4) == 0;
        for (int to = vertices; to < vertices + nodes; ++to)
            for (int from = 0; from < to; ++from)
                for (int times = from == to - 1 ? 1 + below(2) : below(4) - 1; times > 0; --times)
                    edges.push_back({from, to, below(4) == 0 ? -1 : 3 * static_cast<int>(edges.size()) + 2});
    }
    std::vector<Shape> shapes() const {
        std::vector<Shape> all(static_cast<std::size_t>(vertices), x);
        all.push_back({draws, 3 * static_cast<std::int64_t>(edges.size())});
        all.resize(all.size() + edges.size(), Shape{3, 3, x[3]});
        return all;
    }
    std::vector<std::vector<double>> values() const {
        std::vector<std::vector<double>> all;
        for (const auto& shape : shapes()) all.push_back(random_values<double>(shape.elements(), all.size() + 1));
        auto& gamma = all[static_cast<std::size_t>(vertices)];
        for (std::size_t i = 0; i < gamma.size() && one_hot; ++i) gamma[i] = (i / 3 * 5 + 1) % 4 == i % 3 ? 1 : 0;
        return all;
    }
    auto op(MixedSchedule schedule) const {
        return [cell = *this, schedule](const auto& v) {
            using T = typename std::decay_t<decltype(v)>::value_type::value_type;
            const auto first = static_cast<std::size_t>(cell.vertices);
            std::vector<FilterTerm<T>> terms;
            for (std::size_t e = 0; e < cell.edges.size(); ++e) {
                const int edge = static_cast<int>(e);
                terms.push_back({edge, 3 * edge, v[first + 1 + e]}), terms.push_back({edge, 3 * edge + 1, {}});
            }
            const auto filters = merged_filters(terms, v[first], static_cast<int>(cell.edges.size()), v[0].shape()[3]);
            MixedNodes<T> sums(cell.edges, filters, v[first], schedule);
            std::vector<Variable<T>> all(v.begin(), v.begin() + cell.vertices);
            if (cell.constant) all[0] = Variable<T>(all[0].value());
            Variable<T> y;
            for (int k = 0; k < cell.vertices + cell.nodes; ++k) {
                if (k >= cell.vertices) {
                    all.push_back(sums.sum(k));
                    y = y.defined() ? add(scale(y, 0.7), all.back()) : all.back();
                }
                sums.push(k, all[static_cast<std::size_t>(k)]);
            }
            for (int i = 0; i < cell.vertices; ++i) y = add(y, scale(v[static_cast<std::size_t>(i)], 0.1));
            return y;  // of every input, also of those that lead nowhere
        };
    }
};

TEST_CASE("mixed_node: node by node and source by source agree on cells made up at random", "[ops]") {
    for (std::uint64_t number = 0; number < 60; ++number) {
        const RandomCell cell(number);
        INFO("cell " << number << ": " << cell.x.str() << ", " << cell.vertices << " inputs, " << cell.nodes
                     << " nodes, " << cell.edges.size() << " edges, " << cell.draws << " draws");
        const auto inputs = cell.values();
        const auto on = [&](MixedSchedule schedule) {
            return run_op<double>(cell.op(schedule), inputs, cell.shapes(), test_device(2));
        };
        const auto found = on(MixedSchedule::by_node), expected = on(MixedSchedule::by_source);
        CHECK(relative_error(found.y, expected.y) <= 1e-10);
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            INFO("gradient of input " << i);
            CHECK(relative_error(found.gradients[i], expected.gradients[i]) <= 1e-10);
        }
    }
}

TEST_CASE("mixed_node: a constant vertex takes no gradient from filters and gamma", "[ops]") {
    const auto device = test_device();
    const Shape x{3, 5, 6, 4};
    const auto gradients = [&](bool constant, MixedSchedule schedule) {
        const auto tensor = random_tensor<double>(x, 1, device);
        const Variable<double> vertex = constant ? Variable<double>(tensor) : Variable<double>::leaf(tensor);
        const auto gamma = Variable<double>::leaf(random_tensor<double>({1, 3}, 2, device, 0.2, 1.0)),
                   w = Variable<double>::leaf(random_tensor<double>({3, 3, 4}, 3, device));
        const auto filters = merged_filters<double>({{0, 0, w}, {0, 1, {}}}, gamma, 1, 4);
        MixedNodes<double> nodes({{0, 1, 2}}, filters, gamma, schedule);
        nodes.push(0, vertex);
        backward(nodes.sum(1), random_tensor<double>(x, 4, device));
        return std::make_pair(w.grad().to_vector(), gamma.grad().to_vector());
    };
    for (const auto schedule : schedules) {
        const auto found = gradients(true, schedule), expected = gradients(false, schedule);
        CHECK(found == expected);
        for (const double v : found.second) CHECK(v != 0);
    }
}

TEST_CASE("mixed_node says what clashes", "[ops]") {
    const auto device = test_device();
    const auto constant = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1.0f, device)); };
    CHECK_THROWS_WITH(merged_filters<float>({{0, 0, {}}}, constant({3}), 1, 4),
                      "merged_filters: gamma has shape [3], expected [G, M]");
    CHECK_THROWS_WITH(merged_filters<float>({{1, 0, {}}}, constant({1, 3}), 1, 4),
                      "merged_filters: edge 1 of 1, column 0 of gamma [1, 3]");
    CHECK_THROWS_WITH(merged_filters<float>({{0, 0, constant({3, 3, 5})}}, constant({1, 3}), 1, 4),
                      "merged_filters: a filter has shape [3, 3, 5], expected [3, 3, 4]");
    const auto gamma = constant({1, 3}), filters = merged_filters<float>({{0, 0, constant({3, 3, 4})}}, gamma, 1, 4);
    const auto nodes = [&](std::vector<MixedEdge> edges) {
        return MixedNodes<float>(std::move(edges), filters, gamma);
    };
    CHECK_THROWS_WITH(nodes({{0, 2, -1}}).push(0, constant({2, 1, 5, 4})),
                      "mixed_node: a vertex has shape [2, 1, 5, 4], expected [N, H, W, C] of 2 x 2 pixels at least");
    CHECK_THROWS_WITH(nodes({{0, 2, -1}}).push(0, constant({2, 5, 5, 8})),
                      "mixed_node: a vertex has shape [2, 5, 5, 8], filters are [1, 1, 3, 3, 4]");
    CHECK_THROWS_WITH(nodes({{0, 2, 3}}), "mixed_node: column 3 of gamma [1, 3]");
    CHECK_THROWS_WITH(nodes({{0, 2, 2}, {1, 2, 2}}),
                      "mixed_node: filters [1, 1, 3, 3, 4] and gamma [1, 3], expected [G, 2, 3, 3, C] and [G, M]");
    CHECK_THROWS_WITH(MixedNodes<float>({{0, 2, 2}}, filters, constant({5, 3})),
                      "mixed_node: filters [1, 1, 3, 3, 4] and gamma [5, 3], expected [G, 1, 3, 3, C] and [G, M]");
    auto mixed = nodes({{0, 2, 2}});
    CHECK_THROWS_WITH(mixed.sum(2), "mixed_node: 0 of 1 edges have arrived at vertex 2");
    mixed.push(0, constant({2, 5, 5, 4}));
    CHECK_THROWS_WITH(mixed.push(1, constant({2, 5, 6, 4})),
                      "mixed_node: vertices of shapes [2, 5, 5, 4] and [2, 5, 6, 4]");
    CHECK_NOTHROW(mixed.sum(2));
    CHECK_THROWS_WITH(mixed.sum(2), "mixed_node: 0 of 1 edges have arrived at vertex 2");
    const auto many = constant({5, 3}), each = merged_filters<float>({{0, 0, constant({3, 3, 4})}}, many, 1, 4);
    CHECK_THROWS_WITH(MixedNodes<float>({{0, 2, 2}}, each, many).push(0, constant({2, 5, 5, 4})),
                      "mixed_node: gamma [5, 3] has 5 draws, expected 1 or one for each of 2 images");
}

}  // namespace ops_mixed_node_test
