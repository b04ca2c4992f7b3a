// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/add.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace ops_add_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("add and subtract equal a plain loop: every period, kernel entry and thread count", "[ops]") {
    for (const std::int64_t period : {1, 3, 8, 12, 17, 63, 64, 65, 300})
        for (const std::int64_t rows : {1, 5, 257}) {
            const auto a = random_values<float>(rows * period, 1), b = random_values<float>(period, 2);
            for (const auto& [threads, isa] :
                 {std::pair{1, cpu::Isa::portable}, {1, cpu::best_isa()}, {2, cpu::best_isa()}, {5, cpu::best_isa()}}) {
                const auto device = test_device(threads, isa);
                const Variable<float> u(Tensor<float>::from(a, {rows, period}, device)),
                    v(Tensor<float>::from(b, {period}, device));
                const auto sum = (u + v).value().to_vector(), difference = (u - v).value().to_vector();
                bool equal = true;
                for (std::size_t i = 0; i < a.size(); ++i)
                    equal = equal && sum[i] == a[i] + b[i % b.size()] && difference[i] == a[i] - b[i % b.size()];
                INFO("period " << period << ", rows " << rows << ", threads " << threads);
                REQUIRE(equal);
            }
        }
}

TEST_CASE("add of a list equals adding one by one, one may stand in it twice", "[ops]") {
    const auto device = test_device();
    std::vector<Variable<float>> xs;
    for (std::uint64_t j = 0; j < 3; ++j) xs.push_back(Variable<float>::leaf(random_tensor<float>({3, 5}, j, device)));
    xs.push_back(xs[1]);
    const auto y = add(xs);
    CHECK(y.value().to_vector() == (xs[0] + xs[1] + xs[2] + xs[1]).value().to_vector());
    const auto dy = random_tensor<float>({3, 5}, 9, device);
    backward(y, dy);
    auto twice = dy.to_vector();
    for (auto& value : twice) value *= 2;
    CHECK(xs[0].grad().to_vector() == dy.to_vector());
    CHECK(xs[1].grad().to_vector() == twice);
    CHECK(xs[2].grad().to_vector() == dy.to_vector());
    const std::vector<Variable<float>> one{xs[0]};
    CHECK(add(one).value().data() == xs[0].value().data());
    const auto other = Variable<float>(random_tensor<float>({5, 3}, 4, device));
    CHECK_THROWS_WITH(add<float>({xs[0], xs[1], other}), Catch::Contains("operand 2 has shape [5, 3]"));
    CHECK_THROWS_WITH(add(std::vector<Variable<float>>{}), Catch::Contains("no operands"));
}

