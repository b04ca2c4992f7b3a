// SPDX-License-Identifier: MIT
// What tests of modules share: their gradients by name, finite differences over leaves that a module owns, and
// random cell graphs.
#pragma once

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <hwnas/nn/parameter.hpp>
#include <hwnas/space/architecture.hpp>

#include <map>

namespace hwnas::testing {

/// Gradients by parameter name; zeros where none arrived.
template <class T>
std::map<std::string, std::vector<T>> gradients(const ModuleState<T>& state) {
    std::map<std::string, std::vector<T>> result;
    for (const auto& [name, variable] : state.parameters)
        result[name] = variable.grad().defined()
                           ? variable.grad().to_vector()
                           : std::vector<T>(static_cast<std::size_t>(variable.shape().elements()), T(0));
    return result;
}
template <class T>
std::vector<T> gradient(const Variable<T>& leaf) {
    return leaf.grad().defined() ? leaf.grad().to_vector()
                                 : std::vector<T>(static_cast<std::size_t>(leaf.shape().elements()), T(0));
}

/// |a - b| / |b| for gradients of values near 1; one of 0, as where a batch norm follows, is 0 up to rounding.
template <class T>
double gradient_error(const std::vector<T>& a, const std::vector<T>& b) {
    if (a.size() != b.size()) return HUGE_VAL;
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < a.size(); ++i) difference += (a[i] - b[i]) * (a[i] - b[i]), norm += b[i] * b[i];
    return std::isfinite(difference) ? std::sqrt(difference) / std::max(std::sqrt(norm), 1e-3) : HUGE_VAL;
}

/// The worst relative error of backward() against central differences over `leaves`; at most `each` elements of a leaf
/// are varied. f() -> Variable<double> must be smooth there.
template <class F>
double difference_error(F&& f, const std::vector<Variable<double>>& leaves, std::size_t each = 1'000'000) {
    const Variable<double> output = f();
    const auto projection = random_values<double>(output.shape().elements(), 1);
    backward(output, Tensor<double>::from(projection, output.shape(), output.device()));
    const auto value = [&] {
        const NoGrad no_grad;
        const auto y = f().value().to_vector();
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i) sum += projection[i] * y[i];
        return sum;
    };
    double worst = 0, largest = 0;
    std::vector<std::pair<double, double>> found;  // difference and size of the gradients of a leaf
    for (const auto& leaf : leaves) {
        auto x = leaf.value().to_vector();
        const auto analytic = gradient(leaf);
        double difference = 0, scale = 0;
        const std::size_t stride = std::max<std::size_t>(1, x.size() / each);
        for (std::size_t i = 0; i < x.size(); i += stride) {
            const double original = x[i], h = 1e-6 * std::max(1.0, std::abs(original));
            x[i] = original + h;
            leaf.value().assign(x);
            const double up = value();
            x[i] = original - h;
            leaf.value().assign(x);
            const double down = value(), numeric = (up - down) / (2 * h);
            x[i] = original;
            difference += (numeric - analytic[i]) * (numeric - analytic[i]);
            scale += numeric * numeric + analytic[i] * analytic[i];
        }
        leaf.value().assign(x);
        found.emplace_back(std::sqrt(difference), std::sqrt(scale));
        largest = std::max(largest, std::sqrt(scale));
    }
    // A weight before a batch norm has a gradient of almost 0: rounding is measured against the largest.
    for (const auto& [difference, scale] : found)
        worst = std::max(worst, std::isfinite(difference) ? difference / std::max(scale, 1e-3 * largest) : HUGE_VAL);
    return worst;
}

/// A graph of 1 to 3 inputs and 1 to 5 nodes with random edges.
inline CellGraph random_graph(std::uint64_t seed) {
    const auto key = Seed{seed}.stream("graph");
    std::uint64_t draws = 0;
    const auto draw = [&](int n) {
        return static_cast<int>(random::words_at(key, draws++, 0).w[0] % static_cast<std::uint32_t>(n));
    };
    CellGraph graph{.inputs = 1 + draw(3), .nodes = 1 + draw(5)};
    for (int to = graph.inputs; to < graph.inputs + graph.nodes; ++to) {
        const int certain = draw(to);
        for (int from = 0; from < to; ++from)
            if (from == certain || draw(2) == 0) graph.edges.push_back({from, to});
        if (to + 1 == graph.inputs + graph.nodes || draw(3) != 0) graph.concat.push_back(to);
    }
    return graph.checked();
}

/// Numbers below k, one a row.
inline std::vector<int> random_choices(int rows, int k, std::uint64_t seed) {
    std::vector<int> choices;
    const auto key = Seed{seed}.stream("choices");
    for (int row = 0; row < rows; ++row)
        choices.push_back(static_cast<int>(random::words_at(key, static_cast<std::uint64_t>(row), 0).w[0] %
                                           static_cast<std::uint32_t>(k)));
    return choices;
}
/// Rows of positive weights that sum to 1, [groups, rows, k].
template <class T>
Tensor<T> random_mixture(std::int64_t groups, std::int64_t rows, std::int64_t k, std::uint64_t seed,
                         const Device& device) {
    auto values = random_values<T>(groups * rows * k, seed, 0.1, 1.0);
    for (std::size_t row = 0; row < values.size(); row += static_cast<std::size_t>(k)) {
        T sum = 0;
        for (std::size_t m = row; m < row + static_cast<std::size_t>(k); ++m) sum += values[m];
        for (std::size_t m = row; m < row + static_cast<std::size_t>(k); ++m) values[m] /= sum;
    }
    return Tensor<T>::from(values, {groups, rows, k}, device);
}

}  // namespace hwnas::testing
