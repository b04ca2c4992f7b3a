// SPDX-License-Identifier: MIT
// Everything that reduces: sum, mean, column_sum, mean_squared_error.
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/mean_squared_error.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace ops_sum_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("column_sum equals a plain loop on awkward shapes, with the same bits at any thread count", "[ops]") {
    for (const std::int64_t columns : {1, 3, 8, 12, 17, 31, 63, 64, 65, 130, 2100})
        for (const std::int64_t rows : {1, 2, 65, 9000}) {
            if (rows * columns > 1'300'000) continue;
            const auto x = random_values<float>(rows * columns, 1, -0.5, 1.0);
            std::vector<double> expected(static_cast<std::size_t>(columns));
            for (std::size_t i = 0; i < x.size(); ++i) expected[i % expected.size()] += static_cast<double>(x[i]);
            const auto run = [&](int threads, cpu::Isa isa) {
                const auto device = test_device(threads, isa);
                return column_sum(Variable<float>(Tensor<float>::from(x, {rows, columns}, device))).value().to_vector();
            };
            const auto y = run(1, cpu::best_isa());
            INFO(rows << " rows of " << columns);
            CHECK(relative_error(y, expected) < 1e-6);
            CHECK(y == run(2, cpu::best_isa()));
            CHECK(y == run(5, cpu::best_isa()));
            CHECK(relative_error(run(2, cpu::Isa::portable), expected) < 1e-6);
        }
}

TEST_CASE("sum and mean add in double", "[ops]") {
    const auto device = test_device(3);
    const std::int64_t n = 3'000'001;
    const Variable<float> x(Tensor<float>::full({n}, 0.1f, device));
    CHECK(std::abs(static_cast<double>(sum(x).value().item()) / (static_cast<double>(n) * static_cast<double>(0.1f)) -
                   1) < 1e-7);
    CHECK(mean(x).value().item() == 0.1f);
    CHECK(sum(x).shape() == Shape{});
    CHECK(sum(Variable<float>(Tensor<float>::full({0, 3}, 1, device))).value().item() == 0.0f);
    CHECK(std::isnan(sum(Variable<float>(Tensor<float>::from({1.0f, NAN, 2.0f}, {3}, device))).value().item()));
    CHECK(sum(Variable<float>(Tensor<float>::from({1.0f, INFINITY}, {2}, device))).value().item() == INFINITY);
    CHECK(sum(Variable<float>(Tensor<float>::scalar(7, device))).value().item() == 7.0f);
}

TEST_CASE("gradients of the reductions agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    const auto check = [&](auto f, const std::vector<Tensor<double>>& at) {
        const auto result = gradcheck(f, at);
        INFO(result.message);
        CHECK(result.passed);
    };
    const auto x = random_tensor<double>({3, 5, 7}, 1, device), target = random_tensor<double>({3, 5, 7}, 2, device);
    check([](const auto& v) { return sum(v[0]); }, {x});
    check([](const auto& v) { return mean(v[0] * v[0]) + sum(v[0]); }, {x});
    check([](const auto& v) { return column_sum(v[0] * v[0]); }, {x});
    check([](const auto& v) { return column_sum(v[0]) + column_sum(v[0] * v[0]); }, {x});
    check([](const auto& v) { return mean_squared_error(v[0], v[1]); }, {x, target});
}

TEST_CASE("reductions in float agree with double, values and gradients", "[ops]") {
    const auto run = []<class T>(T, int threads, cpu::Isa isa) {
        const auto device = test_device(threads, isa);
        const auto x = Variable<T>::leaf(random_tensor<T>({90, 7, 17}, 1, device)),
                   t = Variable<T>::leaf(random_tensor<T>({90, 7, 17}, 2, device));
        const auto loss = mean_squared_error(x, t) + mean(x) + sum(column_sum(t) * column_sum(x));
        backward(loss);
        auto all = x.grad().to_vector();
        for (const T g : t.grad().to_vector()) all.push_back(g);
        all.push_back(loss.value().item());
        return all;
    };
    const auto reference = run(0.0, 1, cpu::Isa::portable);
    CHECK(relative_error(run(0.0f, 1, cpu::Isa::portable), reference) < 1e-5);
    const auto best = run(0.0f, 1, cpu::best_isa());
    CHECK(relative_error(best, reference) < 1e-5);
    CHECK(best == run(0.0f, 2, cpu::best_isa()));
    CHECK(best == run(0.0f, 5, cpu::best_isa()));
}

TEST_CASE("mean_squared_error equals a plain loop", "[ops]") {
    const auto device = test_device();
    const auto p = random_values<double>(77, 1), t = random_values<double>(77, 2);
    double expected = 0;
    for (std::size_t i = 0; i < p.size(); ++i) expected += (p[i] - t[i]) * (p[i] - t[i]) / 77;
    const auto loss = mean_squared_error(Variable<double>(Tensor<double>::from(p, {7, 11}, device)),
                                         Variable<double>(Tensor<double>::from(t, {7, 11}, device)));
    CHECK(std::abs(loss.value().item() - expected) < 1e-14);
    CHECK(loss.shape() == Shape{});
}

TEST_CASE("reductions say what is wrong", "[ops]") {
    const auto device = test_device();
    const auto value = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1, device)); };
    CHECK_THROWS_WITH(sum(Variable<float>()), "sum: input has no value");
    CHECK_THROWS_WITH(mean(Variable<float>()), "mean: input has no value");
    CHECK_THROWS_WITH(mean(value({0, 3})), "mean: input [0, 3] is empty");
    CHECK_THROWS_WITH(column_sum(Variable<float>()), "column_sum: input has no value");
    CHECK_THROWS_WITH(column_sum(value({})), "column_sum: input has shape [], expected [..., C]");
    CHECK_THROWS_WITH(mean_squared_error(Variable<float>(), value({3})), "mean_squared_error: prediction has no value");
    CHECK_THROWS_WITH(mean_squared_error(value({3}), Variable<float>()), "mean_squared_error: target has no value");
    CHECK_THROWS_WITH(mean_squared_error(value({2, 3}), value({3})),
                      "mean_squared_error: prediction has shape [2, 3], target has [3]");
    CHECK_THROWS_WITH(mean_squared_error(value({0}), value({0})), "mean_squared_error: prediction [0] is empty");
}

TEST_CASE("reductions in a recorded step equal eager", "[ops][program]") {
    const auto device = test_device();
    const auto x = Variable<float>::leaf(random_tensor<float>({50, 9}, 1, device));
    const Variable<float> t(random_tensor<float>({50, 9}, 2, device));
    const auto step = [&] { return mean_squared_error(x, t) + sum(column_sum(x)); };
    const auto eager = step();
    backward(eager);
    const auto expected = x.grad().to_vector();
    x.set_grad(Tensor<float>::full({50, 9}, 0, device));
    Variable<float> kept;
    const auto program = Program::record(device, [&] { kept = step(), backward(kept); });
    for (int i = 0; i < 2; ++i) {
        x.grad().assign(0);
        program.run();
        CHECK(kept.value().item() == eager.value().item());
        CHECK(x.grad().to_vector() == expected);
    }
}

}  // namespace ops_sum_test
