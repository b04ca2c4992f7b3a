// SPDX-License-Identifier: MIT
// A relaxed cell of bare primitives as a whole: what mixed_node.hpp computes vertex by vertex in one call each way, for
// devices that keep all vertices of a few channels in memory that threads share.
#pragma once

#include <hwnas/cpu/mixed_cell.hpp>
#include <hwnas/ops/mixed_node.hpp>

#include <optional>

namespace hwnas {

namespace detail {

/// The edges of a cell as its calls have them; nothing where there are too many, or two between the same vertices.
inline std::optional<contract::CellEdges> cell_edges(const std::vector<MixedEdge>& edges, std::size_t inputs,
                                                     int nodes) {
    if (inputs > contract::max_cell_inputs || nodes > contract::max_cell_nodes ||
        edges.size() > contract::max_cell_edges)
        return std::nullopt;
    contract::CellEdges graph{};
    graph.inputs = static_cast<std::int32_t>(inputs), graph.nodes = nodes;
    for (std::size_t e = 0; e < edges.size(); ++e) {
        for (std::size_t other = 0; other < e; ++other)
            if (edges[other].from == edges[e].from && edges[other].to == edges[e].to) return std::nullopt;
        graph.from[e] = edges[e].from, graph.to[e] = edges[e].to - graph.inputs;
        graph.edge[e] = static_cast<std::int32_t>(e), graph.column[e] = edges[e].pool;
    }
    graph.count = static_cast<std::int32_t>(edges.size());
    return graph;
}

}  // namespace detail

/// Whether the device of these inputs computes a cell of so many nodes as a whole (mixed_cell()), rather than vertex by
/// vertex (MixedNodes).
template <class T>
bool computes_cells(const std::vector<MixedEdge>& edges, const std::vector<Variable<T>>& inputs, int nodes) {
    const Shape& x = inputs[0].shape();
    const bool same = inputs.size() == 2 && inputs[0].node() && inputs[0].node() == inputs[1].node();
    return !same && x[1] <= contract::max_cell_extent && x[2] <= contract::max_cell_extent &&
           detail::cell_edges(edges, inputs.size(), nodes) &&
           contract::cell_bytes(x[1], x[2], x[3], static_cast<std::int64_t>(edges.size())) <=
               inputs[0].device().backend().shared_bytes();
}

/// The sums of all nodes of a cell: vertices are the inputs [N, H, W, C], 2 x 2 to 32 x 32 pixels, and then the nodes;
/// edges lead from earlier vertices to nodes, at most one between two. Filters and gamma as in MixedNodes. The
/// gradients of the inputs, of filters and of gamma come in one call when those of the nodes are there.
template <class T>
std::vector<Variable<T>> mixed_cell(const std::vector<MixedEdge>& edges, const std::vector<Variable<T>>& inputs,
                                    int nodes, const Variable<T>& filters, const Variable<T>& gamma) {
    require(filters.defined() && gamma.defined(), "mixed_cell: {} has no value", gamma.defined() ? "filters" : "gamma");
    require(!inputs.empty() && nodes >= 1, "mixed_cell: {} inputs and {} nodes, at least one of each is needed",
            inputs.size(), nodes);
    const auto graph = detail::cell_edges(edges, inputs.size(), nodes);
    require(graph.has_value(),
            "mixed_cell: {} inputs, {} nodes and {} edges; at most {}, {} and {}, one edge between two vertices (use "
            "MixedNodes)",
            inputs.size(), nodes, edges.size(), contract::max_cell_inputs, contract::max_cell_nodes,
            contract::max_cell_edges);
    const Shape &x = inputs[0].shape(), &f = filters.shape(), &g = gamma.shape();
    constexpr std::int64_t most = contract::max_cell_extent;
    require(x.rank() == 4 && x[1] >= 2 && x[2] >= 2 && x[1] <= most && x[2] <= most,
            "mixed_cell: an input has shape {}, expected [N, H, W, C] of 2 x 2 to {} x {} pixels", x, most, most);
    const auto count = static_cast<std::int64_t>(edges.size());
    require(g.rank() == 2 && f == Shape({g[0], count, 3, 3, x[3]}) && (g[0] == 1 || g[0] == x[0]),
            "mixed_cell: filters {} and gamma {}, expected [G, {}, 3, 3, {}] and [G, M], G 1 or {}", f, g, count, x[3],
            x[0]);
    const auto vertices = static_cast<int>(inputs.size()) + nodes;
    for (const auto& edge : edges)
        require(edge.from >= 0 && edge.from < edge.to && edge.to >= graph->inputs && edge.to < vertices &&
                    edge.pool >= -1 && edge.pool < g[1],
                "mixed_cell: an edge from vertex {} to {} of {}, column {} of gamma {}", edge.from, edge.to, vertices,
                edge.pool, g);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        require(inputs[i].shape() == x, "mixed_cell: inputs of shapes {} and {}", x, inputs[i].shape());
        require(i == 0 || !inputs[i].node() || inputs[i].node() != inputs[0].node(),
                "mixed_cell: the same value is given for two inputs (use MixedNodes)");
    }
    for (const auto* other : {&inputs.back(), &filters, &gamma})
        detail::require_operand("mixed_cell", "an operand", *other, inputs[0]);

