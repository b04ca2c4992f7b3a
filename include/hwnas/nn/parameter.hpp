// SPDX-License-Identifier: MIT
// What modules are made of: named parameters and buffers, how they are initialised, and how they are copied by name.
#pragma once

#include <hwnas/autodiff/variable.hpp>

#include <string>
#include <unordered_map>
#include <vector>

namespace hwnas {

/// A learnable tensor under its full name, by which checkpoints and copy_state() know it.
template <class T>
struct Parameter {
    std::string name;      ///< path of the modules it belongs to: "cell_0/edge_3/weight"
    Variable<T> variable;  ///< a leaf: value and gradient
};
/// A tensor that a module keeps but does not learn: running statistics.
template <class T>
struct Buffer {
    std::string name;  ///< path of the modules it belongs to: "stem/norm/mean"
    Tensor<T> tensor;  ///< changed in training by the module itself
};
/// All tensors of a module, in a fixed order, sharing its memory.
template <class T>
struct ModuleState {
    std::vector<Parameter<T>> parameters;  ///< what is learned, module by module
    std::vector<Buffer<T>> buffers;        ///< what is kept, module by module

    /// How many numbers there are to learn: elements of all parameters.
    std::int64_t parameter_count() const {
        std::int64_t total = 0;
        for (const auto& parameter : parameters) total += parameter.variable.shape().elements();
        return total;
    }
};

/// Copies the values of `from` into `to` by name. Throws Error unless every name of `to` is in `from` with the same
/// shape.
template <class T>
void copy_state(const ModuleState<T>& from, const ModuleState<T>& to) {
    std::unordered_map<std::string, Tensor<T>> source;
    for (const auto& parameter : from.parameters) source.emplace(parameter.name, parameter.variable.value());
    for (const auto& buffer : from.buffers) source.emplace(buffer.name, buffer.tensor);
    const auto copy = [&](const std::string& name, const Tensor<T>& target) {
        const auto found = source.find(name);
        require(found != source.end(), "copy_state: the source has no \"{}\"", name);
        require(found->second.shape() == target.shape(), "copy_state: \"{}\" has shape {} in the source, {} here", name,
                found->second.shape(), target.shape());
        target.assign(found->second.to_vector());
    };
    for (const auto& parameter : to.parameters) copy(parameter.name, parameter.variable.value());
    for (const auto& buffer : to.buffers) copy(buffer.name, buffer.tensor);
}

/// Makes the initial tensors of a module: device, seed and the name of the scope it stands in. Every tensor draws from
/// a stream of its full name, so adding a layer does not change the others.
template <class T>
class Initializer {
public:
    /// Tensors are made on `device` from streams of `seed`; `momentum` is that of all batch norms made with it, a 0-d
    /// tensor (undefined: a new one of 0.1); `scope` goes in front of their names.
    Initializer(Device device, Seed seed, Tensor<T> momentum = {}, std::string scope = {})
        : device_(std::move(device)), seed_(seed), momentum_(std::move(momentum)), scope_(std::move(scope)) {
        if (!momentum_.defined()) momentum_ = Tensor<T>::scalar(T(0.1), device_);
    }
    /// An initializer for a named part: "cell_0" -> "cell_0/edge_3".
    Initializer in(std::string_view name) const {
        return {device_, seed_, momentum_, scope_.empty() ? std::string(name) : scope_ + "/" + std::string(name)};
    }
    /// Full name of a tensor in this scope.
    std::string name(std::string_view tensor) const {
        return scope_.empty() ? std::string(tensor) : scope_ + "/" + std::string(tensor);
    }
    /// The device tensors are made on.
    const Device& device() const { return device_; }
    /// Weight of the newest batch in running statistics, a 0-d tensor shared by the whole network.
    const Tensor<T>& momentum() const { return momentum_; }

    /// A parameter drawn from a normal distribution of mean 0.
    Parameter<T> normal(std::string_view tensor, const Shape& shape, double standard_deviation) const {
        std::vector<T> values(static_cast<std::size_t>(shape.elements()));
        const auto key = seed_.stream(name(tensor));
        for (std::size_t i = 0; i < values.size(); i += 2) {
            const auto words = random::words_at(key, i, 0);
            const auto pair = random::normal_pair(words.w[0], words.w[1]);
            values[i] = static_cast<T>(standard_deviation * pair[0]);
            if (i + 1 < values.size()) values[i + 1] = static_cast<T>(standard_deviation * pair[1]);
        }
        return {name(tensor), Variable<T>::leaf(Tensor<T>::from(values, shape, device_))};
    }
    /// A parameter with all elements `value`.
    Parameter<T> constant(std::string_view tensor, const Shape& shape, double value) const {
        return {name(tensor), Variable<T>::leaf(Tensor<T>::full(shape, static_cast<T>(value), device_))};
    }
    /// A buffer with all elements `value`.
    Buffer<T> buffer(std::string_view tensor, const Shape& shape, double value) const {
        return {name(tensor), Tensor<T>::full(shape, static_cast<T>(value), device_)};
    }

private:
    Device device_;
    Seed seed_;
    Tensor<T> momentum_;
    std::string scope_;
};

}  // namespace hwnas
