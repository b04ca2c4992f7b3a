// SPDX-License-Identifier: MIT
// SuperNet: the relaxed network of a search space, all primitives on all edges, mixed by gamma.
#pragma once

#include <hwnas/supernet/backbone.hpp>

namespace hwnas {

/// The relaxed network: all primitives on every edge, mixed by gamma. Movable; clone() copies.
template <class T>
class BasicSuperNet {
public:
    /// float or double.
    using value_type = T;
    /// Weights are drawn from the seed's streams named after them: networks of one seed share what they have in common.
    BasicSuperNet(const SearchSpace& space, const Device& device, Seed seed = {})
        : space_(space), device_(device), seed_(seed), backbone_(space, device, seed.in("supernet"), nullptr) {}
    BasicSuperNet(BasicSuperNet&&) = default;
    BasicSuperNet& operator=(BasicSuperNet&&) = default;

    /// x [N, H, W, C], gamma [G, rows, k] -> logits [N, classes].
    Variable<T> forward(const Variable<T>& x, const Relaxation<T>& relaxation, Phase phase) const {
        detail::check_input("supernet", x.shape(), space_.options().image);
        return backbone_.forward(x, &relaxation, phase);
    }
    /// Rows and primitives.
    const Architecture& architecture() const { return space_.architecture(); }
    /// It is of.
    const SearchSpace& space() const { return space_; }
    /// Where its weights are.
    const Device& device() const { return device_; }
    /// Of its initial weights.
    Seed seed() const { return seed_; }
    /// Parameters and statistics by name.
    ModuleState<T> state() const { return backbone_.state(); }
    /// Weight of the newest batch in the running statistics (device scalar).
    const Tensor<T>& momentum() const { return backbone_.momentum(); }
    /// A deep copy.
    BasicSuperNet clone() const {
        BasicSuperNet other(space_, device_, seed_);
        copy_state(state(), other.state());
        return other;
    }

private:
    SearchSpace space_;
    Device device_;
    Seed seed_;
    detail::Backbone<T> backbone_;
};

/// In float.
using SuperNet = BasicSuperNet<float>;

}  // namespace hwnas
