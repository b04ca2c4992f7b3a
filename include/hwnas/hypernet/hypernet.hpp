// SPDX-License-Identifier: MIT
// HyperNet: S -> architecture logits alpha [rows, k]. An MLP, or an interpolation between learnable pivots of the
// simplex with weights softmax(-|S - pivot|^2 / h). (The authors' code has +, there the farthest pivot wins.)
// The last layer starts near 0, so that every mixture starts near uniform. The condition may have one number more: how
// much latency weighs, from 0 to 1; one training run then covers both axes.
#pragma once

#include <hwnas/hypernet/simplex.hpp>
#include <hwnas/nn/layers.hpp>
#include <hwnas/ops/add.hpp>
#include <hwnas/ops/concat.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/reshape.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/softmax.hpp>
#include <hwnas/space/search_space.hpp>

namespace hwnas {

/// How a hypernetwork computes logits: by a multilayer perceptron on k (S - 1/k), or by interpolation between learnable
/// pivots of the simplex, alpha = sum_r softmax_r(-|S - pivot_r|^2 / h) A_r.
enum class HyperNetForm { mlp, pivots };
/// Form and size of a hypernetwork; the two fields of the other form are not read.
struct HyperNetOptions {
    HyperNetForm form = HyperNetForm::mlp;  ///< perceptron or pivots
    int hidden = 64;                        ///< units of each of the two hidden layers (mlp)
    int pivots = 16;                        ///< number of pivots, each with a table of logits (pivots)
    double bandwidth = 0.05;                ///< h, in squared distance on the simplex: smaller is more local (pivots)
    bool latency_weight =
        false;  ///< the condition is (S, w): w from 0 to 1 is the latency weight as a part of its largest value
};

/// What a hypernetwork is asked: S, and the latency weight as a part of its largest value where it is conditioned on
/// it.
struct Condition {
    Complexity s;  ///< one penalty weight a primitive, summing to 1
    /// Latency weight over the largest one of the search, 0 to 1; without the second axis not read.
    double weight = 0.5;
};

/// H_a, the network that turns a complexity vector into architecture logits alpha [rows, k]. Its last layer starts near
/// 0, so that every mixture starts near uniform. Movable; clone() copies.
template <class T>
class BasicHyperNet {
public:
    /// Type of its weights: float or double.
    using value_type = T;
    /// A hypernetwork for the rows and primitives of a space.
    BasicHyperNet(const SearchSpace& space, const Device& device, Seed seed = {}, const HyperNetOptions& options = {})
        : BasicHyperNet(space.architecture().rows(), space.architecture().k(), device, seed, options) {}
    /// A hypernetwork for the rows and primitives of an architecture, whoever built it.
    BasicHyperNet(const Architecture& architecture, const Device& device, Seed seed = {},
                  const HyperNetOptions& options = {})
        : BasicHyperNet(architecture.rows(), architecture.k(), device, seed, options) {}
    /// A hypernetwork for `rows` rows of `k` logits. Throws Error for sizes below 1 or a bandwidth that is not above 0.
    BasicHyperNet(int rows, int k, const Device& device, Seed seed = {}, const HyperNetOptions& options = {})
        : rows_(rows), k_(k), options_(options), device_(device), seed_(seed) {
        require(rows >= 1 && k >= 1, "hypernet: {} rows of {} primitives", rows, k);
        const Initializer<T> init(device, seed.in("hypernet"));
        if (options.form == HyperNetForm::mlp) {
            require(options.hidden >= 1, "hypernet: {} hidden units", options.hidden);
            layers_ = {Linear<T>(init.in("layer_0"), inputs(), options.hidden, std::sqrt(2.0 / inputs())),
                       Linear<T>(init.in("layer_1"), options.hidden, options.hidden, std::sqrt(2.0 / options.hidden)),
                       Linear<T>(init.in("layer_2"), options.hidden, std::int64_t{rows_} * k_, 1e-3)};
        } else {
            require(options.pivots >= 1, "hypernet: {} pivots", options.pivots);
            require(options.bandwidth > 0, "hypernet: bandwidth {} is not above 0", options.bandwidth);
            std::vector<T> points;
            const auto number = [](int p) { return static_cast<std::uint64_t>(p); };
            const auto streams = seed.in("hypernet");
            for (int p = 0; p < options.pivots; ++p) {
                for (const double x : random_complexity(k_, streams.stream("pivots"), number(p)))
                    points.push_back(static_cast<T>(x));
                if (options.latency_weight)
                    points.push_back(static_cast<T>(
                        random::uniform(random::words_at(streams.stream("pivot weights"), number(p), 0).w[0])));
            }
            pivots_ = {"pivots", Variable<T>::leaf(Tensor<T>::from(points, {options.pivots, inputs()}, device))};
            table_ = init.normal("table", {options.pivots, std::int64_t{rows_} * k_}, 1e-3);
            ones_ = Variable<T>(Tensor<T>::full({inputs(), 1}, T(1), device));
        }
    }
    BasicHyperNet(BasicHyperNet&&) = default;
    BasicHyperNet& operator=(BasicHyperNet&&) = default;

