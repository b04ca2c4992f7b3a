// SPDX-License-Identifier: MIT
// Primitive: one thing an edge can do. A name, a list of parameters, and a generic callable on Variables.
#pragma once

#include <hwnas/nn/layers.hpp>

#include <functional>

namespace hwnas {

/// Where a primitive stands: input [N, height, width, channels]; the output has `channels` too and is smaller by
/// `stride`.
struct Site {
    std::int64_t channels = 0, height = 0, width = 0;  ///< of the edge's input
    int stride = 1;                                    ///< of the edge
};

/// What a primitive owns at a site: weights (normal, mean 0), convolutions followed by batch norm, batch norms.
struct PrimitiveState {
    /// A tensor that is drawn from a normal distribution of mean 0.
    struct Weight {
        std::string name;           ///< unique in the primitive
        Shape shape;                ///< of the tensor
        double standard_deviation;  ///< of its initial values
    };
    /// A convolution with a batch norm behind it.
    struct Convolution {
        std::string name;                                ///< unique in the primitive
        std::int64_t kernel, in_channels, out_channels;  ///< side of the window; channels
        ConvOptions options = {};                        ///< stride, padding, dilation
    };
    /// A batch norm over the site's channels.
    struct Norm {
        std::string name;    ///< unique in the primitive
        bool affine = true;  ///< with scale and shift
        /// The 1x1 weights whose results, side by side, it normalises: fold() multiplies it into them.
        std::vector<std::size_t> folds_into = {};
    };
    std::vector<Weight> weights = {};            ///< read by weight(i)
    std::vector<Convolution> convolutions = {};  ///< used as convolutions[i](x, phase)
    std::vector<Norm> norms = {};                ///< used as norms[i](x, phase)
    /// Nothing to learn: it then runs once a vertex.
    bool empty() const { return weights.empty() && convolutions.empty() && norms.empty(); }
};

/// The same, made: what the callable of a primitive receives.
template <class T>
struct PrimitiveParameters {
    std::vector<Parameter<T>> weights;                      ///< in the order of the state's
    std::vector<ConvNorm<T>> convolutions;                  ///< in the order of the state's
    std::vector<BatchNorm<T>> norms;                        ///< in the order of the state's
    std::vector<std::vector<std::size_t>> folds_into = {};  ///< PrimitiveState::Norm::folds_into

