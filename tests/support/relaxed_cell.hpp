// SPDX-License-Identifier: MIT
// A relaxed cell of bare primitives four ways: as a whole, source by source, node by node, op by op.
#pragma once

#include <hwnas/ops/concat.hpp>
#include <hwnas/ops/depthwise_conv.hpp>
#include <hwnas/ops/max_pool.hpp>
#include <hwnas/ops/mixed_cell.hpp>
#include <hwnas/ops/weighted_sum.hpp>

#include "support/window_ops.hpp"

namespace hwnas::testing {

enum class CellWay { whole, by_source, by_node, by_op };

/// Every edge convolves, passes on and pools, weighed by three columns of gamma. The result is the concatenation of
/// the nodes in `concat`.
struct RelaxedCell {
    Shape x;
    std::int64_t draws = 1;
    int inputs = 2, nodes = 4;
    std::vector<std::pair<int, int>> edges = {};  ///< from, to: vertices; empty: all there can be
    std::vector<int> concat = {};                 ///< nodes; empty: all

    RelaxedCell filled() const {
        RelaxedCell cell = *this;
        if (edges.empty())
            for (int to = inputs; to < inputs + nodes; ++to)
                for (int from = 0; from < to; ++from) cell.edges.emplace_back(from, to);
        if (concat.empty())
            for (int k = 0; k < nodes; ++k) cell.concat.push_back(k);
        return cell;
    }
    /// Whether a block of the device has room for the cell as a whole.
    bool fits(const Device& device) const {
        return contract::cell_bytes(x[1], x[2], x[3], static_cast<std::int64_t>(filled().edges.size())) <=
               device.backend().shared_bytes();
    }
    std::string str() const {
        return fmt::format("{}, {} draws, {} inputs, {} nodes, {} edges", x, draws, inputs, nodes, edges.size());
    }
    /// What the op is given: inputs, gamma [G, 3 edges], filters.
    std::vector<Shape> shapes() const {
        std::vector<Shape> all(static_cast<std::size_t>(inputs), x);
        all.push_back({draws, 3 * static_cast<std::int64_t>(edges.size())});
        all.resize(all.size() + edges.size(), Shape{3, 3, x[3]});
        return all;
    }
    std::vector<std::vector<double>> values() const {
        std::vector<std::vector<double>> all;
        std::uint64_t seed = 0;
        for (const auto& shape : shapes()) {
            const bool gamma = shape.rank() == 2;
            all.push_back(random_values<double>(shape.elements(), ++seed, gamma ? 0.1 : -0.6, gamma ? 0.5 : 0.6));
        }
        return all;
    }
    template <class T>
    Variable<T> apply(const std::vector<Variable<T>>& v, CellWay way) const {
        const auto first = static_cast<std::size_t>(inputs);
        std::vector<Variable<T>> vertices(v.begin(), v.begin() + inputs);
        const auto& gamma = v[first];
        std::vector<MixedEdge> mixed;
        std::vector<FilterTerm<T>> terms;
        for (std::size_t j = 0; j < edges.size(); ++j) {
            const int e = static_cast<int>(j);
            mixed.push_back({edges[j].first, edges[j].second, 3 * e + 2});
            terms.push_back({e, 3 * e, v[first + 1 + j]}), terms.push_back({e, 3 * e + 1, {}});
        }
        if (way == CellWay::by_op) {
            for (int node = inputs; node < inputs + nodes; ++node) {
                std::vector<Variable<T>> xs;
                std::vector<int> columns;
                for (std::size_t j = 0; j < edges.size(); ++j) {
                    if (edges[j].second != node) continue;
                    const auto& from = vertices[static_cast<std::size_t>(edges[j].first)];
                    for (int m = 0; m < 3; ++m) columns.push_back(3 * static_cast<int>(j) + m);
                    xs.push_back(depthwise_conv(from, v[first + 1 + j]));
                    xs.push_back(from);
                    xs.push_back(max_pool(from));
                }
                vertices.push_back(weighted_sum(xs, gamma, columns));
            }
        } else {
            const auto filters = merged_filters(terms, gamma, static_cast<int>(edges.size()), x[3]);
            if (way == CellWay::whole) {
                for (const auto& u : mixed_cell(mixed, vertices, nodes, filters, gamma)) vertices.push_back(u);
            } else {
                MixedNodes<T> sums(mixed, filters, gamma,
                                   way == CellWay::by_node ? MixedSchedule::by_node : MixedSchedule::by_source);
                for (int vertex = 0; vertex < inputs + nodes; ++vertex) {
                    if (vertex >= inputs) vertices.push_back(sums.sum(vertex));
                    sums.push(vertex, vertices[static_cast<std::size_t>(vertex)]);
                }
            }
        }
        std::vector<Variable<T>> outputs;
        for (const int k : concat) outputs.push_back(vertices[static_cast<std::size_t>(inputs + k)]);
        return hwnas::concat(outputs);
    }
    /// The op, for checks.
    auto op(CellWay way) const {
        return [cell = *this, way](const auto& v) { return cell.apply(v, way); };
    }
};

/// Shapes with ragged strips, channels that are no power of two, extents from 2 to 32, and cells with gaps.
inline std::vector<RelaxedCell> relaxed_cells() {
    std::vector<RelaxedCell> cells{{{2, 2, 2, 1}},
                                   {{3, 5, 4, 3}, 3},
                                   {{2, 7, 7, 12}},
                                   {{2, 9, 6, 17}, 2, 2, 3},
                                   {{1, 15, 3, 5}, 1, 1, 4},
                                   {{1, 16, 2, 4}, 1, 2, 1},
                                   {{1, 17, 2, 2}, 1, 2, 2},
                                   {{1, 2, 32, 2}, 1, 1, 2},
                                   {{1, 32, 3, 1}, 1, 1, 2},
                                   {{2, 8, 5, 35}, 1, 1, 2},
                                   {{2, 4, 5, 6}, 1, 2, 3, {{0, 2}, {1, 3}, {2, 4}, {0, 4}}},
                                   {{2, 5, 5, 4}, 1, 2, 3, {}, {1, 2}}};
    for (auto& cell : cells) cell = cell.filled();
    return cells;
}

}  // namespace hwnas::testing
