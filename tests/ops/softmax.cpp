// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/softmax.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <limits>

namespace ops_softmax_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

template <class T>
Variable<T> as_variable(const std::vector<double>& x, const Shape& shape, const Device& device) {
    return Variable<T>::leaf(Tensor<T>::from(std::vector<T>(x.begin(), x.end()), shape, device));
}

}  // namespace

TEST_CASE("softmax equals a plain loop, its rows sum to 1, and the bits do not depend on threads or kernel entry",
          "[ops]") {
    for (const Shape& shape :
         {Shape{1}, Shape{17}, Shape{3, 1}, Shape{28, 3}, Shape{1, 5000}, Shape{2000, 12}, Shape{2, 1, 3, 1, 2, 8}}) {
        INFO("shape " << shape.str());
        const auto x = random_values<double>(shape.elements(), 1, -5, 5);
        const std::int64_t columns = shape[-1], rows = shape.elements() / columns;
        std::vector<double> expected(x.size());
        for (std::int64_t r = 0; r < rows; ++r) {
            double sum = 0, total = 0;
            for (std::int64_t c = 0; c < columns; ++c) sum += std::exp(x[static_cast<std::size_t>(r * columns + c)]);
            const auto y = softmax(as_variable<double>({x.begin() + r * columns, x.begin() + (r + 1) * columns},
                                                       {columns}, test_device()))
                               .value()
                               .to_vector();
            for (std::int64_t c = 0; c < columns; ++c) {
                expected[static_cast<std::size_t>(r * columns + c)] =
                    std::exp(x[static_cast<std::size_t>(r * columns + c)]) / sum;
                total += y[static_cast<std::size_t>(c)];
            }
            if (std::abs(total - 1) > 1e-14) FAIL("row " << r << " sums to 1 " << total - 1);
        }
        const auto y = softmax(as_variable<float>(x, shape, test_device(1))).value().to_vector();
        CHECK(relative_error(y, expected) < 1e-6);
        CHECK(relative_error(softmax(as_variable<double>(x, shape, test_device())).value().to_vector(), expected) <
              1e-14);
        for (const auto& device : {test_device(2), test_device(5), test_device(3, cpu::Isa::portable)})
            CHECK(y == softmax(as_variable<float>(x, shape, device)).value().to_vector());
    }
}

TEST_CASE("softmax gradient agrees with finite differences, and float with double", "[ops][gradcheck]") {
    for (const Shape& shape : {Shape{1}, Shape{7}, Shape{3, 4}, Shape{2, 2, 17}}) {
        const auto result = gradcheck([](const auto& v) { return softmax(v[0]); },
                                      {random_tensor<double>(shape, 2, test_device(), -2, 2)});
        INFO(result.message);
        CHECK(result.passed);
    }
    const auto x = random_values<double>(28 * 12, 3, -3, 3), seed = random_values<double>(28 * 12, 4);
    const auto single = as_variable<float>(x, {28, 12}, test_device());
    const auto reference = as_variable<double>(x, {28, 12}, test_device());
    backward(softmax(single),
             Tensor<float>::from(std::vector<float>(seed.begin(), seed.end()), {28, 12}, test_device(1)));
    backward(softmax(reference), Tensor<double>::from(seed, {28, 12}, test_device(1)));
    CHECK(relative_error(single.grad().to_vector(), reference.grad().to_vector()) < 1e-5);
}

TEST_CASE("softmax gradients of two uses of one value add up", "[ops]") {
    const auto device = test_device();
    const auto x = random_values<double>(15, 5), seed = random_values<double>(15, 6);
    const auto once = as_variable<double>(x, {5, 3}, device), twice = as_variable<double>(x, {5, 3}, device);
    backward(softmax(once), Tensor<double>::from(seed, {5, 3}, device));
    backward(softmax(twice), Tensor<double>::from(seed, {5, 3}, device));
    backward(softmax(twice), Tensor<double>::from(seed, {5, 3}, device));
    for (std::size_t i = 0; i < 15; ++i) CHECK(twice.grad().to_vector()[i] == 2 * once.grad().to_vector()[i]);
}

TEST_CASE("softmax takes huge logits and masked ones, and shows NaN in its row only", "[ops]") {
    const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    const auto y =
        softmax(as_variable<float>({3e38, -3e38, 3e38, 0, -inf, 0, nan, 0, 0, 0, 0, 0}, {4, 3}, test_device()))
            .value()
            .to_vector();
    CHECK(std::vector<float>(y.begin(), y.begin() + 6) == std::vector<float>{0.5f, 0.0f, 0.5f, 0.5f, 0.0f, 0.5f});
    for (std::size_t i = 6; i < 9; ++i) CHECK(std::isnan(y[i]));
    CHECK_THAT(y[9], Catch::Matchers::WithinAbs(1.0 / 3, 1e-7));
}

TEST_CASE("softmax in a recorded step gives the eager bits, run after run", "[ops][program]") {
    const auto device = test_device();
    const auto x = as_variable<float>(random_values<double>(12, 7), {4, 3}, device);
    const auto grad = Tensor<float>::full({4, 3}, 0, device);
    x.set_grad(grad);
    Variable<float> y;
    const auto seed = random_tensor<float>({4, 3}, 8, device);
    const auto program = Program::record(device, [&] { backward(y = softmax(x), seed); });
    for (int run = 0; run < 2; ++run) {
        grad.assign(0.0f);
        program.run();
        const auto eager = Variable<float>::leaf(x.value().clone());
        const auto expected = softmax(eager);
        CHECK(y.value().to_vector() == expected.value().to_vector());
        backward(expected, seed);
        CHECK(grad.to_vector() == eager.grad().to_vector());
        x.value().assign(random_values<float>(12, 9));
    }
}

TEST_CASE("softmax says what it cannot take", "[ops]") {
    const auto device = test_device();
    CHECK_THROWS_WITH(softmax(Variable<float>()), "softmax: input has no value");
    CHECK_THROWS_WITH(softmax(Variable<float>(Tensor<float>::scalar(1, device))),
                      "softmax: input has shape [], expected at least one axis");
    CHECK_THROWS_WITH(softmax(Variable<float>(Tensor<float>::empty({4, 0}, device))), "softmax: input [4, 0] is empty");
}

}  // namespace ops_softmax_test
