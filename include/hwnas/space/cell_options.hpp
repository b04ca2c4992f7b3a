// SPDX-License-Identifier: MIT
// What a cell is made of.
#pragma once

#include <hwnas/space/architecture.hpp>
#include <hwnas/space/primitive.hpp>

#include <optional>

namespace hwnas {

/// What happens to the sum u of a node's edges.
enum class NodeTransform {
    none,      ///< the sum is the node's value
    pointwise  ///< y = p T(u) + (1 - p) u, T = ReLU - 1x1 conv - BN, p = 1 - prod_e (1 - gamma_e,conv)
};
/// How a cell input is brought to the cell's resolution.
enum class Reduction {
    average_pool,  ///< 2x2 average pool for every halving, then ReLU - 1x1 conv - BN
    factorized     ///< at most one halving, by primitives::factorized_reduce
};
/// What comes into a cell: its channels, and how often its extents must be halved to match the cell's.
struct CellInput {
    std::int64_t channels = 0;  ///< of the value that comes in; the preprocess brings them to CellOptions::channels
    int halvings = 0;           ///< how often the preprocess halves height and width
};
/// What a cell is made of: graph, primitives, extents, and the choices if it is discrete.
struct CellOptions {
    std::vector<Primitive> primitives = {};  ///< what every edge chooses from, 1 to 64 with different names
    /// Nodes and edges; by default 4 nodes, each with edges from both inputs and all earlier nodes.
    CellGraph graph = CellGraph::dense();
    std::vector<CellInput> inputs = {};  ///< one for each of the graph's inputs, in their order
    std::int64_t channels = 16;          ///< of every vertex inside the cell
    std::int64_t height = 0, width = 0;  ///< of the cell inputs after the preprocess, pixels
    int stride = 1;  ///< of the edges that leave a cell input: 1, or 2 where those edges halve the resolution
    NodeTransform transform = NodeTransform::none;  ///< what a node does with the sum of its edges
    Reduction reduction = Reduction::average_pool;  ///< how the preprocess halves an input's extents
    int first_row = 0;  ///< row of gamma for edge 0; cells with the same first_row choose alike
    bool fused = true;  ///< nodes as a whole (ops/mixed_node.hpp, ops/node_sum.hpp); false: op by op, to compare
    std::optional<std::vector<int>> choices = std::nullopt;  ///< set: discrete, primitive number per edge of this cell
};

/// Number of learnable parameters of a primitive at a site.
inline std::int64_t parameter_count(const PrimitiveState& state, const Site& site) {
    std::int64_t total = 0;
    for (const auto& w : state.weights) total += w.shape.elements();
    for (const auto& c : state.convolutions)
        total += c.kernel * c.kernel * c.in_channels * c.out_channels + 2 * c.out_channels;
    for (const auto& n : state.norms) total += n.affine ? 2 * site.channels : 0;
    return total;
}

}  // namespace hwnas
