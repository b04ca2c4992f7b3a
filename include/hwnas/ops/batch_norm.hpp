// SPDX-License-Identifier: MIT
// Batch normalisation over all dimensions but the last.
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/cpu/batch_norm.hpp>

namespace hwnas {

/// Whether a network learns (batch statistics) or is used (running statistics).
enum class Phase { train, eval };

/// What batch_norm keeps between steps. In training all three may be left undefined: nothing is tracked then.
template <class T>
struct BatchNormState {
    Tensor<T> running_mean, running_var;  ///< [C]
    Tensor<T> momentum;  ///< one element, on the device: 0.1 in training, 1 / (i + 1) while recalibrating
};
struct BatchNormOptions {
    double epsilon = 1e-5;
};

/// y[..., c] = scale[c] (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon) + shift[c] for x [..., C], scale and shift
/// [C] or both undefined (1 and 0). train: mean and biased variance of this batch, running += momentum (batch -
/// running) with the unbiased variance; eval: the running ones. dscale sums dy xhat, dshift sums dy over rows; dx =
/// scale / std (dy - mean(dy) - xhat mean(dy xhat)) in training, scale / std dy in eval.
template <class T>
Variable<T> batch_norm(const Variable<T>& x, const Variable<T>& scale, const Variable<T>& shift,
                       const BatchNormState<T>& state, Phase phase, const BatchNormOptions& options = {}) {
    require(x.defined(), "batch_norm: input is undefined");
    require(x.shape().rank() >= 1, "batch_norm: input has shape {}, expected [..., C]", x.shape());
    require(x.shape().elements() > 0, "batch_norm: input {} is empty", x.shape());
    require(options.epsilon > 0, "batch_norm: epsilon {} is not above 0", options.epsilon);
    require(scale.defined() == shift.defined(),
            "batch_norm: scale and shift come together or not at all, {} is undefined (input {})",
            scale.defined() ? "shift" : "scale", x.shape());
    const std::int64_t c = x.shape()[-1], rows = x.shape().elements() / c;
    const auto check = [&](const Tensor<T>& tensor, const char* what) {
        require(tensor.shape() == Shape{c}, "batch_norm: {} has shape {}, expected [{}] (input {})", what,
                tensor.shape(), c, x.shape());
        require(tensor.device() == x.device(), "batch_norm: {} lives on another device ({}; input {})", what,
                device_clash(tensor.device(), x.device()), x.shape());
    };
    if (scale.defined()) check(scale.value(), "scale"), check(shift.value(), "shift");
    const bool tracked = state.running_mean.defined();
    require(state.running_var.defined() == tracked,
            "batch_norm: running mean and running variance come together or not at all (input {})", x.shape());
    if (tracked) check(state.running_mean, "running mean"), check(state.running_var, "running variance");
    const T* const scale_data = scale.defined() ? scale.value().data() : nullptr;
    const T* const shift_data = scale.defined() ? shift.value().data() : nullptr;
    const auto y = Tensor<T>::empty(x.shape(), x.device()), inv_std = Tensor<T>::empty({c}, x.device());
    const std::int64_t chunks = std::clamp<std::int64_t>(rows * c / 32'768, 1, rows);  // 128 KB of floats each
    Tensor<T> mean = state.running_mean;
    if (phase == Phase::train) {
        require(rows > 1, "batch_norm: training needs at least 2 rows for a variance, input {} has 1", x.shape());
        require(!tracked || (state.momentum.defined() && state.momentum.elements() == 1),
                "batch_norm: momentum is {}, expected one element on the device (input {})",
                state.momentum.defined() ? state.momentum.shape().str() : "undefined", x.shape());
        require(!tracked || state.momentum.device() == x.device(),
                "batch_norm: momentum is on another device than input {}", x.shape());
        mean = Tensor<T>::empty({c}, x.device());
        const auto partial = Tensor<T>::empty({chunks, 2, c}, x.device());
        submit(x.device(), contract::BatchNormForward<T>{
                               y.data(), mean.data(), inv_std.data(), tracked ? state.running_mean.data() : nullptr,
                               tracked ? state.running_var.data() : nullptr, partial.data(), x.value().data(),
                               scale_data, shift_data, tracked ? state.momentum.data() : nullptr, rows, c, chunks,
                               static_cast<T>(options.epsilon)});
    } else {
        require(tracked, "batch_norm: evaluation needs a running mean and variance (input {})", x.shape());
        submit(x.device(), contract::BatchNormEval<T>{y.data(), inv_std.data(), x.value().data(), mean.data(),
                                                      state.running_var.data(), scale_data, shift_data, rows, c,
                                                      static_cast<T>(options.epsilon)});
    }
    const Tensor<T> x_saved = x.value(), scale_saved = scale.defined() ? scale.value() : Tensor<T>();
    const std::int32_t frozen = phase == Phase::eval;
    return record(y, {&x, &scale, &shift}, [=](const Tensor<T>& dy, const auto& inputs) {
        const auto sum_target = [](const std::shared_ptr<Node<T>>& node) {  // the kernel always adds
            const auto target = grad_target(node);
            if (target && !target.accumulate)
                submit(node->device, contract::Fill<T>{target.data(), target.tensor.elements(), T(0)});
            return target;
        };
        const auto dscale = sum_target(inputs[1]), dshift = sum_target(inputs[2]);
        const auto dx = grad_target(inputs[0]);
        const auto partial = Tensor<T>::empty({chunks, 2, c}, dy.device());
        submit(dy.device(),
               contract::BatchNormBackward<T>{dx.data(), dscale.data(), dshift.data(), partial.data(), dy.data(),
                                              x_saved.data(), scale_saved.defined() ? scale_saved.data() : nullptr,
                                              mean.data(), inv_std.data(), rows, c, chunks, dx.accumulate, frozen});
    });
}

}  // namespace hwnas