TEST_CASE("add: a tensor of several pieces, and NaN and infinity pass through", "[ops]") {
    const auto device = test_device();
    auto a = random_values<float>(40'001, 3);
    const auto b = random_values<float>(40'001, 4);
    a[7] = NAN, a[40'000] = INFINITY;
    const auto y = add(Variable<float>(Tensor<float>::from(a, {40'001}, device)),
                       Variable<float>(Tensor<float>::from(b, {40'001}, device)))
                       .value()
                       .to_vector();
    bool equal = true;
    for (std::size_t i = 0; i < a.size(); ++i) equal = equal && (i == 7 ? std::isnan(y[i]) : y[i] == a[i] + b[i]);
    CHECK(equal);
}

TEST_CASE("gradients of add and subtract agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    for (const Shape& b : {Shape{2, 3, 5}, Shape{3, 5}, Shape{5}, Shape{}}) {
        const auto sum = gradcheck([](const auto& v) { return v[0] + v[1]; },
                                   {random_tensor<double>({2, 3, 5}, 1, device), random_tensor<double>(b, 2, device)});
        INFO(sum.message);
        CHECK(sum.passed);
        const auto difference =
            gradcheck([](const auto& v) { return v[0] - v[1] - v[1]; },
                      {random_tensor<double>({2, 3, 5}, 1, device), random_tensor<double>(b, 2, device)});
        INFO(difference.message);
        CHECK(difference.passed);
    }
}

TEST_CASE("both operands may be one value, and gradients do not leak into each other", "[ops][gradcheck]") {
    const auto device = test_device();
    const auto x = Variable<double>::leaf(random_tensor<double>({4, 3}, 1, device)),
               b = Variable<double>::leaf(random_tensor<double>({3}, 2, device));
    const auto y = x + b;
    backward((y + y) - b, Tensor<double>::full({4, 3}, 1.0, device));
    for (const double g : x.grad().to_vector()) CHECK(g == 2.0);
    for (const double g : b.grad().to_vector()) CHECK(g == 4.0);
    const auto z = Variable<double>::leaf(random_tensor<double>({3}, 3, device));
    backward(z - z, Tensor<double>::full({3}, 1.0, device));
    for (const double g : z.grad().to_vector()) CHECK(g == 0.0);
}

TEST_CASE("add in float: the gradient of a bias equals that in double", "[ops]") {
    const auto gradient = []<class T>(T, cpu::Isa isa, int threads) {
        const auto device = test_device(threads, isa);
        const auto b = Variable<T>::leaf(Tensor<T>::full({12}, T(0), device));
        const Variable<T> x(Tensor<T>::full({3000, 12}, T(0), device));
        backward(x - b, random_tensor<T>({3000, 12}, 5, device));
        return b.grad().to_vector();
    };
    const auto reference = gradient(0.0, cpu::Isa::portable, 1);
    CHECK(relative_error(gradient(0.0f, cpu::Isa::portable, 1), reference) < 1e-5);
    CHECK(relative_error(gradient(0.0f, cpu::best_isa(), 1), reference) < 1e-5);
    CHECK(gradient(0.0f, cpu::best_isa(), 1) == gradient(0.0f, cpu::best_isa(), 5));
}

TEST_CASE("add says what clashes", "[ops]") {
    const auto device = test_device();
    const auto value = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1, device)); };
    CHECK_THROWS_WITH(add(value({2, 3}), value({2})),
                      "add: shape [2] of the second operand is neither that of the first nor a suffix of it ([2, 3])");
    CHECK_THROWS_WITH(
        subtract(value({3}), value({2, 3})),
        "subtract: shape [2, 3] of the second operand is neither that of the first nor a suffix of it ([3])");
    CHECK_THROWS_WITH(
        add(value({2, 3}), value({1, 3})),
        "add: shape [1, 3] of the second operand is neither that of the first nor a suffix of it ([2, 3])");
    CHECK_THROWS_WITH(add(Variable<float>(), value({3})), "add: first operand has no value");
    CHECK_THROWS_WITH(add(value({3}), Variable<float>()), "add: second operand has no value");
    CHECK_THROWS_WITH(add(value({3}), Variable<float>(Tensor<float>::full({3}, 1, test_device()))),
                      "add: second operand lives on another device (cpu and cpu, two devices of one name: make one and "
                      "share its handle)");
}

TEST_CASE("add in a recorded step equals eager", "[ops][program]") {
    const auto device = test_device();
    const auto x = Variable<float>::leaf(random_tensor<float>({6, 5}, 1, device)),
               b = Variable<float>::leaf(random_tensor<float>({5}, 2, device));
    const auto seed = random_tensor<float>({6, 5}, 3, device);
    const auto eager = (x + b) - b;
    backward(eager, seed);
    const auto dx = x.grad().to_vector(), db = b.grad().to_vector(), y = eager.value().to_vector();
    x.set_grad(Tensor<float>::full({6, 5}, 0, device));
    b.set_grad(Tensor<float>::full({5}, 0, device));
    Variable<float> kept;
    const auto program = Program::record(device, [&] { kept = (x + b) - b, backward(kept, seed); });
    for (int i = 0; i < 2; ++i) {
        x.grad().assign(0), b.grad().assign(0);
        program.run();
        CHECK(kept.value().to_vector() == y);
        CHECK(x.grad().to_vector() == dx);
        CHECK(b.grad().to_vector() == db);
    }
}

}  // namespace ops_add_test
