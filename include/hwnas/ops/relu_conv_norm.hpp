// SPDX-License-Identifier: MIT
// ReLU, convolution and batch normalisation as one op: what stands at every input of a cell and, gated, at every node
// of the space `pointwise`. Between forward and backward it keeps its input and what the convolution gave, nothing
// else.
#pragma once

#include <hwnas/ops/batch_norm.hpp>
#include <hwnas/ops/conv.hpp>

namespace hwnas {

/// Two weights, elements `first` and `first` + 1 of `weights`: how much of the op's result, and how much of its input.
template <class T>
struct SkipGate {
    Variable<T> weights = {};  ///< tensor that holds both; undefined: no gate
    std::int64_t first = 0;    ///< index of the first of the two
};

/// y = norm(conv(relu(x), w)) for x [N, H, W, Cin] and w [K, K, Cin, Cout], norm as in batch_norm(); with a gate g, y =
/// g[0] norm(conv(relu(x), w)) + g[1] x, where the shape of x must not change. Gradients of x, w, scale, shift and the
/// gate: dg[0] = <dy, norm(...)>, dg[1] = <dy, x>. Throws Error for shapes that clash.
template <class T>
Variable<T> relu_conv_norm(const Variable<T>& x, const Variable<T>& w, const Variable<T>& scale,
                           const Variable<T>& shift, const BatchNormState<T>& state, Phase phase,
                           const ConvOptions& options = {}, const BatchNormOptions& norm_options = {},
                           const SkipGate<T>& gate = {}) {
    const auto window = detail::conv_extents("relu_conv_norm", x, w, options);
    const std::int64_t out_channels = w.shape()[3];
    detail::require_conv_device("relu_conv_norm", x, w, "weight");
    const Shape z_shape{window.n, window.oh, window.ow, out_channels};
    const bool gated = gate.weights.defined();
    if (gated) {
        require(z_shape == x.shape(), "relu_conv_norm: a gate mixes input {} and result {}, their shapes must agree",
                x.shape(), z_shape);
        require(gate.first >= 0 && gate.first + 2 <= gate.weights.shape().elements(),
                "relu_conv_norm: gate {} and the next of weights {}", gate.first, gate.weights.shape());
        detail::require_conv_device("relu_conv_norm", x, gate.weights, "gate");
    }
    const auto& device = x.device();
    const auto z = Tensor<T>::empty(z_shape, device);
    submit(device,
           contract::ConvForward<T>{z.data(), x.value().data(), w.value().data(), nullptr, window, out_channels, 1});
    const detail::Normalization<T> norm("relu_conv_norm", z, scale, shift, state, phase, norm_options);
    const auto gate_at = [first = gate.first](const Tensor<T>& weights) {
        return weights.defined() ? weights.data() + first : nullptr;
    };
    const Tensor<T> weights = gated ? gate.weights.value() : Tensor<T>();
    const auto y = norm.apply(gated ? x.value().data() : nullptr, gate_at(weights));
    return record(
        y, {&x, &w, &scale, &shift, &gate.weights},
        [=, first = gate.first, value = x.value(), kernel = w.value()](const Tensor<T>& dy, const auto& inputs) {
            T *const dscale = detail::zeroed_target(inputs[2]), *const dshift = detail::zeroed_target(inputs[3]);
            T* const dweights = detail::zeroed_target(inputs[4]);
            const auto dx = grad_target(inputs[0]);
            const auto dz = Tensor<T>::empty(z_shape, dy.device());
            norm.backward(dy, gated ? value.data() : nullptr, gate_at(weights),
                          {dz.data(), gated ? dx.data() : nullptr, dscale, dshift,
                           dweights ? dweights + first : nullptr, 0, dx.accumulate});
            if (inputs[1]) detail::conv_weight_backward(inputs[1], value, dz, window, out_channels, true);
            if (dx)
                submit(dy.device(), contract::ConvBackwardData<T>{dx.data(), dz.data(), kernel.data(), value.data(),
                                                                  window, out_channels, gated ? 1 : dx.accumulate});
        });
}

}  // namespace hwnas
