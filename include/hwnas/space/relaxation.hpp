// SPDX-License-Identifier: MIT
// Relaxation: the weights gamma with which a relaxed network mixes its primitives, and how they are used.
#pragma once

#include <hwnas/autodiff/variable.hpp>
#include <hwnas/ops/reshape.hpp>

#include <memory>

namespace hwnas {

/// How the choice on an edge is relaxed while searching.
enum class SearchMode {
    relaxed,           ///< a mixture: every primitive runs, weighted by gamma
    straight_through,  ///< forward one primitive (one-hot gamma), backward through all
    single_path        ///< only the drawn primitive runs; its gamma alone gets a gradient (GDAS, Dong and Yang 2019)
};

/// "relaxed", "straight_through" or "single_path".
inline const char* search_mode_name(SearchMode mode) {
    return mode == SearchMode::relaxed            ? "relaxed"
           : mode == SearchMode::straight_through ? "straight_through"
                                                  : "single_path";
}
/// The mode of that name, with `_` or `-` between words; throws Error for another.
inline SearchMode search_mode(const std::string& name) {
    if (name == "relaxed") return SearchMode::relaxed;
    if (name == "straight_through" || name == "straight-through") return SearchMode::straight_through;
    if (name == "single_path" || name == "single-path") return SearchMode::single_path;
    fail("mode: \"{}\" is unknown (relaxed, straight_through, single_path)", name);
}

/// The mixing weights of one forward pass: gamma [G, rows, k], G = 1 draw for the batch or one per image.
template <class T>
struct Relaxation {
    Variable<T> gamma;                      ///< weights of the primitives, [G, rows, k]; rows sum to 1
    SearchMode mode = SearchMode::relaxed;  ///< how gamma is used: what runs forward, what gets gradients
    /// Number of the drawn primitive in every row, [rows], on the device; single_path only.
    Tensor<std::int32_t> selected = {};
    /// Flags that guard kernels must live until the step has been recorded or run: forward leaves them here.
    std::shared_ptr<std::vector<Tensor<std::int32_t>>> flags = std::make_shared<std::vector<Tensor<std::int32_t>>>();

    /// One fixed mixture for all images, for evaluation: weights row-major [rows, k].
    static Relaxation constant(const std::vector<double>& weights, int rows, int k, const Device& device) {
        const Shape shape{1, rows, k};
        return {Variable<T>(Tensor<T>::from(std::vector<T>(weights.begin(), weights.end()), shape, device))};
    }
    /// A discrete architecture as a mixture: weight 1 for the primitive chosen in each row.
    static Relaxation one_hot(const std::vector<int>& choices, int k, const Device& device) {
        std::vector<double> weights(choices.size() * static_cast<std::size_t>(k), 0.0);
        for (std::size_t row = 0; row < choices.size(); ++row)
            weights[row * static_cast<std::size_t>(k) + static_cast<std::size_t>(choices[row])] = 1.0;
        return constant(weights, static_cast<int>(choices.size()), k, device);
    }
};

}  // namespace hwnas
