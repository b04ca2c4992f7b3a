// SPDX-License-Identifier: MIT
#include <hwnas/cpu/adam.hpp>
#include <hwnas/cpu/step.hpp>

#include <hwnas/autodiff/program.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace cpu_adam_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

constexpr double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, rate = 0.01;

/// Five steps as PyTorch's AdamW does them, in double.
std::vector<double> reference(std::int64_t n, double decay, const std::vector<std::vector<double>>& gradients) {
    auto p = random_values<double>(n, 1);
    std::vector<double> m(p.size(), 0), v(p.size(), 0);
    for (std::size_t step = 0; step < gradients.size(); ++step) {
        const double t = static_cast<double>(step) + 1, correction1 = 1 - std::pow(beta1, t),
                     correction2 = 1 - std::pow(beta2, t);
        for (std::size_t i = 0; i < p.size(); ++i) {
            const double g = gradients[step][i];
            p[i] *= 1 - rate * decay;
            m[i] = beta1 * m[i] + (1 - beta1) * g;
            v[i] = beta2 * v[i] + (1 - beta2) * g * g;
            p[i] -= rate * (m[i] / correction1) / (std::sqrt(v[i] / correction2) + epsilon);
        }
    }
    return p;
}

template <class T>
struct State {
    Tensor<T> p, m, v, g, learning_rate;
    Tensor<std::int64_t> step;
    contract::Adam<T> call(double decay) const {
        return {p.data(),
                m.data(),
                v.data(),
                g.data(),
                learning_rate.data(),
                step.data(),
                p.elements(),
                static_cast<T>(beta1),
                static_cast<T>(beta2),
                static_cast<T>(epsilon),
                static_cast<T>(decay)};
    }
};
template <class T>
State<T> fresh(std::int64_t n, const Device& device) {
    const auto start = random_values<double>(n, 1);
    return {Tensor<T>::from(std::vector<T>(start.begin(), start.end()), {n}, device),
            Tensor<T>::full({n}, 0, device),
            Tensor<T>::full({n}, 0, device),
            Tensor<T>::full({n}, 0, device),
            Tensor<T>::scalar(static_cast<T>(rate), device),
            Tensor<std::int64_t>::scalar(0, device)};
}
template <class T>
std::vector<T> five_steps(std::int64_t n, double decay, const std::vector<std::vector<double>>& gradients,
                          const Device& device) {
    const auto state = fresh<T>(n, device);
    for (const auto& gradient : gradients) {
        state.g.assign(std::vector<T>(gradient.begin(), gradient.end()));
        submit(device, state.call(decay));
        submit(device, contract::Advance{state.step.data(), 1});
    }
    return state.p.to_vector();
}

}  // namespace

TEST_CASE("adam equals five steps written by hand, with and without decoupled weight decay", "[cpu]") {
    for (const std::int64_t n : {1, 3, 8, 17, 40'001}) {
        std::vector<std::vector<double>> gradients;
        for (std::uint64_t step = 0; step < 5; ++step) gradients.push_back(random_values<double>(n, 10 + step));
        for (const double decay : {0.0, 0.1}) {
            const auto expected = reference(n, decay, gradients);
            CHECK(relative_error(five_steps<double>(n, decay, gradients, test_device()), expected) < 1e-13);
            const auto single = five_steps<float>(n, decay, gradients, test_device(1));
            CHECK(relative_error(single, expected) < 1e-5);
            CHECK(single == five_steps<float>(n, decay, gradients, test_device(2)));
            CHECK(single == five_steps<float>(n, decay, gradients, test_device(5)));
            CHECK(relative_error(five_steps<float>(n, decay, gradients, test_device(3, cpu::Isa::portable)), expected) <
                  1e-5);
        }
    }
}

TEST_CASE("adam with no gradient leaves parameters alone, and its first step is the learning rate", "[cpu]") {
    const auto device = test_device();
    const auto state = fresh<float>(11, device);
    const auto before = state.p.to_vector();
    submit(device, state.call(0));
    CHECK(state.p.to_vector() == before);
    state.g.assign(random_values<float>(11, 2, 0.5, 1.0));
    state.m.assign(0.0f), state.v.assign(0.0f);
    submit(device, state.call(0));
    for (std::size_t i = 0; i < before.size(); ++i)
        CHECK_THAT(before[i] - state.p.to_vector()[i], Catch::Matchers::WithinAbs(rate, 1e-6));
}

TEST_CASE("adam in a recorded step counts its steps on the device", "[cpu][program]") {
    const auto device = test_device();
    const auto state = fresh<float>(19, device);
    const auto gradient = random_values<double>(19, 3);
    state.g.assign(std::vector<float>(gradient.begin(), gradient.end()));
    const auto program = Program::record(device, [&] {
        submit(device, state.call(0.1));
        submit(device, contract::Advance{state.step.data(), 1});
    });
    for (int run = 0; run < 5; ++run) program.run();
    CHECK(state.p.to_vector() == five_steps<float>(19, 0.1, std::vector(5, gradient), device));
}

}  // namespace cpu_adam_test
