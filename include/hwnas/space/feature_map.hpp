// SPDX-License-Identifier: MIT
// FeatureMap: what one cell hands to the next. A concatenation along channels that need not be built: where it is only
// pooled, its parts are pooled, once for all who ask.
#pragma once

#include <hwnas/ops/average_pool.hpp>
#include <hwnas/ops/concat.hpp>

#include <memory>
#include <vector>

namespace hwnas {

/// A concatenation along channels that is not built before somebody needs it as one value. Copies share what was built.
template <class T>
class FeatureMap {
public:
    /// Values [N, H, W, C_i] that stand side by side as [N, H, W, sum C_i]; throws Error where there are none.
    explicit FeatureMap(std::vector<Variable<T>> parts) : state_(std::make_shared<State>()) {
        require(!parts.empty(), "feature_map: no parts");
        state_->parts = std::move(parts);
    }
    /// The values it was made of, not concatenated.
    const std::vector<Variable<T>>& parts() const { return state_->parts; }
    /// All parts as one value [N, H, W, sum C_i], concatenated on the first call.
    const Variable<T>& whole() const {
        if (!state_->whole.defined())
            state_->whole = state_->parts.size() == 1 ? state_->parts[0] : concat(state_->parts);
        return state_->whole;
    }
    /// Every part at half the resolution, by 2 x 2 average pooling (an odd last row or column is dropped); computed
    /// once.
    FeatureMap halved() const {
        if (!state_->halved) {
            std::vector<Variable<T>> parts;
            for (const auto& part : state_->parts)
                parts.push_back(average_pool(part, {.kernel = 2, .stride = 2, .padding = 0}));
            state_->halved = FeatureMap(std::move(parts)).state_;
        }
        return FeatureMap(state_->halved);
    }

private:
    struct State {
        std::vector<Variable<T>> parts;
        Variable<T> whole;
        std::shared_ptr<State> halved;
    };
    explicit FeatureMap(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
};

}  // namespace hwnas
