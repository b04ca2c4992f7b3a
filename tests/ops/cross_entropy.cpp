// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/cross_entropy.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <limits>

namespace ops_cross_entropy_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

template <class T>
Variable<T> logits(const std::vector<double>& x, const Shape& shape, const Device& device) {
    return Variable<T>::leaf(Tensor<T>::from(std::vector<T>(x.begin(), x.end()), shape, device));
}
Tensor<std::int32_t> random_labels(std::int64_t n, std::int64_t classes, const Device& device) {
    std::vector<std::int32_t> labels;
    for (std::int64_t i = 0; i < n; ++i) labels.push_back(static_cast<std::int32_t>((7 * i + 3) % classes));
    return Tensor<std::int32_t>::from(labels, {n}, device);
}

}  // namespace

TEST_CASE("cross_entropy equals a plain loop", "[ops]") {
    struct Case {
        std::int64_t n, classes;
        double smoothing;
    };
    for (const auto [n, classes, smoothing] :
         {Case{1, 1, 0}, Case{1, 10, 0}, Case{128, 10, 0}, Case{128, 10, 0.1}, Case{33, 3, 0.5}, Case{5, 5000, 0.1}}) {
        const auto x = random_values<double>(n * classes, 1, -4, 4);
        const auto labels = random_labels(n, classes, test_device()).to_vector();
        double expected = 0;
        for (std::int64_t r = 0; r < n; ++r) {
            double sum = 0;
            for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(x[static_cast<std::size_t>(r * classes + c)]);
            for (std::int64_t c = 0; c < classes; ++c) {
                const double q = (1 - smoothing) * (c == labels[static_cast<std::size_t>(r)]) +
                                 smoothing / static_cast<double>(classes);
                expected -= q * (x[static_cast<std::size_t>(r * classes + c)] - std::log(sum)) / static_cast<double>(n);
            }
        }
        const auto loss = [&]<class T>(T, const Device& device) {
            return cross_entropy(logits<T>(x, {n, classes}, device), random_labels(n, classes, device),
                                 {.label_smoothing = smoothing});
        };
        CHECK(loss(float{}, test_device()).shape() == Shape{});
        CHECK_THAT(loss(double{}, test_device()).value().item(), Catch::Matchers::WithinAbs(expected, 1e-12));
        CHECK_THAT(loss(float{}, test_device()).value().item(),
                   Catch::Matchers::WithinRel(static_cast<float>(expected), 2e-6f) ||
                       Catch::Matchers::WithinAbs(expected, 1e-7));
        CHECK(loss(float{}, test_device(1)).value().item() ==
              loss(float{}, test_device(5, cpu::Isa::portable)).value().item());
    }
}

TEST_CASE("cross_entropy gradient agrees with finite differences, float with double, and adds up", "[ops][gradcheck]") {
    const auto device = test_device();
    for (const double smoothing : {0.0, 0.1}) {
        const auto labels = random_labels(9, 7, device);
        const auto result =
            gradcheck([&](const auto& v) { return cross_entropy(v[0], labels, {.label_smoothing = smoothing}); },
                      {random_tensor<double>({9, 7}, 2, device, -2, 2)});
        INFO(result.message);
        CHECK(result.passed);
        const auto x = random_values<double>(4000 * 10, 3, -4, 4);
        const auto gradient = [&]<class T>(T, const Device& on, int uses) {
            const auto leaf = logits<T>(x, {4000, 10}, on);
            for (int use = 0; use < uses; ++use)
                backward(cross_entropy(leaf, random_labels(4000, 10, on), {.label_smoothing = smoothing}));
            return leaf.grad().to_vector();
        };
        auto reference = gradient(double{}, device, 1);
        CHECK(relative_error(gradient(float{}, device, 1), reference) < 1e-5);
        CHECK(gradient(float{}, test_device(1), 2) == gradient(float{}, test_device(5, cpu::Isa::portable), 2));
        for (auto& g : reference) g *= 2;
        CHECK(gradient(double{}, device, 2) == reference);
    }
}

TEST_CASE("cross_entropy is stable for huge logits and NaN for a label that does not exist", "[ops]") {
    const auto device = test_device();
    const auto x = logits<float>({1e30, -1e30, 0, 0}, {2, 2}, device);
    const auto labels = [&](std::int32_t a) { return Tensor<std::int32_t>::from({a, 1}, {2}, device); };
    CHECK_THAT(cross_entropy(x, labels(0)).value().item(), Catch::Matchers::WithinAbs(std::log(2.0) / 2, 1e-6));
    CHECK(cross_entropy(x, labels(1)).value().item() > 9e29f);
    CHECK(std::isnan(cross_entropy(x, labels(2)).value().item()));
    CHECK(std::isnan(cross_entropy(x, labels(-1)).value().item()));
    CHECK(std::isnan(
        cross_entropy(logits<float>({std::numeric_limits<double>::quiet_NaN(), 0, 0, 0}, {2, 2}, device), labels(1))
            .value()
            .item()));
    // A class ruled out by -inf costs nothing to the others.
    CHECK(cross_entropy(logits<float>({-std::numeric_limits<double>::infinity(), 0}, {1, 2}, device),
                        Tensor<std::int32_t>::full({1}, 1, device))
              .value()
              .item() == 0.0f);
}

TEST_CASE("cross_entropy in a recorded step gives the eager bits, run after run", "[ops][program]") {
    const auto device = test_device();
    const auto x = logits<float>(random_values<double>(40, 4), {8, 5}, device);
    const auto grad = Tensor<float>::full({8, 5}, 0, device);
    const auto labels = random_labels(8, 5, device);
    x.set_grad(grad);
    Variable<float> loss;
    const auto program = Program::record(device, [&] { backward(loss = cross_entropy(x, labels)); });
    for (int run = 0; run < 2; ++run) {
        grad.assign(0.0f);
        program.run();
        const auto eager = Variable<float>::leaf(x.value().clone());
        const auto expected = cross_entropy(eager, labels);
        CHECK(loss.value().item() == expected.value().item());
        backward(expected);
        CHECK(grad.to_vector() == eager.grad().to_vector());
        x.value().assign(random_values<float>(40, 5));
    }
}

TEST_CASE("cross_entropy says what it cannot take", "[ops]") {
    const auto device = test_device(), other = test_device();
    const auto x = logits<float>({1, 2, 3, 4, 5, 6}, {2, 3}, device);
    const auto labels = random_labels(2, 3, device);
    CHECK_THROWS_WITH(cross_entropy(Variable<float>(), labels), "cross_entropy: logits have no value");
    CHECK_THROWS_WITH(cross_entropy(x, {}), "cross_entropy: labels have no value");
    CHECK_THROWS_WITH(cross_entropy(logits<float>({1}, {1, 1, 1}, device), labels),
                      "cross_entropy: logits have shape [1, 1, 1], expected [rows, classes]");
    CHECK_THROWS_WITH(cross_entropy(x, random_labels(3, 3, device)),
                      "cross_entropy: labels have shape [3], expected [2] for logits [2, 3]");
    CHECK_THROWS_WITH(cross_entropy(x, random_labels(2, 3, other)),
                      "cross_entropy: logits and labels must be on one device, they are on cpu and cpu");
    CHECK_THROWS_WITH(cross_entropy(x, labels, {.label_smoothing = 1}),
                      "cross_entropy: label smoothing 1 is not in [0, 1)");
}

}  // namespace ops_cross_entropy_test
