// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/weighted_sum.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <numeric>

namespace ops_weighted_sum_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

struct Case {
    Shape shape, weights;  // of an x, of the weights
    int count;
    std::int64_t groups() const { return weights.rank() == 1 ? 1 : weights[0]; }
    std::vector<int> columns() const {  // not in order
        const auto m = static_cast<int>(weights.elements() / groups());
        std::vector<int> all(static_cast<std::size_t>(count));
        for (int j = 0; j < count; ++j) all[static_cast<std::size_t>(j)] = (j * 7 + 3) % m;
        return all;
    }
    /// Random, every third weight exactly 0.
    template <class T>
    std::vector<T> weight_values() const {
        auto w = random_values<T>(weights.elements(), 77);
        for (std::size_t i = 1; i < w.size(); i += 3) w[i] = 0;
        return w;
    }
};
const std::vector<Case> cases{{{3}, {1}, 1},
                              {{1, 9, 1, 1}, {4}, 3},
                              {{2, 1, 9, 3}, {2, 5}, 5},
                              {{5, 3, 2, 8}, {5, 2, 3}, 6},
                              {{2, 4, 4, 12}, {1, 8}, 7},
                              {{3, 7, 5, 17}, {3, 16}, 16},
                              {{2, 3, 3, 8}, {40}, 35},
                              {{3, 30, 9, 17}, {3, 4}, 4},
                              {{3, 30, 9, 17}, {15}, 15}};

template <class T>
struct Result {
    std::vector<T> y, dw;
    std::vector<std::vector<T>> dx;
    bool operator==(const Result&) const = default;
};
/// Two backward passes, so that gradients accumulate.
template <class T>
Result<T> run(const Case& c, int threads, cpu::Isa isa, bool selected_only = false) {
    const auto device = test_device(threads, isa);
    std::vector<Variable<T>> xs;
    for (int j = 0; j < c.count; ++j)
        xs.push_back(Variable<T>::leaf(random_tensor<T>(c.shape, static_cast<std::uint64_t>(j), device)));
    const auto w = Variable<T>::leaf(Tensor<T>::from(c.weight_values<T>(), c.weights, device));
    const auto dy = random_tensor<T>(c.shape, 99, device);
    const auto y = weighted_sum(xs, w, c.columns(), selected_only);
    backward(y, dy);
    backward(weighted_sum(xs, w, c.columns(), selected_only), dy);
    Result<T> result{y.value().to_vector(), w.grad().to_vector(), {}};
    for (const auto& x : xs) result.dx.push_back(x.grad().to_vector());
    return result;
}
Result<double> expected(const Case& c, bool selected_only = false) {
    const auto n = static_cast<std::size_t>(c.shape.elements()), groups = static_cast<std::size_t>(c.groups()),
               size = n / groups;
    const auto w = c.weight_values<double>(), dy = random_values<double>(c.shape.elements(), 99);
    const std::size_t m = w.size() / groups;
    Result<double> r{std::vector<double>(n), std::vector<double>(w.size()), {}};
    for (int j = 0; j < c.count; ++j) {
        const auto x = random_values<double>(c.shape.elements(), static_cast<std::uint64_t>(j));
        r.dx.emplace_back(n);
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t at = i / size * m + static_cast<std::size_t>(c.columns()[static_cast<std::size_t>(j)]);
            r.y[i] += w[at] * x[i];
            r.dx.back()[i] = 2 * w[at] * dy[i];
            if (!selected_only || w[at] != 0) r.dw[at] += 2 * dy[i] * x[i];
        }
    }
    return r;
}
template <class T>
double worst_error(const Result<T>& a, const Result<double>& b) {
    double worst = std::max(relative_error(a.y, b.y), relative_error(a.dw, b.dw));
    for (std::size_t j = 0; j < a.dx.size(); ++j) worst = std::max(worst, relative_error(a.dx[j], b.dx[j]));
    return worst;
}

}  // namespace

TEST_CASE(
    "weighted_sum and its gradients equal plain loops, on every kernel entry, with the same bits at any thread count",
    "[ops]") {
    for (const auto& c : cases)
        for (const bool selected_only : {false, true}) {
            INFO("x " << c.shape.str() << ", weights " << c.weights.str() << ", " << c.count
                      << " inputs, selected_only " << selected_only);
            const auto reference = expected(c, selected_only);
            CHECK(worst_error(run<double>(c, 2, cpu::Isa::portable, selected_only), reference) < 1e-13);
            for (const auto isa : {cpu::Isa::portable, cpu::best_isa()}) {
                const auto one = run<float>(c, 1, isa, selected_only);
                CHECK(worst_error(one, reference) < 1e-5);
                CHECK(one == run<float>(c, 2, isa, selected_only));
                CHECK(one == run<float>(c, 5, isa, selected_only));
            }
        }
}

