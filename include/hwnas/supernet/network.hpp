// SPDX-License-Identifier: MIT
// Network: the discrete network of one genotype, with only the operations it uses.
#pragma once

#include <hwnas/supernet/backbone.hpp>

namespace hwnas {

/// Size and cost of a network, counted twice in parameters: all of them, and those on the edges alone (the paper's
/// Table 1).
struct NetworkSize {
    /// All learnable parameters; those of the edges' primitives alone; multiply-accumulates of convolutions and head
    /// for one image.
    std::int64_t parameters = 0, primitive_parameters = 0, macs = 0;
};

/// A derived, discrete network: forward, training, folding. Movable; clone() copies.
template <class T>
class BasicNetwork {
public:
    /// Type of its weights: float or double.
    using value_type = T;
    /// A network with fresh weights, drawn from streams of the seed named after them. Throws Error for a genotype of
    /// another space.
    BasicNetwork(const SearchSpace& space, const Genotype& genotype, const Device& device, Seed seed = {})
        : space_(space),
          genotype_(genotype),
          device_(device),
          seed_(seed),
          backbone_(space, device, seed.in("network"), &genotype) {}
    BasicNetwork(BasicNetwork&&) = default;
    BasicNetwork& operator=(BasicNetwork&&) = default;

    /// x [N, H, W, C] -> logits [N, classes]. Phase::train normalises with the batch's statistics and updates the
    /// running ones. Throws Error for another input shape, and for Phase::train once the network is folded.
    Variable<T> forward(const Variable<T>& x, Phase phase) const {
        require(!folded_ || phase != Phase::train,
                "network: its batch norms are folded, it can only be evaluated; clone() it before fold() to train");
        detail::check_input("network", x.shape(), space_.options().image);
        return backbone_.forward(x, nullptr, phase);
    }
    /// The search space its widths and extents come from.
    const SearchSpace& space() const { return space_; }
    /// The architecture: which primitive stands on every edge.
    const Genotype& genotype() const { return genotype_; }
    /// The device its weights are on and its kernels run on.
    const Device& device() const { return device_; }
    /// The seed of its initial weights.
    Seed seed() const { return seed_; }
    /// Parameters and batch-norm statistics by name, sharing the network's memory.
    ModuleState<T> state() const { return backbone_.state(); }
    /// Weight of the newest batch in the running statistics of its batch norms: a 0-d tensor, 0.1 unless assigned.
    const Tensor<T>& momentum() const { return backbone_.momentum(); }
    /// Its discrete cells, from the stem to the head.
    const std::vector<BasicCell<T>>& cells() const { return backbone_.cells(); }
    /// Its parameters and multiply-accumulates.
    NetworkSize size() const { return network_size(space_, genotype_); }
    /// A copy on the same device, folded if this one is, that shares no memory with it.
    BasicNetwork clone() const {
        BasicNetwork other(space_, genotype_, device_, seed_);
        copy_state(state(), other.state());
        if (folded_) other.fold();
        return other;
    }
    /// Takes the weights and statistics of these names from a state that has at least them, such as a supernet's.
    /// Throws Error on a folded network, and where a name is missing or has another shape.
    void inherit(const ModuleState<T>& from) const {
        require(!folded_, "network: its batch norms are folded, it cannot inherit");
        copy_state(from, state());
    }
    /// Folds every batch norm into the convolution before it; the network can then only be run in Phase::eval.
    void fold() {
        backbone_.fold();
        folded_ = true;
    }

    /// The size of a genotype's network, without building it. Throws Error for a genotype of another space.
    static NetworkSize network_size(const SearchSpace& space, const Genotype& genotype) {
        const auto& options = space.options();
        const std::int64_t c = options.channels, pixels = options.image.height * options.image.width;
        NetworkSize size;
        size.parameters = 9 * options.image.channels * c + 2 * c;
        size.macs = 9 * options.image.channels * c * pixels;
        std::int64_t out = c;
        for (int i = 0; i < space.cells(); ++i) {
            const CellOptions cell = space.cell_options(i, &genotype);
            const std::int64_t inner_pixels =
                ((cell.height + cell.stride - 1) / cell.stride) * ((cell.width + cell.stride - 1) / cell.stride);
            for (const auto& input : cell.inputs) {  // ReLU - 1x1 - BN, or the two halves of a factorized reduce
                size.parameters += input.channels * cell.channels + 2 * cell.channels;
                size.macs += input.channels * cell.channels * cell.height * cell.width;
            }
            std::vector<bool> mixes(static_cast<std::size_t>(cell.graph.inputs + cell.graph.nodes), false);
            for (std::size_t e = 0; e < cell.graph.edges.size(); ++e) {
                const auto& edge = cell.graph.edges[e];
                const auto& primitive = cell.primitives[static_cast<std::size_t>((*cell.choices)[e])];
                const Site site = edge.from < cell.graph.inputs
                                      ? Site{cell.channels, cell.height, cell.width, cell.stride}
                                      : Site{cell.channels, (cell.height + cell.stride - 1) / cell.stride,
                                             (cell.width + cell.stride - 1) / cell.stride, 1};
                const PrimitiveState state = primitive.state(site);
                size.primitive_parameters += parameter_count(state, site);
                for (const auto& w : state.weights) size.macs += w.shape.elements() * inner_pixels;
                for (const auto& conv : state.convolutions)
                    size.macs += conv.kernel * conv.kernel * conv.in_channels * conv.out_channels * inner_pixels;
                if (primitive.traits().convolution) mixes[static_cast<std::size_t>(edge.to)] = true;
            }
            if (space.transform() == NodeTransform::pointwise)
                for (const bool mixed : mixes)
                    if (mixed) {
                        size.parameters += cell.channels * cell.channels + 2 * cell.channels;
                        size.macs += cell.channels * cell.channels * inner_pixels;
                    }
            out = cell.channels * static_cast<std::int64_t>(cell.graph.nodes);
        }
        size.parameters += size.primitive_parameters + out * options.classes + options.classes;
        size.macs += out * options.classes;
        return size;
    }

private:
    SearchSpace space_;
    Genotype genotype_;
    Device device_;
    Seed seed_;
    detail::Backbone<T> backbone_;
    bool folded_ = false;
};

/// The discrete network in float.
using Network = BasicNetwork<float>;

}  // namespace hwnas
