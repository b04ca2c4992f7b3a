// SPDX-License-Identifier: MIT
// The sum of a relaxed node whose terms end in batch norms.
#pragma once

#include <hwnas/ops/batch_norm.hpp>
#include <hwnas/ops/weighted_sum.hpp>

namespace hwnas {

/// y = sum_j weights[columns[j]] xs[j], gradients as in weighted_sum(), where the last batch norm of an x may be
/// pending: with one row of weights it is applied while the terms are added, and its result is never built; it can be
/// used once. Without weights (undefined) all are 1, whatever the columns. Throws Error for shapes or columns that do
/// not fit.
template <class T>
Variable<T> weighted_norm_sum(const std::vector<Normalized<T>>& xs, const Variable<T>& weights,
                              const std::vector<int>& columns) {
    require(!xs.empty(), "weighted_norm_sum: no inputs");
    require(columns.size() == xs.size(), "weighted_norm_sum: {} columns for {} inputs", columns.size(), xs.size());
    const bool weighted = weights.defined();
    if (weighted) detail::require_operand("weighted_norm_sum", "weights", weights, xs[0].x());
    const Shape rows = weighted ? weights.shape() : Shape{};
    const bool one_row = rows.rank() <= 1 || rows[0] == 1;
    std::vector<Variable<T>> built;
    std::vector<int> built_columns, pending_columns;
    std::vector<Normalized<T>> pending;
    for (std::size_t j = 0; j < xs.size(); ++j)
        if (xs[j].pending() && one_row) {
            require(xs[j].shape() == xs[0].shape(), "weighted_norm_sum: input {} has shape {}, input 0 has {}", j,
                    xs[j].shape(), xs[0].shape());
            detail::require_operand("weighted_norm_sum", fmt::format("input {}", j).c_str(), xs[j].x(), xs[0].x());
            require(!weighted || (columns[j] >= 0 && columns[j] < rows.elements()),
                    "weighted_norm_sum: column {} of weights {}", columns[j], rows);
            pending.push_back(xs[j]), pending_columns.push_back(columns[j]);
        } else {
            built.push_back(xs[j].value()), built_columns.push_back(columns[j]);
        }
    Variable<T> base;
    if (!built.empty()) base = weighted ? weighted_sum(built, weights, built_columns) : add(built);
    if (pending.empty()) return base;

    // What weighted_sum() and add() of several values have built is nobody else's, and can be added to.
    const bool own = base.defined() && (weighted || built.size() > 1);
    const auto y = own ? base.value() : Tensor<T>::empty(xs[0].shape(), xs[0].x().device());
    if (base.defined() && !own) submit(y.device(), contract::Copy<T>{y.data(), base.value().data(), y.elements(), 0});
    std::vector<Variable<T>> inputs{base, weights};
    for (std::size_t j = 0; j < pending.size(); ++j) {
        pending[j].apply_to(y, weighted ? weights.value() : Tensor<T>(), pending_columns[j], base.defined() || j > 0);
        inputs.push_back(pending[j].x()), inputs.push_back(pending[j].scale()), inputs.push_back(pending[j].shift());
    }
    return record(y, inputs, [pending, pending_columns](const Tensor<T>& dy, const auto& nodes) {
        std::vector<typename Normalized<T>::Backward> passes;
        for (const auto& x : pending) passes.emplace_back(x, dy);
        T* const dweights = detail::zeroed_target(nodes[1]);
        for (std::size_t j = 0; j < passes.size(); ++j)
            passes[j].merge(detail::zeroed_target(nodes[3 * j + 3]), detail::zeroed_target(nodes[3 * j + 4]),
                            dweights ? dweights + pending_columns[j] : nullptr);
        give(nodes[0], dy);
    });
}

}  // namespace hwnas
