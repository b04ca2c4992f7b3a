// SPDX-License-Identifier: MIT
// What modules are made of: named parameters and buffers, how they are initialised, and how they are copied by name.
#pragma once

#include <hwnas/autodiff/variable.hpp>

#include <string>
#include <unordered_map>
#include <vector>

namespace hwnas {

/// A trained tensor under its full name, "cell_0/edge_3/depthwise_conv_3x3/weight".
template <class T>
struct Parameter {
    std::string name;      ///< full, "cell_0/edge_3/weight"
    Variable<T> variable;  ///< A leaf
};
/// A tensor that is kept but not trained: running statistics.
template <class T>
struct Buffer {
    std::string name;  ///< full, "stem/norm/mean"
    Tensor<T> tensor;  ///< kept, not trained
};
/// Everything a module owns, in a fixed order.
template <class T>
struct ModuleState {
    std::vector<Parameter<T>> parameters;  ///< in the order of the modules
    std::vector<Buffer<T>> buffers;        ///< in the order of the modules

    /// Numbers in all parameters.
    std::int64_t parameter_count() const {
        std::int64_t total = 0;
        for (const auto& parameter : parameters) total += parameter.variable.shape().elements();
        return total;
    }
};

/// Copies the values of `from` into `to` by name. Every name of `to` must be in `from` with the same shape.
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
    /// `momentum`: of all batch norms made with it, [] on the device; undefined: a new one of 0.1.
    Initializer(Device device, Seed seed, Tensor<T> momentum = {}, std::string scope = {})
        : device_(std::move(device)), seed_(seed), momentum_(std::move(momentum)), scope_(std::move(scope)) {
        if (!momentum_.defined()) momentum_ = Tensor<T>::scalar(T(0.1), device_);
    }
    /// The same inside a named part.
    Initializer in(std::string_view name) const {
        return {device_, seed_, momentum_, scope_.empty() ? std::string(name) : scope_ + "/" + std::string(name)};
    }
    /// Full name of a tensor.
    std::string name(std::string_view tensor) const {
        return scope_.empty() ? std::string(tensor) : scope_ + "/" + std::string(tensor);
    }
    /// Where tensors are made.
    const Device& device() const { return device_; }
    /// Weight of the newest batch in running statistics, shared by the whole network, on the device.
    const Tensor<T>& momentum() const { return momentum_; }

    /// Normal with mean 0.
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
    /// All elements alike.
    Parameter<T> constant(std::string_view tensor, const Shape& shape, double value) const {
        return {name(tensor), Variable<T>::leaf(Tensor<T>::full(shape, static_cast<T>(value), device_))};
    }
    /// A buffer, all elements alike.
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