    PrimitiveParameters() = default;
    /// Initial values of what `state` lists.
    PrimitiveParameters(const Initializer<T>& init, const PrimitiveState& state, std::int64_t channels) {
        for (const auto& weight : state.weights)
            weights.push_back(init.normal(weight.name, weight.shape, weight.standard_deviation));
        for (const auto& c : state.convolutions)
            convolutions.emplace_back(init.in(c.name), c.kernel, c.in_channels, c.out_channels, c.options);
        for (const auto& norm : state.norms) {
            norms.emplace_back(init.in(norm.name), channels, norm.affine);
            folds_into.push_back(norm.folds_into);
        }
    }
    /// Number i of the state's weights.
    const Variable<T>& weight(std::size_t i) const { return folded.empty() ? weights.at(i).variable : folded.at(i); }
    /// What a folded norm adds behind weight i; undefined: nothing.
    Variable<T> bias(std::size_t i) const { return biases.empty() ? Variable<T>() : biases.at(i); }
    /// Folds every batch norm (for inference): into the weights before it, or else into one factor and offset a
    /// channel.
    void fold() {
        for (auto& c : convolutions) c.fold();
        for (const auto& w : weights) folded.push_back(w.variable);
        biases.resize(weights.size());
        for (std::size_t n = 0; n < norms.size(); ++n) {
            if (folds_into[n].empty()) {
                norms[n].fold();
                continue;
            }
            const auto [factor, offset] = norms[n].affine();
            std::size_t first = 0;
            for (const std::size_t i : folds_into[n]) {
                const auto columns = static_cast<std::size_t>(weights.at(i).variable.shape()[-1]);
                folded[i] = detail::scaled_columns(weights[i].variable, factor, first);
                biases[i] = detail::constant_run<T>(offset, first, columns, weights[i].variable.device());
                first += columns;
            }
            require(first == factor.size(), "primitive: a norm of {} channels folds into weights of {}", factor.size(),
                    first);
            norms[n].absorb();
        }
    }
    /// Appends all of it.
    void collect(ModuleState<T>& state) const {
        for (const auto& w : weights) state.parameters.push_back(w);
        for (const auto& c : convolutions) c.collect(state);
        for (const auto& n : norms) n.collect(state);
    }

private:
    std::vector<Variable<T>> folded, biases;  ///< once folded: of every weight
};

/// What a primitive without anything around it computes, at stride 1: cells of such primitives run fused.
enum class BareForm {
    none,                ///< anything else
    depthwise_conv_3x3,  ///< of weight 0, [3, 3, C]
    identity,
    max_pool_3x3
};

/// Properties the rest of the library asks about.
struct PrimitiveTraits {
    bool convolution = false;        ///< a node it feeds gets the node transform (space `pointwise`)
    bool pool = false;               ///< what profile C penalises
    bool identity = false;           ///< returns its input: no kernel of its own
    BareForm bare = BareForm::none;  ///< what it is per channel, if the fused node can run it
};

/// `Primitive("max_pool_3x3", [](const Site&) { return PrimitiveState{}; }, [](const auto& x, const auto& p, const
/// Site& site, Phase phase) {...})` The callable is instantiated for float (search) and double (gradient checks). It
/// returns a Variable, or, where it ends in a batch norm, better a Normalized: a relaxed node then applies the norm
/// while it adds.
class Primitive {
    template <class T>
    using Apply = std::function<Normalized<T>(const Variable<T>&, const PrimitiveParameters<T>&, const Site&, Phase)>;

public:
    /// Name, what it owns at a site, and what it computes.
    template <class F>
    Primitive(std::string name, std::function<PrimitiveState(const Site&)> state, F apply, PrimitiveTraits traits = {})
        : name_(std::move(name)), traits_(traits), state_(std::move(state)) {
        static_assert(std::is_constructible_v<Apply<float>, F> && std::is_constructible_v<Apply<double>, F>,
                      "a primitive's callable is used with float and with double and returns a Variable or Normalized: "
                      "[](const auto& x, const auto& parameters, const Site& site, Phase phase) { ... }");
        float_ = apply, double_ = apply;
        require(!name_.empty() && name_.find_first_of("|~+/ \t\n\"") == std::string::npos,
                "primitive: \"{}\" is no name (not empty, no spaces, none of | ~ + / \")", name_);
    }
    /// By which all that is stored refers to it.
    const std::string& name() const { return name_; }
    /// As constructed.
    const PrimitiveTraits& traits() const { return traits_; }
    /// What it owns at a site.
    PrimitiveState state(const Site& site) const { return state_(site); }
    /// x [N, H, W, C] -> [N, H / stride, W / stride, C].
    template <class T>
    Variable<T> operator()(const Variable<T>& x, const PrimitiveParameters<T>& p, const Site& site, Phase phase) const {
        return normalized(x, p, site, phase).value();
    }
    /// The same, a last batch norm not yet applied.
    Normalized<float> normalized(const Variable<float>& x, const PrimitiveParameters<float>& p, const Site& site,
                                 Phase phase) const {
        return float_(x, p, site, phase);
    }
    /// The same in double.
    Normalized<double> normalized(const Variable<double>& x, const PrimitiveParameters<double>& p, const Site& site,
                                  Phase phase) const {
        return double_(x, p, site, phase);
    }

private:
    std::string name_;
    PrimitiveTraits traits_;
    std::function<PrimitiveState(const Site&)> state_;
    Apply<float> float_;
    Apply<double> double_;
};

}  // namespace hwnas
