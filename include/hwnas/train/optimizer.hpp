// SPDX-License-Identifier: MIT
// Adam over a set of parameters, packed: values, gradients and moments each become one block, so that a step is one
// kernel call and zeroing the gradients another.
#pragma once

#include <hwnas/cpu/adam.hpp>
#include <hwnas/nn/parameter.hpp>

#include <set>
#include <variant>

namespace hwnas {

/// A tensor of a training's state, whatever the type of its elements.
using AnyTensor = std::variant<Tensor<float>, Tensor<double>, Tensor<std::int64_t>>;
/// A tensor of a training's state under its name: what checkpoints hold.
struct NamedTensor {
    std::string name;  ///< unique in the state
    AnyTensor tensor;  ///< shared with the training: assigning to it changes that
};

/// Constants of Adam (Kingma and Ba 2015), by default those of its paper, with decoupled weight decay (AdamW).
struct AdamOptions {
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< decay of both moments; added to the denominator
    double weight_decay = 0;  ///< share of a value taken off per step and unit of learning rate
};

/// Adam over a set of parameters, packed: one kernel call updates all of them, another clears all gradients.
template <class T>
class Adam {
public:
    Adam() = default;
    /// Moves the parameters' values into one block (all handles follow) and gives each a gradient buffer. Throws Error
    /// where there are no parameters or two share a name.
    explicit Adam(const std::vector<Parameter<T>>& parameters, const AdamOptions& options = {})
        : options_(options), parameters_(parameters) {
        require(!parameters.empty(), "adam: no parameters given");
        std::set<std::string> names;
        std::int64_t total = 0;
        for (const auto& p : parameters) {
            require(names.insert(p.name).second, "adam: two parameters are named \"{}\"", p.name);
            offsets_.push_back(total);
            total += (p.variable.shape().elements() + 15) / 16 * 16;
        }
        const Device device = parameters.front().variable.device();
        values_ = Tensor<T>::full({total}, T(0), device);
        gradients_ = Tensor<T>::full({total}, T(0), device);
        first_ = Tensor<T>::full({total}, T(0), device);
        second_ = Tensor<T>::full({total}, T(0), device);
        for (std::size_t i = 0; i < parameters.size(); ++i) {
            const auto& variable = parameters[i].variable;
            part(values_, i).assign(variable.value().to_vector());
            variable.value().storage()->rebind(values_.storage(), static_cast<std::size_t>(offsets_[i]) * sizeof(T));
            variable.set_grad(part(gradients_, i));
        }
    }
    /// Submits a kernel that sets all gradients to 0; goes before backward().
    void zero_grad() const {
        submit(values_.device(), contract::Fill<T>{gradients_.data(), gradients_.elements(), T(0)});
    }
    /// Submits one update from the gradients; learning_rate and step (counted from 0) are 0-d tensors on the device.
    void step(const Tensor<T>& learning_rate, const Tensor<std::int64_t>& step) const {
        submit(values_.device(),
               contract::Adam<T>{values_.data(), first_.data(), second_.data(), gradients_.data(), learning_rate.data(),
                                 step.data(), values_.elements(), static_cast<T>(options_.beta1),
                                 static_cast<T>(options_.beta2), static_cast<T>(options_.epsilon),
                                 static_cast<T>(options_.weight_decay)});
    }
    /// The block of all parameters' values, one after the other, padding included.
    const Tensor<T>& values() const { return values_; }
    /// Appends every parameter and its two moments to `state`, as prefix/name, prefix/adam_m/name and
    /// prefix/adam_v/name: what a checkpoint keeps.
    void collect(std::vector<NamedTensor>& state, const std::string& prefix) const {
        for (std::size_t i = 0; i < parameters_.size(); ++i) {
            state.push_back({prefix + "/" + parameters_[i].name, parameters_[i].variable.value()});
            state.push_back({prefix + "/adam_m/" + parameters_[i].name, part(first_, i)});
            state.push_back({prefix + "/adam_v/" + parameters_[i].name, part(second_, i)});
        }
    }

private:
    Tensor<T> part(const Tensor<T>& block, std::size_t i) const {
        const Shape& shape = parameters_[i].variable.shape();
        return block.rows(offsets_[i], shape.elements()).reshape(shape);
    }
    AdamOptions options_;
    std::vector<Parameter<T>> parameters_;
    std::vector<std::int64_t> offsets_;
    Tensor<T> values_, gradients_, first_, second_;
};

}  // namespace hwnas
