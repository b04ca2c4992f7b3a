// SPDX-License-Identifier: MIT
// Architecture: the choices a relaxed network offers, as rows (one a searched edge) by primitives (named). What the
// hypernetwork, the objective and the family need to know of a network, whoever built it.
#pragma once

#include <hwnas/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace hwnas {

/// A cell's graph: inputs 0 .. inputs-1, then nodes; edges run from an earlier vertex to a node; the output is the
/// concatenation of `concat` (empty: all nodes).
struct CellGraph {
    /// An edge from vertex `from` to node `to`, both counted with the cell inputs first.
    struct Edge {
        int from, to;  ///< `from` < `to`; `to` is a node, never an input
    };
    int inputs = 2;                ///< vertices 0 .. inputs-1: the outputs of earlier cells
    int nodes = 4;                 ///< vertices inputs .. inputs+nodes-1, each the sum of its edges
    std::vector<Edge> edges = {};  ///< in the order of their rows
    std::vector<int> concat = {};  ///< vertices that make up the output; empty: all nodes

    /// An edge from each input and each earlier node to every node: 14 edges for 4 nodes and 2 inputs.
    static CellGraph dense(int nodes = 4, int inputs = 2) {
        CellGraph graph{.inputs = inputs, .nodes = nodes};
        for (int to = inputs; to < inputs + nodes; ++to)
            for (int from = 0; from < to; ++from) graph.edges.push_back({from, to});
        return graph.checked();
    }
    /// A copy with edges sorted by node and `concat` filled in. Throws Error where an edge or output vertex does not
    /// exist or leads backwards, two edges join the same vertices, a node has no edge, or there are more than 256
    /// vertices.
    CellGraph checked() const {
        CellGraph graph = *this;
        const int vertices = inputs + nodes;
        require(inputs >= 1 && nodes >= 1, "cell: {} inputs and {} nodes; at least one of each is needed", inputs,
                nodes);
        require(vertices <= 256, "cell: {} vertices, at most 256 are supported", vertices);
        std::sort(graph.edges.begin(), graph.edges.end(),
                  [](const Edge& a, const Edge& b) { return a.to != b.to ? a.to < b.to : a.from < b.from; });
        std::vector<int> incoming(static_cast<std::size_t>(vertices), 0);
        for (std::size_t i = 0; i < graph.edges.size(); ++i) {
            const auto [from, to] = graph.edges[i];
            require(from >= 0 && from < to && to >= inputs && to < vertices,
                    "cell: edge {} -> {} does not run from an earlier vertex to a node ({} inputs, {} nodes)", from, to,
                    inputs, nodes);
            require(i == 0 || graph.edges[i - 1].from != from || graph.edges[i - 1].to != to,
                    "cell: edge {} -> {} is given twice", from, to);
            ++incoming[static_cast<std::size_t>(to)];
        }
        for (int v = inputs; v < vertices; ++v)
            require(incoming[static_cast<std::size_t>(v)] > 0, "cell: no edge leads to node {}", v);
        if (graph.concat.empty())
            for (int v = inputs; v < vertices; ++v) graph.concat.push_back(v);
        for (const int v : graph.concat) require(v >= 0 && v < vertices, "cell: output vertex {} does not exist", v);
        return graph;
    }
};

/// One group of rows that is drawn together: all cells of a kind.
struct ArchitectureGroup {
    std::string name;   ///< of the kind of cell: "normal", "reduction"
    CellGraph graph;    ///< row first_row + i is its edge i
    int first_row = 0;  ///< row of gamma and of the logits that belongs to edge 0
    std::vector<std::vector<double>>
        parameters;  ///< [edges][k]: parameters of a primitive there, over all cells of the group
};

/// The choices of a relaxed network as a table: `rows()` searched edges by `k()` primitives, in named groups.
struct Architecture {
    std::string name;  ///< of the space: "pointwise"; stands in genotypes and in error messages
    /// Names of the k primitives, in the order of the columns of gamma and of S.
    std::vector<std::string> primitives = {};
    std::vector<ArchitectureGroup> groups = {};  ///< in the order of their rows

    /// E: searched edges of all groups together; 28 in a built-in space of default options.
    int rows() const {
        int total = 0;
        for (const auto& group : groups) total += static_cast<int>(group.graph.edges.size());
        return total;
    }
    /// k: primitives every row chooses from, and entries of a complexity vector.
    int k() const { return static_cast<int>(primitives.size()); }
    /// Column of the primitive of that name; throws Error, listing the known names, where there is none.
    int index(const std::string& primitive) const {
        const auto found = std::find(primitives.begin(), primitives.end(), primitive);
        require(found != primitives.end(), "architecture: no primitive \"{}\" in space {} (it has {})", primitive, name,
                fmt::join(primitives, ", "));
        return static_cast<int>(found - primitives.begin());
    }
    /// Appends a group of one row per edge of `graph`, with `parameters` [edges][k], and returns its first row.
    int add(std::string group, const CellGraph& graph, std::vector<std::vector<double>> parameters) {
        const int first = rows();
        groups.push_back({std::move(group), graph, first, std::move(parameters)});
        return first;
    }
    /// Appends the rows of a BasicCell and takes over the names of its primitives; returns its first row. Throws Error
    /// unless the cell's first_row is rows() and its primitives are those of the cells before it.
    template <class Cell>
        requires requires(const Cell& cell) { cell.parameter_table(); }
    int add(std::string group, const Cell& cell) {
        const auto& options = cell.options();
        require(options.first_row == rows(),
                "architecture: cell \"{}\" starts at row {}, the next free row is {} (set CellOptions::first_row)",
                group, options.first_row, rows());
        std::vector<std::string> names;
        for (const auto& primitive : options.primitives) names.push_back(primitive.name());
        if (groups.empty() && primitives.empty()) primitives = names;
        require(primitives == names, "architecture: cell \"{}\" has primitives {}, the architecture {}", group,
                fmt::join(names, ", "), fmt::join(primitives, ", "));
        return add(std::move(group), options.graph, cell.parameter_table());
    }
    /// Whether groups, edges and primitives are the same, so that genotypes of one fit the other.
    bool operator==(const Architecture& other) const {
        if (primitives != other.primitives || groups.size() != other.groups.size()) return false;
        for (std::size_t i = 0; i < groups.size(); ++i) {
            if (groups[i].name != other.groups[i].name ||
                groups[i].graph.edges.size() != other.groups[i].graph.edges.size())
                return false;
            for (std::size_t e = 0; e < groups[i].graph.edges.size(); ++e)
                if (groups[i].graph.edges[e].from != other.groups[i].graph.edges[e].from ||
                    groups[i].graph.edges[e].to != other.groups[i].graph.edges[e].to)
                    return false;
        }
        return true;
    }
};

}  // namespace hwnas
