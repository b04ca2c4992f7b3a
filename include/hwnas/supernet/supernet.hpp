// SPDX-License-Identifier: MIT
// SuperNet: the relaxed network of a search space, all primitives on all edges, mixed by gamma.
#pragma once

#include <hwnas/supernet/backbone.hpp>

namespace hwnas {

/// The relaxed network of a search space: every edge holds all primitives and mixes their results by gamma. Movable;
/// clone() copies.
template <class T>
class BasicSuperNet {
public:
    /// Type of its weights: float or double.
    using value_type = T;
    /// Weights are drawn from the seed's streams named after them: networks of one seed share what they have in common.
    BasicSuperNet(const SearchSpace& space, const Device& device, Seed seed = {})
        : space_(space), device_(device), seed_(seed), backbone_(space, device, seed.in("supernet"), nullptr) {}
    BasicSuperNet(BasicSuperNet&&) = default;
    BasicSuperNet& operator=(BasicSuperNet&&) = default;

    /// x [N, H, W, C] and gamma [G, rows, k], G = 1 or N -> logits [N, classes]. Phase::train normalises with the
    /// batch's statistics and updates the running ones. Throws Error for other shapes.
    Variable<T> forward(const Variable<T>& x, const Relaxation<T>& relaxation, Phase phase) const {
        detail::check_input("supernet", x.shape(), space_.options().image);
        return backbone_.forward(x, &relaxation, phase);
    }
    /// The rows of choices gamma must have: what a HyperNet for it is built from.
    const Architecture& architecture() const { return space_.architecture(); }
    /// The search space it is the relaxed network of.
    const SearchSpace& space() const { return space_; }
    /// The device its weights are on and its kernels run on.
    const Device& device() const { return device_; }
    /// The seed of its initial weights, and of the random streams of a training.
    Seed seed() const { return seed_; }
    /// Parameters and batch-norm statistics by name, sharing the supernet's memory.
    ModuleState<T> state() const { return backbone_.state(); }
    /// Weight of the newest batch in the running statistics of its batch norms: a 0-d tensor, 0.1 unless assigned.
    const Tensor<T>& momentum() const { return backbone_.momentum(); }
    /// A copy on the same device that shares no memory with this one.
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

/// The supernet in float.
using SuperNet = BasicSuperNet<float>;

}  // namespace hwnas
