// SPDX-License-Identifier: MIT
// The mixture that relaxes a choice: the op that a search spends its elementwise time in.
#pragma once

#include <hwnas/cpu/weighted_sum.hpp>
#include <hwnas/ops/add.hpp>

namespace hwnas {

/// y[n] = sum_j weights[g(n), columns[j]] xs[j][n], at least one x, all of one shape [N, ...]. weights: [M], or [G, M]
/// or [G, E, k] read as [G, E k]; G = 1 (or rank 1): one row for all images, G = N: one an image. Terms whose weight is
/// exactly 0 are not read: their x may hold anything. Throws Error for shapes or columns that do not fit.
/// Gradient: dx_j[n] = w dy[n]; dweights[g, columns[j]] = sum of dy xs[j] over group g, for weight 0 too, where x_j
/// then has to be finite (straight-through). With selected_only (one path of a supernet) terms of weight 0 are left out
/// of that too and their dx is 0: every x must be computed under its own guard, or be finite.
template <class T>
Variable<T> weighted_sum(const std::vector<Variable<T>>& xs, const Variable<T>& weights,
                         const std::vector<int>& columns, bool selected_only = false) {
    require(!xs.empty(), "weighted_sum: no inputs");
    require(columns.size() == xs.size(), "weighted_sum: {} columns for {} inputs", columns.size(), xs.size());
    for (std::size_t j = 0; j < xs.size(); ++j) {
        detail::require_operand("weighted_sum", fmt::format("input {}", j).c_str(), xs[j], xs[0]);
        require(xs[j].shape() == xs[0].shape(), "weighted_sum: input {} has shape {}, input 0 has {}", j, xs[j].shape(),
                xs[0].shape());
    }
    detail::require_operand("weighted_sum", "weights", weights, xs[0]);
    const Shape &shape = xs[0].shape(), &rows = weights.shape();
    require(rows.rank() >= 1 && rows.rank() <= 3,
            "weighted_sum: weights have shape {}, expected [M], [G, M] or [G, E, k]", rows);
    const std::int64_t groups = rows.rank() == 1 ? 1 : rows[0];
    require(groups == 1 || (shape.rank() >= 1 && groups == shape[0]),
            "weighted_sum: weights {} have {} rows, expected 1 or one for each image of {}", rows, groups, shape);
    const std::int64_t stride = rows.elements() / std::max<std::int64_t>(1, groups);
    for (const int column : columns)
        require(column >= 0 && column < stride, "weighted_sum: column {} of weights {} with {} columns", column, rows,
                stride);

    const auto y = Tensor<T>::empty(shape, xs[0].device());
    const std::int64_t n = shape.rank() >= 1 ? shape[0] : 1, image = n > 0 ? y.elements() / n : 0;
    constexpr std::size_t most = contract::max_operands;
    for (std::size_t first = 0; first < xs.size(); first += most) {
        contract::WeightedSumForward<T> call{};
        call.y = y.data(), call.weights = weights.value().data();
        call.n = n, call.image = image, call.groups = groups, call.weight_stride = stride, call.accumulate = first > 0;
        for (std::size_t j = first; j < xs.size() && j < first + most; ++j) {
            call.x[j - first] = xs[j].value().data();
            call.columns[call.count++] = columns[j];
        }
        submit(y.device(), call);
    }

    std::vector<Tensor<T>> saved;  // the inputs, where the weights want a gradient
    if (weights.requires_grad() && !NoGrad::active())
        for (const auto& x : xs) saved.push_back(x.value());
    std::vector<Variable<T>> inputs = xs;
    inputs.push_back(weights);
    return record(y, inputs,
                  [saved, w = weights.value(), columns, groups, n, image, stride, selected_only](const Tensor<T>& dy,
                                                                                                 const auto& nodes) {
                      const std::size_t count = columns.size();
                      const auto dweights = grad_target(nodes[count]);  // always added to
                      if (dweights && !dweights.accumulate)
                          submit(dy.device(), contract::Fill<T>{dweights.data(), w.elements(), T(0)});
                      for (std::size_t first = 0; first < count; first += most) {
                          contract::WeightedSumBackward<T> call{};
                          call.dy = dy.data(), call.weights = w.data();
                          call.n = n, call.image = image, call.groups = groups, call.weight_stride = stride,
                          call.chunks = groups > 1 ? n : dy.device().backend().image_chunks(n),
                          call.selected_only = selected_only;
                          for (std::size_t j = first; j < count && j < first + most; ++j) {
                              // The target is let go at once: a value that stands in the list twice must find its
                              // buffer unshared.
                              const auto [tensor, accumulate] = grad_target(nodes[j]);
                              const auto slot = call.count++;
                              call.columns[slot] = columns[j];
                              call.x[slot] = saved.empty() ? nullptr : saved[j].data();
                              if (!tensor.defined()) continue;
                              call.dx[slot] = tensor.data();
                              const bool fill =
                                  selected_only && !accumulate;  // the kernel leaves an unselected dx_j as it finds it
                              if (fill) submit(dy.device(), contract::Fill<T>{tensor.data(), tensor.elements(), T(0)});
                              call.accumulate |= static_cast<std::uint32_t>(fill || accumulate) << slot;
                          }
                          if (!dweights) {
                              submit(dy.device(), call);
                              continue;
                          }
                          const auto partial = Tensor<T>::empty({call.chunks, call.count}, dy.device());
                          call.partial = partial.data();
                          submit(dy.device(), call);
                          contract::WeightedSumReduce<T> reduce{
                              dweights.data(), partial.data(), groups, stride, call.chunks, {}, call.count};
                          std::copy(call.columns, call.columns + call.count, reduce.columns);
                          submit(dy.device(), reduce);
                      }
                  });
}

}  // namespace hwnas
