// SPDX-License-Identifier: MIT
// The op against the ones it stands for.
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/relu_conv_norm.hpp>
#include <hwnas/ops/weighted_sum.hpp>

#include "support/window_ops.hpp"

namespace ops_relu_conv_norm_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

/// Inputs: x, w, scale, shift and, gated, four weights of which the last two are the gate.
struct Op {
    bool whole, gated;
    Phase phase = Phase::train;
    ConvOptions options = {};
    template <class T>
    Variable<T> operator()(const std::vector<Variable<T>>& v) const {
        const std::int64_t c = v[1].shape()[3];
        const auto full = [&](double value) { return Tensor<T>::full({c}, static_cast<T>(value), v[0].device()); };
        const BatchNormState<T> state{full(0.1), full(0.7), Tensor<T>::scalar(T(0.1), v[0].device())};
        if (whole)
            return relu_conv_norm(v[0], v[1], v[2], v[3], state, phase, options, {},
                                  gated ? SkipGate<T>{v[4], 2} : SkipGate<T>{});
        const auto y = batch_norm(conv(relu(v[0]), v[1], options), v[2], v[3], state, phase);
        return gated ? weighted_sum<T>({y, v[0]}, v[4], {2, 3}) : y;
    }
};
struct Case {
    Shape x, w;
    bool gated;
    ConvOptions options = {};
    std::vector<std::vector<double>> inputs() const {
        std::vector<std::vector<double>> values{
            random_values<double>(x.elements(), 1), random_values<double>(w.elements(), 2),
            random_values<double>(w[3], 3, 0.5, 1.5), random_values<double>(w[3], 4)};
        if (gated) values.push_back({0.1, 0.2, 0.6, 0.7});
        return values;
    }
    std::vector<Shape> shapes() const {
        std::vector<Shape> all{x, w, {w[3]}, {w[3]}};
        if (gated) all.push_back({4});
        return all;
    }
};

}  // namespace

TEST_CASE("relu_conv_norm and its gradients equal ReLU, convolution, batch norm and mixture", "[ops]") {
    const Case cases[] = {{{3, 5, 4, 8}, {1, 1, 8, 8}, true},
                          {{2, 7, 7, 12}, {1, 1, 12, 12}, true},
                          {{40, 6, 6, 16}, {1, 1, 16, 16}, true},
                          {{3, 5, 4, 3}, {1, 1, 3, 9}, false},
                          {{2, 8, 9, 6}, {3, 3, 6, 5}, false, {.stride = 2}},
                          {{4, 9, 9, 64}, {1, 1, 64, 32}, false}};
    for (const auto& c : cases)
        for (const Phase phase : {Phase::train, Phase::eval}) {
            INFO(fmt::format("{} {} gated {} {}", c.x, c.w, c.gated, phase == Phase::train ? "train" : "eval"));
            const auto inputs = c.inputs();
            check_op(Op{true, c.gated, phase, c.options}, inputs, c.shapes(),
                     run_op<double>(Op{false, c.gated, phase, c.options}, inputs, c.shapes(), test_device(1)));
        }
}

TEST_CASE("relu_conv_norm gradients agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    for (const Phase phase : {Phase::train, Phase::eval}) {
        const auto result =
            gradcheck(Op{true, true, phase},
                      {distinct_tensor<double>({3, 3, 2, 4}, 1, device, 0.02),
                       random_tensor<double>({1, 1, 4, 4}, 2, device), random_tensor<double>({4}, 3, device, 0.5, 1.5),
                       random_tensor<double>({4}, 4, device), random_tensor<double>({4}, 5, device)});
        INFO(result.message);
        CHECK(result.passed);
    }
}

TEST_CASE("relu_conv_norm: two uses add up, a recorded step repeats", "[ops]") {
    const Case c{{4, 9, 7, 12}, {1, 1, 12, 12}, true};
    const auto inputs = c.inputs();
    const auto device = test_device(2);
    const auto uses = [&](int count, bool recorded) {
        return run_op<float>(Op{true, true}, inputs, c.shapes(), device, count, recorded);
    };
    const auto once = uses(1, false), twice = uses(2, false);
    for (std::size_t i = 0; i < inputs.size(); ++i) {  // what is added is rounded in between: not the same bits
        auto doubled = once.gradients[i];
        for (float& x : doubled) x *= 2;
        CHECK(relative_error(twice.gradients[i], doubled) <= 1e-6);
    }
    CHECK(uses(1, true) == once);
    CHECK(uses(2, true) == twice);
}

TEST_CASE("relu_conv_norm says what clashes", "[ops]") {
    const auto device = test_device();
    const auto constant = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1.0f, device)); };
    const auto call = [&](const Shape& x, const Shape& w, const SkipGate<float>& gate) {
        return relu_conv_norm<float>(constant(x), constant(w), {}, {}, {}, Phase::train, {}, {}, gate);
    };
    CHECK_THROWS_WITH(call({2, 4, 4, 3}, {1, 1, 4, 4}, {}),
                      "relu_conv_norm: weight has 4 input channels, input has 3 (input [2, 4, 4, 3], weight [1, 1, 4, "
                      "4])");
    CHECK_THROWS_WITH(
        call({2, 4, 4, 3}, {1, 1, 3, 4}, {constant({2}), 0}),
        "relu_conv_norm: a gate mixes input [2, 4, 4, 3] and result [2, 4, 4, 4], their shapes must agree");
    CHECK_THROWS_WITH(call({2, 4, 4, 3}, {1, 1, 3, 3}, {constant({2}), 1}),
                      "relu_conv_norm: gate 1 and the next of weights [2]");
    CHECK_THROWS_WITH(call({1, 1, 1, 3}, {1, 1, 3, 3}, {}),
                      "relu_conv_norm: training needs at least 2 rows for a variance, input [1, 1, 1, 3] has 1");
}

}  // namespace ops_relu_conv_norm_test
