// SPDX-License-Identifier: MIT
// Layers: the few modules with parameters. A module is a value; copies share parameters. collect() lists what it owns.
#pragma once

#include <hwnas/nn/parameter.hpp>
#include <hwnas/ops/batch_norm.hpp>
#include <hwnas/ops/conv.hpp>
#include <hwnas/ops/linear.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/relu_conv_norm.hpp>
#include <hwnas/ops/separable_conv.hpp>

#include <cmath>

namespace hwnas {

/// Batch normalisation over the last axis (Ioffe and Szegedy 2015), with running statistics. The running variance is
/// that of PyTorch: unbiased.
template <class T>
class BatchNorm {
public:
    BatchNorm() = default;
    /// `channels` running means and variances, and as many scales and shifts where it is affine.
    BatchNorm(const Initializer<T>& init, std::int64_t channels, bool affine = true)
        : mean_(init.buffer("mean", {channels}, 0)),
          variance_(init.buffer("variance", {channels}, 1)),
          momentum_(init.momentum()) {
        if (affine) scale_ = init.constant("scale", {channels}, 1), shift_ = init.constant("shift", {channels}, 0);
    }
    /// x [..., C] -> its normalised values, same shape: by batch statistics in Phase::train, by running ones in
    /// Phase::eval.
    Variable<T> operator()(const Variable<T>& x, Phase phase) const { return normalized(x, phase).value(); }
    /// x with its normalisation pending, for ops that apply it while they read.
    Normalized<T> normalized(const Variable<T>& x, Phase phase) const {
        if (absorbed_) return x;
        if (factor_.defined()) return {x, factor_, offset_};
        return {x, scale_.variable, shift_.variable, state(), phase, {.epsilon = epsilon}};
    }
    /// norm(conv(relu(x), w)) as one op, see relu_conv_norm().
    Variable<T> after_relu_conv(const Variable<T>& x, const Variable<T>& w, const ConvOptions& options, Phase phase,
                                const SkipGate<T>& gate) const {
        return relu_conv_norm(x, w, scale_.variable, shift_.variable, state(), phase, options, {.epsilon = epsilon},
                              gate);
    }
    /// Appends scale and shift, and the running statistics, to `state`.
    void collect(ModuleState<T>& state) const {
        if (scale_.variable.defined()) state.parameters.push_back(scale_), state.parameters.push_back(shift_);
        state.buffers.push_back(mean_);
        state.buffers.push_back(variance_);
    }
    /// The affine map y = factor x + offset that this layer is in eval mode, on the host.
    std::pair<std::vector<double>, std::vector<double>> affine() const {
        const auto mean = mean_.tensor.to_vector(), variance = variance_.tensor.to_vector();
        std::vector<double> factor(mean.size()), offset(mean.size());
        const auto scale =
            scale_.variable.defined() ? scale_.variable.value().to_vector() : std::vector<T>(mean.size(), T(1));
        const auto shift =
            scale_.variable.defined() ? shift_.variable.value().to_vector() : std::vector<T>(mean.size(), T(0));
        for (std::size_t c = 0; c < mean.size(); ++c) {
            factor[c] = static_cast<double>(scale[c]) / std::sqrt(static_cast<double>(variance[c]) + epsilon);
            offset[c] = static_cast<double>(shift[c]) - factor[c] * static_cast<double>(mean[c]);
        }
        return {factor, offset};
    }

