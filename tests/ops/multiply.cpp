// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/multiply.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace ops_multiply_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {
template <class T>
struct Result {
    std::vector<T> y, da, db;
    bool operator==(const Result&) const = default;
};
template <class T>
Result<T> product(const Shape& a_shape, const Shape& b_shape, int threads, cpu::Isa isa) {
    const auto device = test_device(threads, isa);
    const auto a = Variable<T>::leaf(random_tensor<T>(a_shape, 1, device)),
               b = Variable<T>::leaf(random_tensor<T>(b_shape, 2, device));
    const auto y = a * b;
    backward(y, random_tensor<T>(a_shape, 3, device));
    return {y.value().to_vector(), a.grad().to_vector(), b.grad().to_vector()};
}
}  // namespace

TEST_CASE("multiply and its gradients equal plain loops: every period, kernel entry and thread count", "[ops]") {
    for (const std::int64_t period : {1, 3, 8, 12, 17, 64, 65, 2100})
        for (const std::int64_t rows : {1, 70}) {
            const Shape shape{rows, period};
            const auto count = static_cast<std::size_t>(rows * period), width = static_cast<std::size_t>(period);
            const auto a = random_values<double>(rows * period, 1), b = random_values<double>(period, 2),
                       dy = random_values<double>(rows * period, 3);
            std::vector<double> y(count), da(count), db(width);
            for (std::size_t i = 0; i < count; ++i)
                y[i] = a[i] * b[i % width], da[i] = dy[i] * b[i % width], db[i % width] += dy[i] * a[i];
            INFO("period " << period << ", rows " << rows);
            const auto in_double = product<double>(shape, {period}, 2, cpu::Isa::portable);
            CHECK(relative_error(in_double.y, y) < 1e-15);
            CHECK(relative_error(in_double.da, da) < 1e-15);
            CHECK(relative_error(in_double.db, db) < 1e-13);
            for (const auto isa : {cpu::Isa::portable, cpu::best_isa()}) {
                const auto one = product<float>(shape, {period}, 1, isa);
                CHECK(relative_error(one.y, y) < 1e-6);
                CHECK(relative_error(one.da, da) < 1e-6);
                CHECK(relative_error(one.db, db) < 1e-5);
                CHECK(one == product<float>(shape, {period}, 2, isa));
                CHECK(one == product<float>(shape, {period}, 5, isa));
            }
        }
}

TEST_CASE("multiply: long reductions have the same bits at any thread count", "[ops]") {
    for (const std::int64_t period : {1, 12, 64, 100}) {
        const Shape shape{300'000 / period, period};
        const auto one = product<float>(shape, {period}, 1, cpu::best_isa());
        CHECK(one == product<float>(shape, {period}, 5, cpu::best_isa()));
        CHECK(relative_error(one.db, product<double>(shape, {period}, 1, cpu::Isa::portable).db) < 1e-5);
    }
}

TEST_CASE("gradients of multiply agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    for (const Shape& b : {Shape{2, 3, 5}, Shape{3, 5}, Shape{5}, Shape{}}) {
        const auto result =
            gradcheck([](const auto& v) { return v[0] * v[1] + v[0] * v[0]; },
                      {random_tensor<double>({2, 3, 5}, 1, device), random_tensor<double>(b, 2, device)});
        INFO(result.message);
        CHECK(result.passed);
    }
}

TEST_CASE("multiply: an operand that wants no gradient gets none", "[ops]") {
    const auto device = test_device();
    const auto a = Variable<float>::leaf(Tensor<float>::full({2, 3}, 2, device)),
               b = Variable<float>::leaf(Tensor<float>::full({3}, 5, device));
    const auto ones = Tensor<float>::full({2, 3}, 1, device);
    backward(a * b.detach(), ones);
    CHECK(a.grad().to_vector() == std::vector<float>(6, 5.0f));
    backward(a.detach() * b, ones);
    CHECK(b.grad().to_vector() == std::vector<float>(3, 4.0f));
    CHECK(a.grad().to_vector() == std::vector<float>(6, 5.0f));
}

TEST_CASE("multiply says what clashes", "[ops]") {
    const auto device = test_device();
    const auto value = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1, device)); };
    CHECK_THROWS_WITH(
        multiply(value({2, 3}), value({4})),
        "multiply: shape [4] of the second operand is neither that of the first nor a suffix of it ([2, 3])");
    CHECK_THROWS_WITH(multiply(Variable<float>(), value({3})), "multiply: first operand has no value");
    CHECK_THROWS_WITH(multiply(value({3}), Variable<float>()), "multiply: second operand has no value");
}

TEST_CASE("multiply in a recorded step equals eager", "[ops][program]") {
    const auto device = test_device();
    const auto x = Variable<float>::leaf(random_tensor<float>({6, 5}, 1, device)),
               b = Variable<float>::leaf(random_tensor<float>({5}, 2, device));
    const auto seed = random_tensor<float>({6, 5}, 3, device);
    const auto eager = x * b * b;
    backward(eager, seed);
    const auto dx = x.grad().to_vector(), db = b.grad().to_vector();
    x.set_grad(Tensor<float>::full({6, 5}, 0, device));
    b.set_grad(Tensor<float>::full({5}, 0, device));
    Variable<float> kept;
    const auto program = Program::record(device, [&] { kept = x * b * b, backward(kept, seed); });
    for (int i = 0; i < 2; ++i) {
        x.grad().assign(0), b.grad().assign(0);
        program.run();
        CHECK(kept.value().to_vector() == eager.value().to_vector());
        CHECK(x.grad().to_vector() == dx);
        CHECK(b.grad().to_vector() == db);
    }
}

}  // namespace ops_multiply_test
