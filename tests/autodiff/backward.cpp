// SPDX-License-Identifier: MIT
// The tape: order, sharing and freeing of gradients, and gradcheck's own eyesight.
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/reshape.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/sum.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace autodiff_backward_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {
using V = Variable<double>;
V leaf(const Shape& shape, std::uint64_t seed, const Device& device) {
    return V::leaf(random_tensor<double>(shape, seed, device));
}
/// An op whose gradient rule is wrong by a factor.
V wrong_square(const V& x, double factor) {
    const auto y = Tensor<double>::empty(x.shape(), x.device());
    submit(x.device(),
           contract::Multiply<double>{y.data(), x.value().data(), x.value().data(), y.elements(), y.elements(), 0});
    return record(y, {&x}, [value = x.value(), factor](const Tensor<double>& dy, const auto& inputs) {
        give(inputs[0], (2.0 * factor * (V(value) * V(dy))).value());
    });
}
}  // namespace

TEST_CASE("two losses that share a part of the tape are added, not passed one after the other", "[autodiff]") {
    const auto device = test_device();
    const auto x = leaf({3}, 1, device);
    const auto h = relu(x), loss = sum(h), other = sum(multiply(h, h));
    backward(loss);
    const char* says = "backward: an earlier backward() has consumed this part of the tape; add the losses and go once";
    CHECK_THROWS_WITH(backward(other), says);
    CHECK_THROWS_WITH(backward(loss), says);
    backward(sum(relu(x)));  // a new tape from the same leaf
    const auto values = x.value().to_vector(), gradient = x.grad().to_vector();
    for (std::size_t i = 0; i < 3; ++i) CHECK(gradient[i] == (values[i] > 0 ? 2 : 0));
}

TEST_CASE("what has no value or no gradient says so", "[autodiff]") {
    const auto device = test_device();
    const V constant(Tensor<double>::full({2}, 1.0, device));
    CHECK_THROWS_WITH(constant.set_grad(constant.value()), "variable: only a leaf has a gradient buffer of its own");
    CHECK_THROWS_WITH(relu(leaf({2}, 1, device)).set_grad(constant.value()),
                      "variable: only a leaf has a gradient buffer of its own");
    CHECK_THROWS_WITH(V().device(), "tensor: no value (default-constructed)");
}

TEST_CASE("a value used along many paths collects every path's gradient once", "[autodiff]") {
    const auto device = test_device();
    const auto x = leaf({2, 3}, 1, device);
    auto y = x;
    for (int i = 0; i < 10; ++i) y = y + y;  // 2^10 paths
    backward(sum(y));
    CHECK(x.grad().to_vector() == std::vector<double>(6, 1024));
    backward(sum(x));  // added to what is there
    CHECK(x.grad().to_vector() == std::vector<double>(6, 1025));
}

TEST_CASE("gradients that pass through unchanged are shared and never written through", "[autodiff]") {
    const auto device = test_device();
    const auto a = leaf({4}, 1, device), b = leaf({4}, 2, device);
    const auto u = a + 0 * b, v = reshape(u, {2, 2});
    const auto w = reshape(v, {4}) + u;  // u gets dy twice, once as a view
    const auto seed = Tensor<double>::full({4}, 1, device);
    backward(w + relu(u * u), seed);
    const auto x = a.value().to_vector(), g = a.grad().to_vector();
    for (std::size_t i = 0; i < 4; ++i) CHECK(std::abs(g[i] - (2 + 2 * x[i])) < 1e-12);
    CHECK(seed.to_vector() == std::vector<double>(4, 1));
    CHECK(b.grad().to_vector() == std::vector<double>(4, 0));
}

TEST_CASE("a leaf's own gradient buffer is added to in place", "[autodiff]") {
    const auto device = test_device();
    const auto x = leaf({3}, 1, device);
    const auto buffer = Tensor<double>::full({3}, 5, device);
    x.set_grad(buffer);
    backward(sum(x * 2));
    CHECK(buffer.to_vector() == std::vector<double>(3, 7));
    CHECK(x.grad().storage() == buffer.storage());
    const auto y = x + V(Tensor<double>::full({3}, 1, device));
    backward(y, Tensor<double>::full({3}, 1, device));
    CHECK(buffer.to_vector() == std::vector<double>(3, 8));
}