TEST_CASE("weighted_sum: gradients agree with finite differences", "[ops][gradcheck]") {
    const auto device = test_device();
    const auto x = random_tensor<double>({3, 2, 5}, 1, device), y = random_tensor<double>({3, 2, 5}, 2, device);
    const auto check = [&](auto f, const Shape& weights) {
        const auto result = gradcheck(f, {x, y, random_tensor<double>(weights, 3, device)});
        INFO(result.message);
        CHECK(result.passed);
    };
    // A value twice in the list, a column twice, an input that is itself a product of the weights.
    const auto twice = [](const auto& v) {
        const auto s = v[0] * v[1];
        return weighted_sum<double>({v[0], s, v[1], v[0], s}, v[2], {3, 1, 2, 0, 3});
    };
    check(twice, {4});
    check(twice, {1, 2, 2});
    check(twice, {3, 4});
    const auto chained = [](const auto& v) {
        std::vector<Variable<double>> xs(20, v[0]);
        for (std::size_t j = 0; j < xs.size(); j += 3) xs[j] = v[1] * v[0];
        std::vector<int> columns(20);
        std::iota(columns.begin(), columns.end(), 0);
        return weighted_sum(xs, v[2], columns) + weighted_sum(xs, v[2], columns);
    };
    check(chained, {20});
    check(chained, {3, 20});
}

TEST_CASE("weighted_sum: a term of weight 0 is not read, but its weight has a gradient", "[ops]") {
    for (const auto isa : {cpu::Isa::portable, cpu::best_isa()}) {
        const auto device = test_device(2, isa);
        const auto a = Variable<float>::leaf(Tensor<float>::full({2, 9}, 3, device)),
                   b = Variable<float>::leaf(Tensor<float>::full({2, 9}, NAN, device));
        const auto w = Variable<float>::leaf(Tensor<float>::from({2, 0}, {2}, device));
        const auto y = weighted_sum<float>({a, b}, w, {0, 1});
        CHECK(y.value().to_vector() == std::vector<float>(18, 6));
        backward(y, Tensor<float>::full({2, 9}, INFINITY, device));
        CHECK(b.grad().to_vector() == std::vector<float>(18, 0));  // not 0 times infinity
        CHECK(std::isnan(w.grad().to_vector()[1]));
        const auto c = Variable<float>::leaf(Tensor<float>::full({2, 9}, 5, device)),
                   v = Variable<float>::leaf(Tensor<float>::from({2, 0}, {2}, device));
        backward(weighted_sum<float>({a, c}, v, {0, 1}), Tensor<float>::full({2, 9}, 1, device));
        CHECK(v.grad().to_vector() == std::vector<float>{54, 90});
        const auto none = weighted_sum<float>({b, b}, Variable<float>(Tensor<float>::full({2}, 0, device)), {0, 1});
        CHECK(none.value().to_vector() == std::vector<float>(18, 0));
        CHECK(std::isnan(weighted_sum<float>({a, b}, Variable<float>(Tensor<float>::full({2}, 1, device)), {0, 1})
                             .value()
                             .to_vector()[17]));
    }
}

TEST_CASE("weighted_sum, selected_only: a term of weight 0 is left out of backward, its gradient is 0", "[ops]") {
    const auto device = test_device();
    const auto a = Variable<float>::leaf(Tensor<float>::full({2, 9}, 3, device)),
               b = Variable<float>::leaf(Tensor<float>::full({2, 9}, NAN, device));
    const auto w = Variable<float>::leaf(Tensor<float>::from({2, 0}, {2}, device));
    const auto inner = relu(b);
    backward(weighted_sum<float>({a, inner}, w, {0, 1}, true), Tensor<float>::full({2, 9}, 1, device));
    CHECK(w.grad().to_vector() == std::vector<float>{54, 0});
    CHECK(a.grad().to_vector() == std::vector<float>(18, 2));
    CHECK(b.grad().to_vector() == std::vector<float>(18, 0));
}

TEST_CASE("weighted_sum: only what wants a gradient gets one", "[ops]") {
    const auto device = test_device();
    const auto a = Variable<float>::leaf(Tensor<float>::full({2, 9}, 3, device)),
               b = Variable<float>::leaf(Tensor<float>::full({2, 9}, 4, device));
    const auto w = Variable<float>::leaf(Tensor<float>::from({2, 5}, {2}, device));
    const auto ones = Tensor<float>::full({2, 9}, 1, device);
    backward(weighted_sum<float>({a, b.detach()}, w.detach(), {0, 1}), ones);
    CHECK(a.grad().to_vector() == std::vector<float>(18, 2));
    backward(weighted_sum<float>({a.detach(), b.detach()}, w, {0, 1}), ones);
    CHECK(w.grad().to_vector() == std::vector<float>{54, 72});
    backward(weighted_sum<float>({a.detach(), b}, w, {0, 1}), ones);
    CHECK(w.grad().to_vector() == std::vector<float>{108, 144});
    CHECK(b.grad().to_vector() == std::vector<float>(18, 5));
    CHECK(a.grad().to_vector() == std::vector<float>(18, 2));
    CHECK_FALSE(weighted_sum<float>({a.detach()}, w.detach(), {0}).requires_grad());
}

