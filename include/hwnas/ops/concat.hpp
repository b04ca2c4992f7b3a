// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/cpu/concat.hpp>
#include <hwnas/ops/add.hpp>

#include <algorithm>

namespace hwnas {

namespace detail {
template <class T>
Variable<T> concat_one_call(const std::vector<Variable<T>>& xs, std::array<std::int64_t, Shape::max_rank> extents,
                            int rank) {
    contract::ConcatForward<T> call{};
    call.count = static_cast<std::int32_t>(xs.size());
    std::vector<std::int64_t> channels;
    extents[static_cast<std::size_t>(rank - 1)] = 0;
    call.rows = 1;
    for (int i = 0; i + 1 < rank; ++i) call.rows *= extents[static_cast<std::size_t>(i)];
    for (std::size_t j = 0; j < xs.size(); ++j) {
        call.x[j] = xs[j].value().data();
        call.channels[j] = xs[j].shape()[-1];
        channels.push_back(call.channels[j]);
        extents[static_cast<std::size_t>(rank - 1)] += call.channels[j];
    }
    const auto y = Tensor<T>::empty(
        Shape(std::span<const std::int64_t>(extents.data(), static_cast<std::size_t>(rank))), xs[0].device());
    call.y = y.data();
    submit(y.device(), call);
    return record(y, xs, [channels, rows = call.rows](const Tensor<T>& dy, const auto& inputs) {
        contract::ConcatBackward<T> back{};
        back.dy = dy.data();
        back.rows = rows;
        back.count = static_cast<std::int32_t>(channels.size());
        std::vector<std::size_t> again;  // values that stand in the list twice: a call of their own adds the rest
        for (std::size_t j = 0; j < channels.size(); ++j) {
            back.channels[j] = channels[j];
            const auto here = inputs.begin() + static_cast<std::ptrdiff_t>(j);
            if (inputs[j] && std::find(inputs.begin(), here, inputs[j]) != here) {
                again.push_back(j);
                continue;
            }
            const auto dx = grad_target(inputs[j]);
            back.dx[j] = dx.data();
            back.accumulate |= static_cast<std::uint32_t>(dx.accumulate) << j;
        }
        submit(dy.device(), back);
        for (const auto j : again) {
            std::fill(back.dx, back.dx + contract::max_operands, nullptr);
            const auto dx = grad_target(inputs[j]);
            back.dx[j] = dx.data();
            back.accumulate = static_cast<std::uint32_t>(dx.accumulate) << j;
            submit(dy.device(), back);
        }
    });
}
}  // namespace detail

/// Concatenation along the last axis: [..., C_0], [..., C_1], ... -> [..., C_0 + C_1 + ...], any number of inputs; one
/// input comes back as it is. Gradient: every input gets its columns of dy. Throws Error where other extents differ.
template <class T>
Variable<T> concat(const std::vector<Variable<T>>& xs) {
    require(!xs.empty(), "concat: no inputs");
    std::array<std::int64_t, Shape::max_rank> extents{};
    const int rank = xs[0].defined() ? xs[0].shape().rank() : 0;
    for (std::size_t j = 0; j < xs.size(); ++j) {
        detail::require_operand("concat", fmt::format("input {}", j).c_str(), xs[j], xs[0]);
        const Shape& shape = xs[j].shape();
        require(rank >= 1, "concat: input {} has shape {}, expected [..., C]", j, shape);
        bool same = shape.rank() == rank;
        for (int i = 0; same && i + 1 < rank; ++i) same = shape[i] == xs[0].shape()[i];
        require(same, "concat: input {} has shape {}, input 0 has {}; they may differ in the last extent only", j,
                shape, xs[0].shape());
    }
    for (int i = 0; i < rank; ++i) extents[static_cast<std::size_t>(i)] = xs[0].shape()[i];
    std::vector<Variable<T>> parts = xs;
    while (parts.size() > 1) {  // at most max_operands a call
        std::vector<Variable<T>> joined;
        for (std::size_t first = 0; first < parts.size(); first += contract::max_operands) {
            const auto last = std::min(parts.size(), first + contract::max_operands);
            const std::vector<Variable<T>> group(parts.begin() + static_cast<std::ptrdiff_t>(first),
                                                 parts.begin() + static_cast<std::ptrdiff_t>(last));
            joined.push_back(group.size() == 1 ? group[0] : detail::concat_one_call(group, extents, rank));
        }
        parts = std::move(joined);
    }
    return parts[0];
}

}  // namespace hwnas