TEST_CASE("constants, detached values and NoGrad stay off the tape", "[autodiff]") {
    const auto device = test_device();
    const auto x = leaf({3}, 1, device);
    CHECK_FALSE((V(x.value()) * x.detach()).requires_grad());
    CHECK((x * x.detach()).requires_grad());
    {
        const NoGrad off;
        CHECK_FALSE((x * x).requires_grad());
        {
            const NoGrad again;
        }
        CHECK_FALSE((x * x).requires_grad());
    }
    CHECK((x * x).requires_grad());
    backward(sum(x * x.detach()));
    CHECK(x.grad().to_vector() == x.value().to_vector());
}

TEST_CASE("the tape frees what it saved as it is walked, and at once where nothing wants a gradient", "[autodiff]") {
    const auto device = test_device();
    const auto x = leaf({3}, 1, device);
    std::weak_ptr<Storage> watch;
    V loss;
    {
        const auto square = x * x;
        watch = square.value().storage();
        loss = sum(square * square);
    }
    CHECK_FALSE(watch.expired());  // saved for backward
    backward(loss);
    CHECK(watch.expired());
    {
        const auto constant = V(x.value()) + V(x.value());
        watch = constant.value().storage();
        loss = sum(constant * constant);
    }
    CHECK(watch.expired());
}

TEST_CASE("backward says what is wrong", "[autodiff]") {
    const auto device = test_device();
    const auto x = leaf({2, 3}, 1, device);
    CHECK_THROWS_WITH(backward(V(x.value()), x.value()),
                      "backward: the value depends on nothing that wants a gradient");
    CHECK_THROWS_WITH(backward(x * x),
                      "backward: a loss has one element, this value has shape [2, 3] (pass a seed gradient)");
    CHECK_THROWS_WITH(backward(x * x, Tensor<double>::full({3}, 1, device)),
                      "backward: seed [3] for a value of shape [2, 3]");
    CHECK_THROWS_WITH(V(x.value()).grad(),
                      "variable: this value wants no gradient (make it with Variable::leaf, or check NoGrad)");
    CHECK_FALSE(x.grad().defined());
}

TEST_CASE("gradcheck passes a right rule, finds one wrong by a thousandth, and one that gives no gradient",
          "[autodiff][gradcheck]") {
    const auto device = test_device();
    const auto x = random_tensor<double>({3, 4}, 1, device);
    CHECK(gradcheck([](const auto& v) { return wrong_square(v[0], 1.0); }, {x}).passed);
    const auto result = gradcheck([](const auto& v) { return v[1] + wrong_square(v[0], 1.001); }, {x, x});
    CHECK_FALSE(result.passed);
    CHECK_THAT(result.message, Catch::Matchers::ContainsSubstring("input 0 of shape [3, 4]: relative error"));
    CHECK_THAT(result.message, !Catch::Matchers::ContainsSubstring("input 1"));
    CHECK_FALSE(gradcheck([](const auto& v) { return v[0] + v[0].detach() * v[1]; }, {x, x}).passed);
}

TEST_CASE("guarded branches: a branch that did not run contributes zero", "[autodiff]") {
    const auto device = test_device();
    const auto flag = Tensor<std::int32_t>::scalar(0, device);
    const auto x = leaf({3}, 1, device);
    const auto stem = x * 1.0;
    V off;
    {
        const GuardScope guard(Guard{flag.data(), 1});
        off = stem * 3;
    }
    backward(stem * 2 + scale(off, V(Tensor<double>::scalar(0, device))), Tensor<double>::full({3}, 1, device));
    CHECK(x.grad().to_vector() == std::vector<double>(3, 2));
}

}  // namespace autodiff_backward_test