TEST_CASE("weighted_sum says what clashes", "[ops]") {
    const auto device = test_device();
    const auto value = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1, device)); };
    const auto x = value({4, 3});
    CHECK_THROWS_WITH(weighted_sum<float>({}, value({2}), {}), "weighted_sum: no inputs");
    CHECK_THROWS_WITH(weighted_sum<float>({x, x}, value({2}), {0}), "weighted_sum: 1 columns for 2 inputs");
    CHECK_THROWS_WITH(weighted_sum<float>({x, Variable<float>()}, value({2}), {0, 1}),
                      "weighted_sum: input 1 has no value");
    CHECK_THROWS_WITH(weighted_sum<float>({x}, Variable<float>(), {0}), "weighted_sum: weights has no value");
    CHECK_THROWS_WITH(weighted_sum<float>({x, value({4, 2})}, value({2}), {0, 1}),
                      "weighted_sum: input 1 has shape [4, 2], input 0 has [4, 3]");
    CHECK_THROWS_WITH(weighted_sum<float>({x}, value({}), {0}),
                      "weighted_sum: weights have shape [], expected [M], [G, M] or [G, E, k]");
    CHECK_THROWS_WITH(weighted_sum<float>({x}, value({3, 2}), {0}),
                      "weighted_sum: weights [3, 2] have 3 rows, expected 1 or one for each image of [4, 3]");
    CHECK_THROWS_WITH(weighted_sum<float>({x}, value({4, 2, 3}), {6}),
                      "weighted_sum: column 6 of weights [4, 2, 3] with 6 columns");
    CHECK_THROWS_WITH(weighted_sum<float>({x}, value({2}), {-1}),
                      "weighted_sum: column -1 of weights [2] with 2 columns");
}

TEST_CASE("weighted_sum in a recorded step equals eager", "[ops][program]") {
    const auto device = test_device();
    const auto x = Variable<float>::leaf(random_tensor<float>({6, 5}, 1, device)),
               w = Variable<float>::leaf(random_tensor<float>({6, 2, 2}, 2, device));
    const auto seed = random_tensor<float>({6, 5}, 3, device);
    const auto step = [&] { return weighted_sum<float>({x, x * x, x}, w * w, {0, 3, 1}); };
    const auto eager = step();
    backward(eager, seed);
    const auto dx = x.grad().to_vector(), dw = w.grad().to_vector();
    x.set_grad(Tensor<float>::full({6, 5}, 0, device));
    w.set_grad(Tensor<float>::full({6, 2, 2}, 0, device));
    Variable<float> kept;
    const auto program = Program::record(device, [&] { kept = step(), backward(kept, seed); });
    for (int i = 0; i < 2; ++i) {
        x.grad().assign(0), w.grad().assign(0);
        program.run();
        CHECK(kept.value().to_vector() == eager.value().to_vector());
        CHECK(x.grad().to_vector() == dx);
        CHECK(w.grad().to_vector() == dw);
    }
}

TEST_CASE("weighted_sum mixes guarded branches of which only the selected one was computed", "[ops][program]") {
    const auto device = test_device();
    const auto x = Variable<float>::leaf(random_tensor<float>({4, 5}, 1, device, 0.1, 1.0));
    const auto w = Variable<float>::leaf(Tensor<float>::from({1, 0, 0}, {3}, device));
    const auto selected = Tensor<std::int32_t>::from({0}, {1}, device);
    const auto seed = Tensor<float>::full({4, 5}, 1, device);
    x.set_grad(Tensor<float>::full({4, 5}, 0, device));
    w.set_grad(Tensor<float>::full({3}, 0, device));
    Variable<float> kept;
    const auto step = [&] {
        std::vector<Variable<float>> branches;
        const auto stem = x * 1.0;  // unguarded, wants a gradient from every branch
        for (int j = 0; j < 3; ++j) {
            const GuardScope guard(Guard{selected.data(), j});
            branches.push_back(relu(stem * (j + 2.0)));
        }
        kept = weighted_sum(branches, w, {0, 1, 2}, true);
        backward(kept, seed);
    };
    const auto program = Program::record(device, step);
    const auto values = x.value().to_vector();
    const double total = std::accumulate(values.begin(), values.end(), 0.0);
    for (const bool recorded : {true, false})
        for (const int pick : {0, 2, 1, 1}) {
            selected.assign(std::vector<std::int32_t>{pick});
            std::vector<float> gate(3, 0.0f);
            gate[static_cast<std::size_t>(pick)] = 1;
            w.value().assign(gate);
            x.grad().assign(0), w.grad().assign(0);
            if (recorded)
                program.run();
            else
                step();
            const auto y = kept.value().to_vector(), dw = w.grad().to_vector();
            for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == values[i] * static_cast<float>(pick + 2));
            CHECK(x.grad().to_vector() == std::vector<float>(20, static_cast<float>(pick + 2)));
            for (int j = 0; j < 3; ++j)
                CHECK(std::abs(static_cast<double>(dw[static_cast<std::size_t>(j)]) -
                               (j == pick ? total * (pick + 2) : 0.0)) < 1e-4);
        }
}

}  // namespace ops_weighted_sum_test
