// SPDX-License-Identifier: MIT
// What the relaxed and the discrete network share: stem (3x3 conv - BN), cells, head (ReLU - global average pool -
// linear).
#pragma once

#include <hwnas/ops/global_average_pool.hpp>
#include <hwnas/space/search_space.hpp>

namespace hwnas::detail {

template <class T>
class Backbone {
public:
    Backbone(const SearchSpace& space, const Device& device, Seed seed, const Genotype* genotype)
        : momentum_(Tensor<T>::scalar(T(0.1), device)) {
        const Initializer<T> init(device, seed, momentum_);
        const auto& options = space.options();
        stem_ = ConvNorm<T>(init.in("stem"), 3, options.image.channels, options.channels);
        for (int i = 0; i < space.cells(); ++i)
            cells_.emplace_back(space.cell_options(i, genotype), init.in(fmt::format("cell_{}", i)));
        head_ = Linear<T>(init.in("head"), cells_.back().out_channels(), options.classes);
    }

    /// x [N, H, W, C] -> logits [N, classes]; relaxation null: discrete.
    Variable<T> forward(const Variable<T>& x, const Relaxation<T>* relaxation, Phase phase) const {
        const auto stem = [&] {
            const LabelScope label("stem");
            return FeatureMap<T>({stem_(x, phase)});
        };
        FeatureMap<T> last = stem(), before = last;
        for (std::size_t i = 0; i < cells_.size(); ++i) {
            const LabelScope label(fmt::format("cell_{}", i));
            const std::vector<FeatureMap<T>> inputs{before, last};
            before = last;
            last = relaxation ? cells_[i].forward(inputs, *relaxation, phase) : cells_[i].forward(inputs, phase);
        }
        const LabelScope label("head");
        std::vector<Variable<T>> pooled;
        for (const auto& part : last.parts()) pooled.push_back(global_average_pool(relu(part)));
        return head_(FeatureMap<T>(std::move(pooled)).whole());
    }
    ModuleState<T> state() const {
        ModuleState<T> state;
        stem_.collect(state);
        for (const auto& cell : cells_) cell.collect(state);
        head_.collect(state);
        return state;
    }
    void fold() {
        stem_.fold();
        for (auto& cell : cells_) cell.fold();
    }
    const Tensor<T>& momentum() const { return momentum_; }
    const std::vector<BasicCell<T>>& cells() const { return cells_; }

private:
    Tensor<T> momentum_;
    ConvNorm<T> stem_;
    std::vector<BasicCell<T>> cells_;
    Linear<T> head_;
};

/// x as a network of `image` takes it, or an error that shows both.
inline void check_input(const char* what, const Shape& x, const ImageShape& image) {
    require(x.rank() == 4 && x[1] == image.height && x[2] == image.width && x[3] == image.channels,
            "{}: input has shape {}, expected [N, {}, {}, {}]", what, x, image.height, image.width, image.channels);
}

}  // namespace hwnas::detail
