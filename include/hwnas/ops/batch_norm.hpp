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
    Tensor<T> running_mean, running_var;  ///< of the normalised channels, [C]
    Tensor<T> momentum;  ///< one element, on the device: 0.1 in training, 1 / (i + 1) while recalibrating
};
/// Constants of the normalisation.
struct BatchNormOptions {
    double epsilon = 1e-5;  ///< added to the variance before its root is taken
};

namespace detail {

/// The gradient of a small tensor to which several kernels add: zeros first.
template <class T>
T* zeroed_target(const std::shared_ptr<Node<T>>& node) {
    const auto target = grad_target(node);
    if (target && !target.accumulate)
        submit(node->device, contract::Fill<T>{target.data(), target.tensor.elements(), T(0)});
    return target.data();
}

/// One normalisation of x [..., C]: its statistics, ready to be applied and to be turned around.
template <class T>
class Normalization {
public:
    /// Checks everything; errors name `op`.
    Normalization(const char* op, const Tensor<T>& x, const Variable<T>& scale, const Variable<T>& shift,
                  const BatchNormState<T>& state, Phase phase, const BatchNormOptions& options)
        : x_(x), frozen_(phase == Phase::eval) {
        const Shape& shape = x.shape();
        require(shape.rank() >= 1, "{}: input has shape {}, expected [..., C]", op, shape);
        require(shape.elements() > 0, "{}: input {} is empty", op, shape);
        require(options.epsilon > 0, "{}: epsilon {} is not above 0", op, options.epsilon);
        require(scale.defined() == shift.defined(),
                "{}: scale and shift come together or not at all, {} is undefined (input {})", op,
                scale.defined() ? "shift" : "scale", shape);
        c_ = shape[-1], rows_ = shape.elements() / c_;
        n_ = shape.rank() > 1 ? shape[0] : 1, pixels_ = rows_ / n_;
        const auto check = [&](const Tensor<T>& tensor, const char* what) {
            require(tensor.shape() == Shape{c_}, "{}: {} has shape {}, expected [{}] (input {})", op, what,
                    tensor.shape(), c_, shape);
            require(tensor.device() == x.device(), "{}: {} lives on another device ({}; input {})", op, what,
                    device_clash(tensor.device(), x.device()), shape);
        };
        if (scale.defined()) check(scale.value(), "scale"), check(shift.value(), "shift");
        const bool tracked = state.running_mean.defined();
        require(state.running_var.defined() == tracked,
                "{}: running mean and running variance come together or not at all (input {})", op, shape);
        if (tracked) check(state.running_mean, "running mean"), check(state.running_var, "running variance");
        require(frozen_ || rows_ > 1, "{}: training needs at least 2 rows for a variance, input {} has 1", op, shape);
        require(frozen_ || !tracked || (state.momentum.defined() && state.momentum.elements() == 1),
                "{}: momentum is {}, expected one element on the device (input {})", op,
                state.momentum.defined() ? state.momentum.shape().str() : "undefined", shape);
        require(frozen_ || !tracked || state.momentum.device() == x.device(),
                "{}: momentum is on another device than input {}", op, shape);
        require(!frozen_ || tracked, "{}: evaluation needs a running mean and variance (input {})", op, shape);

        const auto vector = [&] { return Tensor<T>::empty({c_}, x.device()); };
        inv_std_ = vector(), gain_ = vector(), offset_ = vector();
        mean_ = frozen_ ? state.running_mean : vector();
        if (scale.defined()) scale_ = scale.value(), shift_ = shift.value();
        const auto epsilon = static_cast<T>(options.epsilon);
        if (frozen_) {
            submit(x.device(),
                   contract::BatchNormFreeze<T>{inv_std_.data(), gain_.data(), offset_.data(), state.running_var.data(),
                                                optional(scale_), optional(shift_), c_, epsilon});
            return;
        }
        const auto partial = Tensor<T>::empty({chunks(), 3, c_}, x.device());
        submit(x.device(), contract::BatchNormStatistics<T>{partial.data(), x.data(), n_, pixels_, c_, chunks(), 0});
        submit(x.device(), contract::BatchNormMerge<T>{mean_.data(), inv_std_.data(), gain_.data(), offset_.data(),
                                                       optional(state.running_mean), optional(state.running_var),
                                                       partial.data(), optional(scale_), optional(shift_),
                                                       tracked ? state.momentum.data() : nullptr, n_, pixels_, c_,
                                                       chunks(), epsilon});
    }
    const Tensor<T>& x() const { return x_; }
    /// y = norm(x), or gate[0] norm(x) + gate[1] skip.
    Tensor<T> apply(const T* skip = nullptr, const T* gate = nullptr) const {
        const auto y = Tensor<T>::empty(x_.shape(), x_.device());
        apply_to(y, skip, gate, false);
        return y;
    }
    void apply_to(const Tensor<T>& y, const T* skip, const T* gate, bool accumulate) const {
        submit(x_.device(), contract::BatchNormApply<T>{y.data(), x_.data(), mean_.data(), gain_.data(), offset_.data(),
                                                        skip, gate, rows_, c_, accumulate});
    }
    /// Where gradients go; what is null is not wanted.
    struct Targets {
        T *dx, *dskip, *dscale, *dshift, *dgate;
        std::int32_t accumulate, accumulate_skip;
    };
    void backward(const Tensor<T>& dy, const T* skip, const T* gate, const Targets& to) const {
        Tensor<T> means;
        if (summed(to)) means = merge(sums(dy, skip), skip, gate, to);
        backward(dy, means, gate, to);
    }
    /// Its three parts: sums over chunks of the batch, what they say together, and the gradient of x.
    bool summed(const Targets& to) const { return !frozen_ || to.dscale || to.dshift || to.dgate; }
    Tensor<T> sums(const Tensor<T>& dy, const T* skip) const {
        const auto partial = Tensor<T>::empty({chunks(), 3, c_}, dy.device());
        submit(dy.device(), contract::BatchNormGradientSums<T>{partial.data(), dy.data(), x_.data(), mean_.data(),
                                                               inv_std_.data(), skip, n_, pixels_, c_, chunks(), 0});
        return partial;
    }
    Tensor<T> merge(const Tensor<T>& partial, const T* skip, const T* gate, const Targets& to) const {
        const auto means = Tensor<T>::empty({2, c_}, partial.device());
        submit(partial.device(), contract::BatchNormGradientMerge<T>{to.dscale, to.dshift, means.data(), to.dgate,
                                                                     partial.data(), optional(scale_), optional(shift_),
                                                                     gate, n_, pixels_, c_, chunks(), skip != nullptr});
        return means;
    }
    void backward(const Tensor<T>& dy, const Tensor<T>& means, const T* gate, const Targets& to) const {
        if (to.dx)
            submit(dy.device(),
                   contract::BatchNormBackward<T>{to.dx, to.dskip, dy.data(), x_.data(), optional(scale_), mean_.data(),
                                                  inv_std_.data(), frozen_ ? nullptr : means.data(), gate, rows_, c_,
                                                  to.accumulate, to.accumulate_skip});
    }

private:
    static T* optional(const Tensor<T>& tensor) { return tensor.defined() ? tensor.data() : nullptr; }
    std::int64_t chunks() const { return x_.device().backend().image_chunks(n_); }
    Tensor<T> x_, mean_, inv_std_, gain_, offset_, scale_, shift_;
    bool frozen_;
    std::int64_t c_ = 0, rows_ = 0, n_ = 0, pixels_ = 0;
};

}  // namespace detail