    // What the call back needs, and what the nodes leave for it.
    struct Cell {
        std::vector<Tensor<T>> x, u, dy;
        Tensor<T> filters, gamma;
        contract::CellEdges graph;
    };
    const auto cell = std::make_shared<Cell>();
    cell->filters = filters.value(), cell->gamma = gamma.value(), cell->graph = *graph;
    for (const auto& input : inputs) cell->x.push_back(input.value());
    for (int k = 0; k < nodes; ++k) cell->u.push_back(Tensor<T>::empty(x, inputs[0].device()));
    cell->dy.resize(cell->u.size());
    const auto fill = [shape = x, draws = g](auto& call, const Cell& of) {
        call.n = shape[0], call.h = shape[1], call.w = shape[2], call.c = shape[3];
        call.groups = draws[0], call.gamma_stride = draws[1], call.edges = of.graph.count, call.graph = of.graph;
        call.filters = of.filters.data(), call.gamma = of.gamma.data();
        for (std::size_t i = 0; i < of.x.size(); ++i) call.x[i] = of.x[i].data();
        for (std::size_t k = 0; k < of.u.size(); ++k) call.u[k] = of.u[k].data();
    };
    contract::MixedCellForward<T> forward{};
    fill(forward, *cell);
    submit(inputs[0].device(), forward);

    const auto rule = [cell, fill](const auto& to) {  // filters, gamma, inputs
        if (std::none_of(cell->dy.begin(), cell->dy.end(), [](const auto& dy) { return dy.defined(); })) return;
        contract::MixedCellBackward<T> call{};
        fill(call, *cell);
        const auto& device = cell->x[0].device();
        for (std::size_t k = 0; k < cell->dy.size(); ++k)
            call.dy[k] = cell->dy[k].defined() ? cell->dy[k].data() : nullptr;
        std::vector<GradTarget<T>> dx;
        for (std::size_t i = 0; i < cell->x.size(); ++i) {
            dx.push_back(grad_target(to[2 + i]));
            call.dx[i] = dx[i].data(), call.accumulate |= static_cast<std::uint32_t>(dx[i].accumulate) << i;
        }
        call.chunks = call.groups > 1 ? call.n : device.backend().image_chunks(call.n);
        contract::MixedSourceReduce<T> reduce{};
        if (to[0]) reduce.dfilters = detail::zeroed_target(to[0]);
        if (to[1]) reduce.dgamma = detail::zeroed_target(to[1]);
        const bool sums = reduce.dfilters || reduce.dgamma;
        reduce.products = static_cast<std::int32_t>(contract::cell_groups(call.h, call.w, call.c));
        Tensor<T> partial;
        if (sums) {
            partial = Tensor<T>::empty({call.chunks, call.edges, 9 * call.c + reduce.products}, device);
            call.partial = partial.data();
        }
        submit(device, call);
        if (sums) {
            reduce.partial = partial.data(), reduce.c = call.c, reduce.groups = call.groups;
            reduce.gamma_stride = call.gamma_stride, reduce.edges = call.edges, reduce.chunks = call.chunks;
            reduce.count = call.graph.count;
            std::copy_n(call.graph.edge, reduce.count, reduce.edge);
            std::copy_n(call.graph.column, reduce.count, reduce.column);
            submit(device, reduce);
        }
        *cell = {};
    };
    // The handle's rule runs when all nodes have been passed.
    std::vector<const Variable<T>*> operands{&filters, &gamma};
    for (const auto& input : inputs) operands.push_back(&input);
    const auto handle = operands.size() == 4
                            ? record_deferred(cell->u[0], {operands[0], operands[1], operands[2], operands[3]}, rule)
                            : record_deferred(cell->u[0], {operands[0], operands[1], operands[2]}, rule);
    std::vector<Variable<T>> sums;
    for (std::size_t k = 0; k < cell->u.size(); ++k)
        sums.push_back(
            record(cell->u[k], {&handle}, [cell, k](const Tensor<T>& dy, const auto&) { cell->dy[k] = dy; }));
    return sums;
}

}  // namespace hwnas
