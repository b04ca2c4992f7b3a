// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/scale.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace ops_scale_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("scale by a constant equals a plain loop on every kernel entry", "[ops]") {
    for (const auto isa : {cpu::Isa::portable, cpu::best_isa()})
        for (const std::int64_t n : {1, 7, 8, 9, 40'001}) {
            const auto device = test_device(3, isa);
            const auto x = random_values<float>(n, 1);
            const auto y = (Variable<float>(Tensor<float>::from(x, {n}, device)) * 0.3).value().to_vector();
            bool equal = true;
            for (std::size_t i = 0; i < x.size(); ++i) equal = equal && y[i] == 0.3f * x[i];
            CHECK(equal);
        }
}

TEST_CASE("scale by a variable: one number, or one an image", "[ops]") {
    const auto device = test_device();
    const auto x = random_values<double>(3 * 10, 1);
    const Variable<double> v(Tensor<double>::from(x, {3, 2, 5}, device));
    const auto whole = scale(v, Variable<double>(Tensor<double>::scalar(-2.5, device))).value().to_vector();
    const auto each = scale(v, Variable<double>(Tensor<double>::from({2, 0, -1}, {3}, device))).value().to_vector();
    for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK(whole[i] == -2.5 * x[i]);
        CHECK(each[i] == (i < 10 ? 2 * x[i] : i < 20 ? 0 : -x[i]));
    }
}

TEST_CASE("gradients of scale agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    const auto x = random_tensor<double>({3, 2, 5}, 1, device);
    const auto check = [](const auto& result) {
        INFO(result.message);
        CHECK(result.passed);
    };
    check(gradcheck([](const auto& v) { return 3 * v[0] * v[0] * -0.5 + scale(v[0], 2.0); }, {x}));
    for (const Shape& s : {Shape{}, Shape{1}, Shape{3}})
        check(gradcheck([](const auto& v) { return scale(v[0], v[1]) + scale(scale(v[0], v[1]), v[1]); },
                        {x, random_tensor<double>(s, 2, device)}));
}

TEST_CASE("scale in float agrees with double", "[ops]") {
    const auto run = []<class T>(T, int threads, cpu::Isa isa) {
        const auto device = test_device(threads, isa);
        const auto x = Variable<T>::leaf(random_tensor<T>({5, 999, 3}, 1, device)),
                   s = Variable<T>::leaf(random_tensor<T>({5}, 2, device));
        backward(scale(x, s) + x * 1.7, random_tensor<T>({5, 999, 3}, 3, device));
        auto all = x.grad().to_vector();
        for (const T g : s.grad().to_vector()) all.push_back(g);
        return all;
    };
    const auto reference = run(0.0, 1, cpu::Isa::portable);
    CHECK(relative_error(run(0.0f, 1, cpu::Isa::portable), reference) < 1e-5);
    CHECK(relative_error(run(0.0f, 2, cpu::best_isa()), reference) < 1e-5);
    CHECK(run(0.0f, 1, cpu::best_isa()) == run(0.0f, 5, cpu::best_isa()));
}

TEST_CASE("scale says what clashes", "[ops]") {
    const auto device = test_device();
    const auto value = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1, device)); };
    CHECK_THROWS_WITH(scale(Variable<float>(), 2.0), "scale: input has no value");
    CHECK_THROWS_WITH(scale(Variable<float>(), value({})), "scale: input has no value");
    CHECK_THROWS_WITH(scale(value({3}), Variable<float>()), "scale: factor has no value");
    CHECK_THROWS_WITH(scale(value({3, 4}), value({4})),
                      "scale: factor has shape [4], expected one number or one for each image of [3, 4]");
    CHECK_THROWS_WITH(scale(value({3, 4}), value({3, 1})),
                      "scale: factor has shape [3, 1], expected one number or one for each image of [3, 4]");
}

TEST_CASE("scale in a recorded step reads its variable factor at every run", "[ops][program]") {
    const auto device = test_device();
    const auto x = Variable<float>::leaf(random_tensor<float>({4, 3}, 1, device));
    const auto s = Tensor<float>::scalar(2, device);
    x.set_grad(Tensor<float>::full({4, 3}, 0, device));
    Variable<float> kept;
    const auto ones = Tensor<float>::full({4, 3}, 1, device);
    const auto program =
        Program::record(device, [&] { kept = scale(x * 3, Variable<float>(s)), backward(kept, ones); });
    const auto values = x.value().to_vector();
    for (const float factor : {2.0f, 5.0f}) {
        s.assign(factor);
        x.grad().assign(0);
        program.run();
        const auto y = kept.value().to_vector();
        for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == factor * (3 * values[i]));
        CHECK(x.grad().to_vector() == std::vector<float>(12, 3 * factor));
    }
}

}  // namespace ops_scale_test