/// A value before its last batch norm: what is normalised and its statistics, so that whoever wants the result can
/// apply the norm in the pass that uses it. Or a value as it is.
template <class T>
class Normalized {
    struct State;

public:
    /// A value as it is, without a norm.
    Normalized(const Variable<T>& value) : x_(value) {}  // NOLINT: any value is one
    /// A value with a norm to be applied, whose arguments are those of batch_norm().
    Normalized(const Variable<T>& x, const Variable<T>& scale, const Variable<T>& shift, const BatchNormState<T>& state,
               Phase phase, const BatchNormOptions& options = {}) {
        require(x.defined(), "batch_norm: input is undefined");
        state_ = std::make_shared<State>(
            State{{"batch_norm", x.value(), scale, shift, state, phase, options}, scale, shift, {}, {}, {}});
        x_ = record_deferred(x.value(), {&x}, [s = state_](const auto& inputs) {
            if (!s->dy.defined()) return;
            const auto dx = grad_target(inputs[0]);
            s->norm.backward(s->dy, s->means, s->gate(),
                             {dx.data(), nullptr, nullptr, nullptr, nullptr, dx.accumulate, 0});
            s->dy = s->means = {};
        });
    }
    /// A value with a frozen norm: factor x + offset, [C] each, constants; undefined: the value itself.
    Normalized(const Variable<T>& x, const Tensor<T>& factor, const Tensor<T>& offset)
        : x_(x), factor_(factor), offset_(offset) {
        const Shape channels{x.shape()[-1]};
        require(factor.shape() == channels && offset.shape() == channels,
                "batch_norm: a frozen norm has factor {} and offset {}, expected {} (input {})", factor.shape(),
                offset.shape(), channels, x.shape());
    }
    /// Whether a norm with statistics is still to be applied.
    bool pending() const { return state_ != nullptr; }
    /// Factor [C] of a frozen norm; else undefined.
    const Tensor<T>& factor() const { return factor_; }
    /// Offset [C] of a frozen norm; else undefined.
    const Tensor<T>& offset() const { return offset_; }
    /// Extents of the value.
    const Shape& shape() const { return x_.shape(); }
    /// The result, with the norm applied. Throws Error for a second use of a pending norm, and where the input of a
    /// frozen one wants a gradient.
    Variable<T> value() const {
        if (factor_.defined()) {
            require(NoGrad::active() || !x_.requires_grad(),
                    "batch_norm: a folded norm (input {}) has no gradient; clone() the network before fold()", shape());
            const std::int64_t c = shape()[-1];
            const auto mean = Tensor<T>::full({c}, T(0), x_.device()), y = Tensor<T>::empty(shape(), x_.device());
            submit(y.device(), contract::BatchNormApply<T>{y.data(), x_.value().data(), mean.data(), factor_.data(),
                                                           offset_.data(), nullptr, nullptr, y.elements() / c, c, 0});
            return Variable<T>(y);
        }
        if (!pending()) return x_;
        use();
        return record(state_->norm.apply(), {&x_, &state_->scale, &state_->shift},
                      [s = state_](const Tensor<T>& dy, const auto& inputs) {
                          Backward pass(s, dy);
                          pass.merge(detail::zeroed_target(inputs[1]), detail::zeroed_target(inputs[2]), nullptr);
                      });
    }
    /// For ops that apply the norm themselves: y (+)= weights[column] norm(x), or norm(x) without weights. Their inputs
    /// are x(), scale() and shift().
    void apply_to(const Tensor<T>& y, const Tensor<T>& weights, std::int64_t column, bool accumulate) const {
        use();
        state_->weights = weights, state_->column = column;
        state_->norm.apply_to(y, nullptr, state_->gate(), accumulate);
    }
    /// The value before the norm.
    const Variable<T>& x() const { return x_; }
    /// Scale [C] of a pending norm.
    const Variable<T>& scale() const { return state_->scale; }
    /// Shift [C] of a pending norm.
    const Variable<T>& shift() const { return state_->shift; }
    /// The backward rule of a pending norm, in two steps: sums over the batch, then what they say; the rest follows
    /// where x comes from.
    class Backward {
    public:
        /// Computes the sums over the batch for the gradient dy of the result.
        Backward(const Normalized& value, const Tensor<T>& dy) : Backward(value.state_, dy) {}
        /// Adds to the gradients of scale, shift and gate, those that are not null.
        void merge(T* dscale, T* dshift, T* dgate) {
            const typename detail::Normalization<T>::Targets to{nullptr, nullptr, dscale, dshift, dgate, 0, 0};
            state_->dy = dy_;
            if (state_->norm.summed(to)) state_->means = state_->norm.merge(sums_, nullptr, state_->gate(), to);
        }

