// SPDX-License-Identifier: MIT
// A cell's backward call by itself, with everything that ops leave out.
#pragma once

#include "support/relaxed_cell.hpp"

namespace hwnas::testing {

/// The call of a cell's backward pass on data of its own.
struct CellCalls {
    RelaxedCell cell;
    std::int64_t chunks = 1;
    std::vector<std::vector<float>> backward(const Device& device, unsigned wanted, std::uint32_t accumulate,
                                             std::int32_t resume) const {
        const Shape& x = cell.x;
        const auto edges = static_cast<std::int64_t>(cell.edges.size());
        contract::MixedCellBackward<float> s{};
        s.n = x[0], s.h = x[1], s.w = x[2], s.c = x[3];
        s.groups = cell.draws, s.gamma_stride = 3 * edges, s.edges = edges, s.chunks = chunks;
        s.graph.inputs = cell.inputs, s.graph.nodes = cell.nodes, s.graph.count = static_cast<std::int32_t>(edges);
        for (int j = 0; j < s.graph.count; ++j) {
            const auto& [from, to] = cell.edges[static_cast<std::size_t>(j)];
            s.graph.from[j] = from, s.graph.to[j] = to - cell.inputs;
            s.graph.edge[j] = s.graph.count - 1 - j, s.graph.column[j] = j % 5 == 3 ? -1 : 3 * j + 2;
        }
        const auto size = 9 * x[3] + contract::cell_groups(x[1], x[2], x[3]);
        std::vector<Tensor<float>> all;
        std::uint64_t seed = 0;
        const auto tensor = [&](const Shape& shape) {
            all.push_back(random_tensor<float>(shape, ++seed, device));
            return all.back().data();
        };
        for (int i = 0; i < cell.inputs; ++i) {
            float* const dx = tensor(x);
            s.dx[i] = wanted >> i & 1u ? dx : nullptr;
        }
        float* const partial = tensor({chunks, edges, size});
        s.partial = wanted >> 2 & 1u ? partial : nullptr;
        const std::size_t written = all.size();
        for (int k = 0; k < cell.nodes; ++k) {
            s.u[k] = tensor(x);
            const float* const dy = tensor(x);
            s.dy[k] = wanted >> (3 + k) & 1u ? dy : nullptr;
        }
        for (int i = 0; i < cell.inputs; ++i) s.x[i] = tensor(x);
        s.filters = tensor({cell.draws, edges, 9 * x[3]}), s.gamma = tensor({cell.draws, 3 * edges});
        s.accumulate = accumulate, s.resume = resume;
        submit(device, s);
        std::vector<std::vector<float>> found;
        for (std::size_t i = 0; i < written; ++i) found.push_back(all[i].to_vector());
        return found;
    }
};

}  // namespace hwnas::testing
