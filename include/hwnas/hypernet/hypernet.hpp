// SPDX-License-Identifier: MIT
// HyperNet: S -> architecture logits alpha [rows, k]. An MLP, or an interpolation between learnable pivots of the
// simplex with weights softmax(-|S - pivot|^2 / h). (The authors' code has +, there the farthest pivot wins.)
// The last layer starts near 0, so that every mixture starts near uniform.
#pragma once

#include <hwnas/hypernet/simplex.hpp>
#include <hwnas/nn/layers.hpp>
#include <hwnas/ops/add.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/reshape.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/softmax.hpp>
#include <hwnas/space/search_space.hpp>

namespace hwnas {

enum class HyperNetForm { mlp, pivots };
struct HyperNetOptions {
    HyperNetForm form = HyperNetForm::mlp;
    int hidden = 64;          ///< units of each of the two hidden layers (mlp)
    int pivots = 16;          ///< number of pivots
    double bandwidth = 0.05;  ///< h
};

template <class T>
class BasicHyperNet {
public:
    using value_type = T;
    BasicHyperNet(const SearchSpace& space, const Device& device, Seed seed = {}, const HyperNetOptions& options = {})
        : BasicHyperNet(space.architecture().rows(), space.architecture().k(), device, seed, options) {}
    BasicHyperNet(const Architecture& architecture, const Device& device, Seed seed = {},
                  const HyperNetOptions& options = {})
        : BasicHyperNet(architecture.rows(), architecture.k(), device, seed, options) {}
    BasicHyperNet(int rows, int k, const Device& device, Seed seed = {}, const HyperNetOptions& options = {})
        : rows_(rows), k_(k), options_(options), device_(device), seed_(seed) {
        require(rows >= 1 && k >= 1, "hypernet: {} rows of {} primitives", rows, k);
        const Initializer<T> init(device, seed.in("hypernet"));
        if (options.form == HyperNetForm::mlp) {
            require(options.hidden >= 1, "hypernet: {} hidden units", options.hidden);
            layers_ = {Linear<T>(init.in("layer_0"), k_, options.hidden, std::sqrt(2.0 / k_)),
                       Linear<T>(init.in("layer_1"), options.hidden, options.hidden, std::sqrt(2.0 / options.hidden)),
                       Linear<T>(init.in("layer_2"), options.hidden, std::int64_t{rows_} * k_, 1e-3)};
        } else {
            require(options.pivots >= 1, "hypernet: {} pivots", options.pivots);
            require(options.bandwidth > 0, "hypernet: bandwidth {} is not above 0", options.bandwidth);
            std::vector<T> points;
            for (int p = 0; p < options.pivots; ++p)
                for (const double x :
                     random_complexity(k_, seed.in("hypernet").stream("pivots"), static_cast<std::uint64_t>(p)))
                    points.push_back(static_cast<T>(x));
            pivots_ = {"pivots", Variable<T>::leaf(Tensor<T>::from(points, {options.pivots, k_}, device))};
            table_ = init.normal("table", {options.pivots, std::int64_t{rows_} * k_}, 1e-3);
            ones_ = Variable<T>(Tensor<T>::full({k_, 1}, T(1), device));
        }
    }
    BasicHyperNet(BasicHyperNet&&) = default;
    BasicHyperNet& operator=(BasicHyperNet&&) = default;

    /// S [k] -> alpha [rows, k].
    Variable<T> forward(const Variable<T>& s) const {
        const LabelScope label("hypernet");
        require(s.shape() == Shape{k_}, "hypernet: complexity vector of shape {}, expected [{}]", s.shape(), k_);
        Variable<T> alpha;
        if (options_.form == HyperNetForm::mlp) {
            // Centred and scaled, so that the first layer sees values of order 1.
            const Variable<T> centre(Tensor<T>::full({k_}, static_cast<T>(1.0 / k_), device_));
            alpha = reshape(scale(subtract(s, centre), static_cast<double>(k_)), {1, k_});
            alpha = layers_[2](relu(layers_[1](relu(layers_[0](alpha)))));
        } else {
            const auto difference = subtract(pivots_.variable, s);
            const auto distance = reshape(linear(multiply(difference, difference), ones_), {1, options_.pivots});
            alpha = linear(softmax(scale(distance, -1.0 / options_.bandwidth)), table_.variable);
        }
        return reshape(alpha, {rows_, k_});
    }
    /// Logits on the host, row-major [rows, k].
    std::vector<double> logits(const Complexity& s) const {
        check_complexity(s, k_);
        const NoGrad no_grad;
        const auto alpha = forward(Variable<T>(Tensor<T>::from(std::vector<T>(s.begin(), s.end()), {k_}, device_)))
                               .value()
                               .to_vector();
        return {alpha.begin(), alpha.end()};
    }
    int rows() const { return rows_; }
    int k() const { return k_; }
    const HyperNetOptions& options() const { return options_; }
    ModuleState<T> state() const {
        ModuleState<T> state;
        for (const auto& layer : layers_) layer.collect(state);
        if (pivots_.variable.defined()) state.parameters.push_back(pivots_), state.parameters.push_back(table_);
        return state;
    }
    BasicHyperNet clone() const {
        BasicHyperNet other(rows_, k_, device_, seed_, options_);
        copy_state(state(), other.state());
        return other;
    }

private:
    int rows_ = 0, k_ = 0;
    HyperNetOptions options_;
    Device device_;
    Seed seed_;
    std::vector<Linear<T>> layers_;
    Parameter<T> pivots_, table_;
    Variable<T> ones_;
};

using HyperNet = BasicHyperNet<float>;

}  // namespace hwnas
