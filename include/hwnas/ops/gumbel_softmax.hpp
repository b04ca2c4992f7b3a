// SPDX-License-Identifier: MIT
// The relaxed choice of one primitive per edge: Jang, Gu, Poole, "Categorical reparameterization with Gumbel-softmax",
// and Maddison, Mnih, Teh, "The Concrete distribution", both ICLR 2017.
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/gumbel_softmax.hpp>
#include <hwnas/ops/step.hpp>

namespace hwnas {

/// Which draw of which stream, how many, and how soft.
template <class T>
struct GumbelSoftmaxOptions {
    Tensor<T> temperature{};      ///< [] on the device, above 0
    Tensor<std::int64_t> step{};  ///< [] on the device: which draw of the stream
    random::Key key{};            ///< the stream of noise
    std::int64_t draws = 1;       ///< G: independent draws, 1 per mini-batch or one per image
    bool hard = false;            ///< straight-through: one-hot forward, the relaxed gradient backward
};
/// A draw of gamma.
template <class T>
struct GumbelSoftmax {
    Variable<T> gamma;              ///< mixing weights, [G, E, k]
    Tensor<T> soft;                 ///< [G, E, k], the relaxed sample; shares gamma's storage unless hard
    Tensor<std::int32_t> selected;  ///< [E], argmax of draw 0, the first of equals
};

/// gamma[g, e] = softmax((alpha[e] + noise[g, e]) / t) for logits alpha [E, k], noise standard Gumbel, or its one-hot
/// argmax when hard; a NaN in a row makes the row NaN. Noise is a function of (key, step, g, e, column) alone.
/// Gradient: dalpha[e] = sum_g soft (dgamma - <dgamma, soft>) / t: exact when relaxed, straight-through when hard.
/// Throws Error for other shapes. (Jang et al. 2017; Maddison et al. 2017)
template <class T>
GumbelSoftmax<T> gumbel_softmax(const Variable<T>& alpha, const GumbelSoftmaxOptions<T>& options) {
    require(alpha.defined(), "gumbel_softmax: alpha has no value");
    require(alpha.shape().rank() == 2 && alpha.shape().elements() > 0,
            "gumbel_softmax: alpha has shape {}, expected [edges, primitives]", alpha.shape());
    detail::require_scalar("gumbel_softmax", "temperature", options.temperature);
    detail::require_scalar("gumbel_softmax", "step", options.step);
    require(options.draws >= 1, "gumbel_softmax: {} draws asked for, at least 1 is needed", options.draws);
    const Device& device = alpha.device();
    detail::require_same_device("gumbel_softmax", "alpha", device, "temperature", options.temperature.device());
    detail::require_same_device("gumbel_softmax", "alpha", device, "step", options.step.device());

    const std::int64_t groups = options.draws, rows = alpha.shape()[0], columns = alpha.shape()[1];
    const auto gamma = Tensor<T>::empty({groups, rows, columns}, device);
    const auto soft = options.hard ? Tensor<T>::empty(gamma.shape(), device) : gamma;
    const auto selected = Tensor<std::int32_t>::empty({rows}, device);
    submit(device, contract::GumbelSoftmaxForward<T>{gamma.data(), soft.data(), selected.data(), alpha.value().data(),
                                                     options.temperature.data(), options.step.data(), groups, rows,
                                                     columns, options.key, options.hard});
    const auto rule = [soft, t = options.temperature, groups, rows, columns](const Tensor<T>& dgamma,
                                                                             const auto& inputs) {
        const auto dalpha = grad_target(inputs[0]);
        submit(dgamma.device(), contract::GumbelSoftmaxBackward<T>{dalpha.data(), dgamma.data(), soft.data(), t.data(),
                                                                   groups, rows, columns, dalpha.accumulate});
    };
    return {record(gamma, {&alpha}, rule), soft, selected};
}

}  // namespace hwnas