    /// S [k] -> alpha [rows, k]. weight [1], the latency weight as a part of its largest value, must be given to a
    /// hypernetwork that is conditioned on it and to no other (else Error).
    Variable<T> forward(const Variable<T>& s, const Variable<T>& weight = {}) const {
        const LabelScope label("hypernet");
        require(s.shape() == Shape{k_}, "hypernet: complexity vector of shape {}, expected [{}]", s.shape(), k_);
        require(weight.defined() == options_.latency_weight,
                "hypernet: a latency weight is {} (HyperNetOptions::latency_weight is {})",
                weight.defined() ? "given, but nothing depends on it" : "missing, the condition has one",
                options_.latency_weight);
        if (weight.defined())
            require(weight.shape() == Shape{1}, "hypernet: latency weight of shape {}, expected [1]", weight.shape());
        if (options_.form == HyperNetForm::mlp)
            return reshape(
                perceptron(reshape(centred(s), {1, k_}), weight.defined() ? reshape(weight, {1, 1}) : Variable<T>()),
                {rows_, k_});
        const auto difference = subtract(pivots_.variable, weight.defined() ? concat<T>({s, weight}) : s);
        const auto distance = reshape(linear(multiply(difference, difference), ones_), {1, options_.pivots});
        return reshape(linear(softmax(scale(distance, -1.0 / options_.bandwidth)), table_.variable), {rows_, k_});
    }
    /// Logits at S on the host, row-major [rows, k]; throws Error for an S that is not on the simplex.
    std::vector<double> logits(const Complexity& s, double weight = 0.5) const {
        return logits(std::vector<Condition>{{s, weight}});
    }
    /// Logits of many conditions in one pass, row-major [conditions, rows, k]; equal to those of each alone up to
    /// rounding. Throws Error for an S that is not on the simplex or a weight outside 0 to 1.
    std::vector<double> logits(const std::vector<Condition>& conditions) const {
        std::vector<T> s, weights;
        for (const auto& condition : conditions) {
            check_complexity(condition.s, k_);
            require(condition.weight >= 0 && condition.weight <= 1,
                    "hypernet: latency weight {} of its largest value is outside 0 to 1", condition.weight);
            for (const double x : condition.s) s.push_back(static_cast<T>(x));
            weights.push_back(static_cast<T>(condition.weight));
        }
        const NoGrad no_grad;
        std::vector<double> result;
        const auto take = [&](const Variable<T>& alpha) {
            const auto values = alpha.value().to_vector();
            result.insert(result.end(), values.begin(), values.end());
        };
        const auto part = [&](const std::vector<T>& values, std::int64_t first, const Shape& shape) {
            const auto from = values.begin() + static_cast<std::ptrdiff_t>(first);
            return Variable<T>(Tensor<T>::from(
                std::vector<T>(from, from + static_cast<std::ptrdiff_t>(shape.elements())), shape, device_));
        };
        const bool weighted = options_.latency_weight, mlp = options_.form == HyperNetForm::mlp;
        const auto count = static_cast<std::int64_t>(conditions.size());
        for (std::int64_t i = 0, n = 0; i < count; i += n) {
            n = mlp ? std::min<std::int64_t>(count - i, 1'024) : 1;
            if (mlp)
                take(
                    perceptron(centred(part(s, i * k_, {n, k_})), weighted ? part(weights, i, {n, 1}) : Variable<T>()));
            else
                take(forward(part(s, i * k_, {k_}), weighted ? part(weights, i, {1}) : Variable<T>()));
        }
        return result;
    }
    /// Rows of logits: searched edges.
    int rows() const { return rows_; }
    /// Logits a row: primitives, and entries of S.
    int k() const { return k_; }
    /// The options it was built with.
    const HyperNetOptions& options() const { return options_; }
    /// Its parameters by name, sharing its memory.
    ModuleState<T> state() const {
        ModuleState<T> state;
        for (const auto& layer : layers_) layer.collect(state);
        if (pivots_.variable.defined()) state.parameters.push_back(pivots_), state.parameters.push_back(table_);
        return state;
    }
    /// A copy on the same device that shares no memory with this one.
    BasicHyperNet clone() const {
        BasicHyperNet other(rows_, k_, device_, seed_, options_);
        copy_state(state(), other.state());
        return other;
    }

private:
    std::int64_t inputs() const { return k_ + (options_.latency_weight ? 1 : 0); }
    /// k (S - 1/k): centred and scaled, so that the first layer sees values of order 1.
    Variable<T> centred(const Variable<T>& s) const {
        const Variable<T> centre(Tensor<T>::full({k_}, static_cast<T>(1.0 / k_), device_));
        return scale(subtract(s, centre), static_cast<double>(k_));
    }
    /// Centred S [N, k] and weights [N, 1] or none -> [N, rows k].
    Variable<T> perceptron(Variable<T> x, const Variable<T>& weights) const {
        if (weights.defined()) {
            const Variable<T> half(Tensor<T>::full({1}, T(0.5), device_));
            x = concat<T>({x, scale(subtract(weights, half), 2.0)});
        }
        return layers_[2](relu(layers_[1](relu(layers_[0](x)))));
    }
    int rows_ = 0, k_ = 0;
    HyperNetOptions options_;
    Device device_;
    Seed seed_;
    std::vector<Linear<T>> layers_;
    Parameter<T> pivots_, table_;
    Variable<T> ones_;
};

/// The hypernetwork in float.
using HyperNet = BasicHyperNet<float>;

}  // namespace hwnas