    private:
        friend class Normalized;
        Backward(std::shared_ptr<State> state, const Tensor<T>& dy)
            : state_(std::move(state)), dy_(dy), sums_(state_->norm.sums(dy, nullptr)) {}
        std::shared_ptr<State> state_;
        Tensor<T> dy_, sums_;
    };

private:
    struct State {
        detail::Normalization<T> norm;
        Variable<T> scale, shift;
        Tensor<T> dy, means, weights;  // dy and means: what the rule of x needs, until it has run
        std::int64_t column = 0;
        bool used = false;
        const T* gate() const { return weights.defined() ? weights.data() + column : nullptr; }
    };
    void use() const {
        require(!std::exchange(state_->used, true), "batch_norm: a pending norm (input {}) is applied once", shape());
    }
    Variable<T> x_;
    Tensor<T> factor_, offset_;
    std::shared_ptr<State> state_;
};

namespace detail {
/// All norms applied.
template <class T>
std::vector<Variable<T>> values(const std::vector<Normalized<T>>& terms) {
    std::vector<Variable<T>> built;
    for (const auto& term : terms) built.push_back(term.value());
    return built;
}
}  // namespace detail

/// y[..., c] = scale[c] (x[..., c] - mean[c]) / sqrt(variance[c] + epsilon) + shift[c] for x [..., C], scale and shift
/// [C] or both undefined (1 and 0); throws Error for other shapes. train: mean and biased variance of this batch,
/// running += momentum (batch - running) with the unbiased variance; eval: the running ones. dscale sums dy xhat,
/// dshift sums dy over rows; dx = scale / std (dy - mean(dy) - xhat mean(dy xhat)) in training, scale / std dy in eval.
template <class T>
Variable<T> batch_norm(const Variable<T>& x, const Variable<T>& scale, const Variable<T>& shift,
                       const BatchNormState<T>& state, Phase phase, const BatchNormOptions& options = {}) {
    return Normalized<T>(x, scale, shift, state, phase, options).value();
}

}  // namespace hwnas
