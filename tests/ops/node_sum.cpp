// SPDX-License-Identifier: MIT
// The sum of a derived node against the same sum op by op.
#include <hwnas/ops/add.hpp>
#include <hwnas/ops/max_pool.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/node_sum.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/scale.hpp>

#include "support/window_ops.hpp"

#include <limits>

namespace ops_node_sum_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

/// Inputs x0, x1 and `filters` filters. Node a: edges from both vertices, the first twice. Node b: from a, twice and
/// pooled, from x0 unchanged and, if asked for, through many filters more, more edges than one call takes.
struct Graph {
    bool fused, rectify;
    int filters = 4;
    template <class T>
    Variable<T> node(const std::vector<std::pair<NodeSource<T>, Variable<T>>>& edges) const {
        if (fused) {
            std::vector<NodeTerm<T>> terms;
            for (const auto& [from, filter] : edges) terms.push_back({from, filter});
            return node_sum(terms, rectify);
        }
        std::vector<Variable<T>> xs;
        for (const auto& [from, filter] : edges)
            xs.push_back(filter.defined() ? depthwise_conv(from.x(), filter) : from.x());
        const auto sum = xs.size() == 1 ? xs[0] : add(xs);
        return rectify ? relu(sum) : sum;
    }
    template <class T>
    Variable<T> operator()(const std::vector<Variable<T>>& v) const {
        // Op by op every use is of the variable itself, so that no gradient is deferred.
        const auto source = [&](const Variable<T>& x) { return NodeSource<T>(x); };
        const auto from = source(v[0]), other = source(v[1]);
        const auto a = node<T>({{from, v[2]}, {other, {}}, {from, v[3]}});
        const auto from_a = source(a), pooled = source(max_pool(a));
        std::vector<std::pair<NodeSource<T>, Variable<T>>> edges{
            {from_a, v[4]}, {pooled, {}}, {from, {}}, {from_a, {}}};
        for (int i = 3; i < filters; ++i) edges.push_back({other, v[2 + static_cast<std::size_t>(i)]});
        const auto b = node<T>(edges);
        return add(b, scale(a, 0.5));
    }
};
struct Case {
    Shape x;
    int filters = 4;
    std::vector<std::vector<double>> inputs() const {
        std::vector<std::vector<double>> values{random_values<double>(x.elements(), 1),
                                                random_values<double>(x.elements(), 2)};
        for (int i = 0; i < filters; ++i)
            values.push_back(random_values<double>(9 * x[3], 10 + static_cast<std::uint64_t>(i)));
        return values;
    }
    std::vector<Shape> shapes() const {
        std::vector<Shape> all{x, x};
        for (int i = 0; i < filters; ++i) all.push_back({3, 3, x[3]});
        return all;
    }
};

}  // namespace

TEST_CASE("node_sum and its gradients equal the sum op by op", "[ops]") {
    const Case cases[] = {{{2, 2, 2, 1}},    {{3, 5, 4, 3}},   {{2, 7, 7, 12}},   {{2, 1, 5, 4}},
                          {{2, 5, 1, 4}},    {{2, 9, 14, 17}}, {{2, 6, 15, 4}},   {{40, 28, 28, 16}},
                          {{2, 14, 14, 32}}, {{2, 7, 7, 64}},  {{3, 6, 5, 8}, 20}};
    for (const auto& c : cases)
        for (const bool rectify : {false, true}) {
            INFO(fmt::format("{}, {} filters, rectify {}", c.x, c.filters, rectify));
            const auto inputs = c.inputs();
            check_op(Graph{true, rectify, c.filters}, inputs, c.shapes(),
                     run_op<double>(Graph{false, rectify, c.filters}, inputs, c.shapes(), test_device(1)));
        }
}

TEST_CASE("node_sum gradients agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    for (const bool rectify : {false, true}) {
        std::vector<Tensor<double>> inputs{distinct_tensor<double>({2, 3, 4, 2}, 1, device, 0.02),
                                           distinct_tensor<double>({2, 3, 4, 2}, 2, device, 0.02)};
        for (std::uint64_t i = 0; i < 4; ++i) inputs.push_back(random_tensor<double>({3, 3, 2}, 10 + i, device));
        const auto result = gradcheck(Graph{true, rectify}, inputs);
        INFO(result.message);
        CHECK(result.passed);
    }
}

