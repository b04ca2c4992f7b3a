// SPDX-License-Identifier: MIT
// Primitive: one thing an edge can do. A name, a list of parameters, and a generic callable on Variables.
#pragma once

#include <hwnas/nn/layers.hpp>

#include <functional>

namespace hwnas {

/// Where a primitive stands: input [N, height, width, channels]; the output has `channels` too and is smaller by
/// `stride`.
struct Site {
    std::int64_t channels = 0, height = 0, width = 0;  ///< of the edge's input; height and width in pixels
    int stride = 1;                                    ///< 1, or 2 on an edge that halves the resolution
};

/// What a primitive owns at a site, by description: plain weights, convolutions followed by batch norm, batch norms.
struct PrimitiveState {
    /// A learnable tensor, drawn from a normal distribution of mean 0.
    struct Weight {
        std::string name;           ///< unique in the primitive; part of the tensor's name in checkpoints
        Shape shape;                ///< of the tensor: [kernel, kernel, C] for a depthwise filter
        double standard_deviation;  ///< of its initial values
    };
    /// A k x k convolution with a batch norm behind it, as one module.
    struct Convolution {
        std::string name;                                ///< unique in the primitive; part of its tensors' names
        std::int64_t kernel, in_channels, out_channels;  ///< side of the window; channels of input and output
        ConvOptions options = {};                        ///< stride, padding, dilation
    };
    /// A batch norm over the site's channels.
    struct Norm {
        std::string name;    ///< unique in the primitive; part of its tensors' names
        bool affine = true;  ///< whether it learns a scale and a shift a channel
        /// The 1x1 weights whose results, side by side, it normalises: fold() multiplies it into them.
        std::vector<std::size_t> folds_into = {};
    };
    std::vector<Weight> weights = {};            ///< read by the callable as p.weight(i)
    std::vector<Convolution> convolutions = {};  ///< run by the callable as p.convolutions[i](x, phase)
    std::vector<Norm> norms = {};                ///< run by the callable as p.norms[i](x, phase)
    /// Whether there is nothing to learn; such a primitive gives every edge the same, so a vertex computes it once.
    bool empty() const { return weights.empty() && convolutions.empty() && norms.empty(); }
};

/// What PrimitiveState describes, with its tensors made: what the callable of a primitive receives.
template <class T>
struct PrimitiveParameters {
    /// One per PrimitiveState::weights; read them by weight(i), which knows of folding.
    std::vector<Parameter<T>> weights;
    std::vector<ConvNorm<T>> convolutions;  ///< one per PrimitiveState::convolutions
    std::vector<BatchNorm<T>> norms;        ///< one per PrimitiveState::norms
    /// Of each norm, what PrimitiveState::Norm::folds_into says.
    std::vector<std::vector<std::size_t>> folds_into = {};

    PrimitiveParameters() = default;
    /// Makes and initialises all that `state` lists; `channels` are those of its norms, `init` gives names and random
    /// numbers.
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
    /// Weight i, with the batch norm behind it multiplied in once fold() has been called.
    const Variable<T>& weight(std::size_t i) const { return folded.empty() ? weights.at(i).variable : folded.at(i); }
    /// What to add to the result of weight i once a norm was folded into it, [channels of the weight]; undefined:
    /// nothing.
    Variable<T> bias(std::size_t i) const { return biases.empty() ? Variable<T>() : biases.at(i); }
    /// Folds every batch norm, for inference: into the weights its folds_into names, or else into one factor and offset
    /// a channel.
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
    /// Appends all parameters and running statistics to `state`.
    void collect(ModuleState<T>& state) const {
        for (const auto& w : weights) state.parameters.push_back(w);
        for (const auto& c : convolutions) c.collect(state);
        for (const auto& n : norms) n.collect(state);
    }

private:
    std::vector<Variable<T>> folded, biases;  ///< once folded: of every weight
};

/// What a bare primitive computes on every channel at stride 1; a cell all of whose primitives have a bare form runs
/// fused.
enum class BareForm {
    none,                ///< anything else: the primitive is run by its callable
    depthwise_conv_3x3,  ///< one 3 x 3 filter a channel, which is weight 0 of the primitive, [3, 3, C]
    identity,            ///< the input itself
    max_pool_3x3         ///< maximum over a 3 x 3 window, padding 1
};

/// What the rest of the library must know of a primitive beyond its callable.
struct PrimitiveTraits {
    bool convolution = false;        ///< a node it feeds gets the node transform (space `pointwise`)
    bool pool = false;               ///< whether profile C (most of the penalty on pools) penalises it
    bool identity = false;           ///< returns its input: no kernel of its own
    BareForm bare = BareForm::none;  ///< what it is per channel, if the fused node can run it
};

/// One operation an edge can choose: a name, what it owns, and a callable:
/// `Primitive("max_pool_3x3", [](const Site&) { return PrimitiveState{}; }, [](const auto& x, const auto& p, const
/// Site& site, Phase phase) {...})`
/// The callable is instantiated for float (search) and double (gradient checks). It returns a Variable, or, where it
/// ends in a batch norm, better a Normalized: a relaxed node then applies the norm while it adds.
class Primitive {
    template <class T>
    using Apply = std::function<Normalized<T>(const Variable<T>&, const PrimitiveParameters<T>&, const Site&, Phase)>;

public:
    /// `name` stands in all that is stored and must be free of blanks, quotes and `|~+/` (else Error); `state` says
    /// what it owns at a site; `apply(x, parameters, site, phase)` computes it.
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
    /// The name by which tables, genotypes and checkpoints refer to it.
    const std::string& name() const { return name_; }
    /// What the library was told about it.
    const PrimitiveTraits& traits() const { return traits_; }
    /// What it owns at a site.
    PrimitiveState state(const Site& site) const { return state_(site); }
    /// Runs it: x [N, H, W, C] -> [N, H / stride, W / stride, C], extents rounded up.
    template <class T>
    Variable<T> operator()(const Variable<T>& x, const PrimitiveParameters<T>& p, const Site& site, Phase phase) const {
        return normalized(x, p, site, phase).value();
    }
    /// Runs it without applying a batch norm at its end, which the caller applies while it adds.
    Normalized<float> normalized(const Variable<float>& x, const PrimitiveParameters<float>& p, const Site& site,
                                 Phase phase) const {
        return float_(x, p, site, phase);
    }
    /// The same for gradient checks in double.
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
