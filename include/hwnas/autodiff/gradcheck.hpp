// SPDX-License-Identifier: MIT
// gradcheck(): backward() against central differences, in double. The whole Jacobian is tested through a fixed random
// projection of the output, so every output element takes part.
#pragma once

#include <hwnas/autodiff/backward.hpp>

#include <cmath>

namespace hwnas {

/// How gradcheck() differentiates, and what it lets pass.
struct GradcheckOptions {
    double step = 1e-6;       ///< of the central difference, relative to max(1, |x|)
    double tolerance = 1e-6;  ///< on |numeric - analytic| / (|numeric| + |analytic|), norms over one input
    std::uint64_t seed = 1;   ///< of the random projection of the output
};
/// What gradcheck() found.
struct GradcheckResult {
    bool passed = true;   ///< every input is within the tolerance
    double worst = 0;     ///< largest relative error of any input
    std::string message;  ///< names the worst input where it did not pass; else empty
};

/// Compares backward() with central differences, in double, for every input of f: std::vector<Variable<double>> ->
/// Variable<double>, smooth around `inputs` (choose points away from kinks).
template <class F>
GradcheckResult gradcheck(F&& f, const std::vector<Tensor<double>>& inputs, const GradcheckOptions& options = {}) {
    std::vector<Variable<double>> leaves;
    for (const auto& input : inputs) leaves.push_back(Variable<double>::leaf(input.clone()));
    const Variable<double> output = f(leaves);
    std::vector<double> projection(static_cast<std::size_t>(output.shape().elements()));
    const random::Key key = Seed{options.seed}.stream("gradcheck");
    for (std::size_t i = 0; i < projection.size(); ++i)
        projection[i] = 2.0 * static_cast<double>(random::uniform(random::words_at(key, i, 0).w[0])) - 1.0;
    backward(output, Tensor<double>::from(projection, output.shape(), output.device()));

    const auto value = [&] {
        const NoGrad no_grad;
        const auto y = f(leaves).value().to_vector();
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i) sum += projection[i] * y[i];
        return sum;
    };
    GradcheckResult result;
    for (std::size_t k = 0; k < leaves.size(); ++k) {
        auto x = leaves[k].value().to_vector();
        const auto analytic =
            leaves[k].grad().defined() ? leaves[k].grad().to_vector() : std::vector<double>(x.size(), 0.0);
        double difference = 0, scale = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double original = x[i], h = options.step * std::max(1.0, std::abs(original));
            x[i] = original + h;
            leaves[k].value().assign(x);
            const double up = value();
            x[i] = original - h;
            leaves[k].value().assign(x);
            const double down = value();
            x[i] = original;
            const double numeric = (up - down) / (2 * h);
            difference += (numeric - analytic[i]) * (numeric - analytic[i]);
            scale += numeric * numeric + analytic[i] * analytic[i];
        }
        leaves[k].value().assign(x);
        const double error =
            std::isfinite(difference) ? std::sqrt(difference) / std::max(std::sqrt(scale), 1e-8) : HUGE_VAL;
        result.worst = std::max(result.worst, error);
        if (!(error <= options.tolerance)) {
            result.passed = false;
            result.message += fmt::format("input {} of shape {}: relative error {:.3g}\n", k, inputs[k].shape(), error);
        }
    }
    return result;
}

}  // namespace hwnas