TEST_CASE("node_sum: factors and offsets are the frozen norms they stand for", "[ops]") {
    for (const auto isa : test_isas()) {
        const auto device = test_device(2, isa);
        for (const Shape& shape : {Shape{2, 4, 5, 3}, Shape{2, 28, 28, 16}, Shape{1, 7, 7, 64}, Shape{1, 3, 15, 20}}) {
            INFO(fmt::format("{} {}", cpu::isa_name(isa), shape));
            const NoGrad no_grad;
            const std::int64_t c = shape[3];
            const Variable<float> x(random_tensor<float>(shape, 1, device)), y(random_tensor<float>(shape, 2, device)),
                w(random_tensor<float>({3, 3, c}, 3, device)), factor(random_tensor<float>({c}, 4, device)),
                offset(random_tensor<float>({c}, 5, device)), other(random_tensor<float>({c}, 6, device));
            const NodeSource<float> from_x(x), from_y(y);
            const auto found = node_sum<float>(
                {{from_x, {}, factor.value(), offset.value()}, {from_y, w}, {from_y, {}, {}, other.value()}}, true);
            const auto expected =
                relu(add(add(add<float>({multiply(x, factor), depthwise_conv(y, w), y}), offset), other));
            CHECK(relative_error(found.value().to_vector(), expected.value().to_vector()) <= 1e-6);
        }
    }
}

TEST_CASE("node_sum keeps NaN, and a filter of zeros reads nothing", "[ops]") {
    for (const auto isa : test_isas()) {
        const auto device = test_device(1, isa);
        for (const std::int64_t c : {3, 16}) {
            const NoGrad no_grad;
            const Variable<float> nan(
                Tensor<float>::full({1, 3, 3, c}, std::numeric_limits<float>::quiet_NaN(), device)),
                zero(Tensor<float>::full({3, 3, c}, 0.0f, device)),
                one(Tensor<float>::full({1, 3, 3, c}, 1.0f, device));
            for (const float y : node_sum<float>({{NodeSource<float>(nan)}}, true).value().to_vector())
                CHECK(std::isnan(y));
            for (const float y :
                 node_sum<float>({{NodeSource<float>(nan), zero}, {NodeSource<float>(one)}}).value().to_vector())
                CHECK(y == 1.0f);
        }
    }
}

TEST_CASE("node_sum: two uses add up, a recorded step repeats", "[ops]") {
    const Case c{{4, 9, 7, 12}};
    const auto inputs = c.inputs();
    const auto shapes = c.shapes();
    const auto device = test_device(2);
    const auto once = run_op<float>(Graph{true, true}, inputs, shapes, device),
               twice = run_op<float>(Graph{true, true}, inputs, shapes, device, 2);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        auto doubled = once.gradients[i];
        for (float& x : doubled) x *= 2;
        CHECK(relative_error(twice.gradients[i], doubled) <= 1e-6);
    }
    CHECK(run_op<float>(Graph{true, true}, inputs, shapes, device, 1, true) == once);
    CHECK(run_op<float>(Graph{true, true}, inputs, shapes, device, 2, true) == twice);
}

TEST_CASE("node_sum says what clashes", "[ops]") {
    const auto device = test_device();
    const auto constant = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1.0f, device)); };
    const NodeSource<float> from(constant({2, 5, 5, 4}));
    CHECK_THROWS_WITH(NodeSource<float>(constant({2, 4})),
                      "node_sum: a source has shape [2, 4], expected [N, H, W, C]");
    CHECK_THROWS_WITH(NodeSource<float>(Variable<float>()), "node_sum: a source has no value");
    CHECK_THROWS_WITH(node_sum<float>({}), "node_sum: no terms");
    CHECK_THROWS_WITH(node_sum<float>({{from}, {NodeSource<float>(constant({2, 5, 4, 4}))}}),
                      "node_sum: term 1 has shape [2, 5, 4, 4], term 0 has [2, 5, 5, 4]");
    CHECK_THROWS_WITH(node_sum<float>({{from, constant({3, 3, 5})}}),
                      "node_sum: the filter of term 0 has shape [3, 3, 5], expected [3, 3, 4] (input [2, 5, 5, 4])");
    CHECK_THROWS_WITH(node_sum<float>({{from, {}, constant({5}).value(), constant({4}).value()}}),
                      "node_sum: the factor of term 0 has shape [5], expected [4] (input [2, 5, 5, 4])");
    CHECK_THROWS_WITH(node_sum<float>({{from, constant({3, 3, 4}), constant({4}).value()}}),
                      "node_sum: term 0 has a filter and a factor");
    const NodeSource<float> learning(Variable<float>::leaf(Tensor<float>::full({1, 2, 2, 4}, 1.0f, device)));
    CHECK_THROWS_WITH(node_sum<float>({{learning, {}, constant({4}).value(), constant({4}).value()}}),
                      "node_sum: term 0 has a constant factor, which is for networks that no longer learn; apply the "
                      "norm with batch_norm()");
}

}  // namespace ops_node_sum_test