    /// Freezes the layer to the constant map of affine(), for inference.
    void fold() {
        const auto [factor, offset] = affine();
        const auto tensor = [&](const std::vector<double>& values) {
            return Tensor<T>::from(std::vector<T>(values.begin(), values.end()),
                                   {static_cast<std::int64_t>(values.size())}, mean_.tensor.device());
        };
        factor_ = tensor(factor), offset_ = tensor(offset);
    }
    /// Makes the layer the identity, after affine() has been multiplied into the weights before it.
    void absorb() { absorbed_ = true; }

private:
    BatchNormState<T> state() const { return {mean_.tensor, variance_.tensor, momentum_}; }
    static constexpr double epsilon = 1e-5;
    Parameter<T> scale_, shift_;
    Buffer<T> mean_, variance_;
    Tensor<T> momentum_, factor_, offset_;
    bool absorbed_ = false;
};

namespace detail {
/// A convolution's weights [..., C] times factor[first + c], for the batch norm behind it, on the host.
template <class T>
Variable<T> scaled_columns(const Variable<T>& weight, const std::vector<double>& factor, std::size_t first = 0) {
    const auto columns = static_cast<std::size_t>(weight.shape()[-1]);
    auto values = weight.value().to_vector();
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<T>(static_cast<double>(values[i]) * factor[first + i % columns]);
    return Variable<T>(Tensor<T>::from(values, weight.shape(), weight.device()));
}
/// Elements [first, first + n) of a vector, as a constant.
template <class T>
Variable<T> constant_run(const std::vector<double>& values, std::size_t first, std::size_t n, const Device& device) {
    std::vector<T> run(n);
    for (std::size_t i = 0; i < n; ++i) run[i] = static_cast<T>(values[first + i]);
    return Variable<T>(Tensor<T>::from(run, {static_cast<std::int64_t>(n)}, device));
}
}  // namespace detail

/// Convolution without bias, then batch normalisation. fold() turns the pair into one convolution with bias.
template <class T>
class ConvNorm {
public:
    ConvNorm() = default;
    /// Weights [kernel, kernel, in_channels, out_channels], normal with variance 2 / (kernel^2 in_channels) (He et al.
    /// 2015).
    ConvNorm(const Initializer<T>& init, std::int64_t kernel, std::int64_t in_channels, std::int64_t out_channels,
             ConvOptions options = {})
        : weight_(init.normal("weight", {kernel, kernel, in_channels, out_channels},
                              std::sqrt(2.0 / static_cast<double>(kernel * kernel * in_channels)))),
          norm_(init.in("norm"), out_channels),
          options_(options) {}
    /// x [N, H, W, in_channels] -> [N, H', W', out_channels]; extents as in conv().
    Variable<T> operator()(const Variable<T>& x, Phase phase) const { return normalized(x, phase).value(); }
    /// The convolution of x, with its batch norm pending.
    Normalized<T> normalized(const Variable<T>& x, Phase phase) const {
        if (folded_weight_.defined()) return conv(x, folded_weight_, folded_bias_, options_);
        return norm_.normalized(conv(x, weight_.variable, options_), phase);
    }
    /// For a 1x1 layer: its result on depthwise_conv(x, w, options), as one op, with its batch norm pending.
    Normalized<T> after_depthwise(const Variable<T>& x, const Variable<T>& w, const ConvOptions& options,
                                  Phase phase) const {
        if (folded_weight_.defined()) return conv(depthwise_conv(x, w, options), folded_weight_, folded_bias_);
        return norm_.normalized(separable_conv(x, w, weight_.variable, options), phase);
    }
    /// The layer on relu(x), as one op; with a gate mixed with x itself, see relu_conv_norm(). Throws Error for a gate
    /// once folded.
    Variable<T> after_relu(const Variable<T>& x, Phase phase, const SkipGate<T>& gate = {}) const {
        if (!folded_weight_.defined()) return norm_.after_relu_conv(x, weight_.variable, options_, phase, gate);
        require(!gate.weights.defined(), "conv_norm: a folded layer takes no gate");
        return relu_conv(x, folded_weight_, folded_bias_, options_);
    }
    /// Appends weight, scale and shift, and the running statistics, to `state`.
    void collect(ModuleState<T>& state) const {
        state.parameters.push_back(weight_);
        norm_.collect(state);
    }
    /// Multiplies the batch norm, with its running statistics, into a copy of the weights, for inference.
    void fold() {
        const auto [factor, offset] = norm_.affine();
        folded_weight_ = detail::scaled_columns(weight_.variable, factor);
        folded_bias_ = detail::constant_run<T>(offset, 0, offset.size(), weight_.variable.device());
    }
    /// Weights of the convolution, [kernel, kernel, in, out].
    const Variable<T>& weight() const { return weight_.variable; }
    /// Weights with the batch norm in them, [kernel, kernel, in, out]; undefined before fold().
    const Variable<T>& folded_weight() const { return folded_weight_; }
    /// Bias that the batch norm leaves, [out]; undefined before fold().
    const Variable<T>& folded_bias() const { return folded_bias_; }
    /// Stride, padding and dilation of the convolution.
    const ConvOptions& options() const { return options_; }

private:
    Parameter<T> weight_;
    BatchNorm<T> norm_;
    ConvOptions options_;
    Variable<T> folded_weight_, folded_bias_;
};

/// The fully connected layer y = x W + b.
template <class T>
class Linear {
public:
    Linear() = default;
    /// Weights [in, out], normal with this standard deviation (0: 1 / sqrt(in)), and biases of 0.
    Linear(const Initializer<T>& init, std::int64_t in, std::int64_t out, double standard_deviation = 0)
        : weight_(init.normal("weight", {in, out},
                              standard_deviation > 0 ? standard_deviation : std::sqrt(1.0 / static_cast<double>(in)))),
          bias_(init.constant("bias", {out}, 0)) {}
    /// x [N, in] -> [N, out].
    Variable<T> operator()(const Variable<T>& x) const { return linear(x, weight_.variable, bias_.variable); }
    /// Appends weight and bias to `state`.
    void collect(ModuleState<T>& state) const {
        state.parameters.push_back(weight_), state.parameters.push_back(bias_);
    }
    /// Weights, [in, out].
    const Variable<T>& weight() const { return weight_.variable; }
    /// Biases, [out].
    const Variable<T>& bias() const { return bias_.variable; }

private:
    Parameter<T> weight_, bias_;
};

}  // namespace hwnas
