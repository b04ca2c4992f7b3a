// SPDX-License-Identifier: MIT
// LatencyModel: milliseconds of any network of a space from a table of its units: exact for a genotype, and as a
// differentiable expectation for a mixture gamma. And the list of units a space is made of, which profile() times.
#pragma once

#include <hwnas/latency/agreement.hpp>
#include <hwnas/latency/table.hpp>
#include <hwnas/ops/add.hpp>
#include <hwnas/ops/linear.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/node_gate.hpp>
#include <hwnas/ops/reshape.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/sum.hpp>
#include <hwnas/space/search_space.hpp>

#include <cmath>
#include <optional>

namespace hwnas {

namespace detail {

/// Key of a row of a latency table.
struct LatencyUnit {
    std::string unit;
    std::vector<std::int64_t> input;
    int stride = 1;
};
/// When an edge pays for its primitive: never (it returns its input), always, or once for all edges that leave a
/// vertex.
enum class EdgeCost { free, own, shared };
struct EdgeUnit {
    EdgeCost cost = EdgeCost::free;
    LatencyUnit unit = {};
};
struct CellUnits {
    std::vector<LatencyUnit> inputs;               ///< preprocess of each cell input
    std::vector<std::vector<EdgeUnit>> edges;      ///< [edges][k]
    std::vector<std::optional<LatencyUnit>> sums;  ///< [nodes]; none where one edge arrives
    std::optional<LatencyUnit> transform;
};
/// What the prepared networks of a space execute, in their order.
struct SpaceUnits {
    LatencyUnit stem, head;
    std::vector<CellUnits> cells;
};

inline SpaceUnits space_units(const SearchSpace& space, std::int64_t batch) {
    const auto& options = space.options();
    using Extents = std::vector<std::int64_t>;
    SpaceUnits units{.stem = {fmt::format("network/stem_to_{}", options.channels),
                              {batch, options.image.height, options.image.width, options.image.channels}},
                     .head = {},
                     .cells = {}};
    const Extents stem{batch, options.image.height, options.image.width, options.channels};
    Extents before = stem, last = stem;
    for (int i = 0; i < space.cells(); ++i) {
        const CellOptions cell = space.cell_options(i);
        const auto& graph = cell.graph;
        const Extents inside{batch, (cell.height + cell.stride - 1) / cell.stride,
                             (cell.width + cell.stride - 1) / cell.stride, cell.channels};
        CellUnits out;
        for (const auto& [input, from] : {std::pair{cell.inputs.at(0), before}, std::pair{cell.inputs.at(1), last}})
            out.inputs.push_back({fmt::format("cell/input_to_{}", cell.channels), from, 1 << input.halvings});
        std::vector<int> arriving(static_cast<std::size_t>(graph.nodes), 0);
        for (const auto& edge : graph.edges) {
            ++arriving[static_cast<std::size_t>(edge.to - graph.inputs)];
            const bool from_input = edge.from < graph.inputs;
            const Site site = from_input ? Site{cell.channels, cell.height, cell.width, cell.stride}
                                         : Site{cell.channels, inside[1], inside[2], 1};
            out.edges.emplace_back();
            for (const auto& primitive : cell.primitives) {
                EdgeUnit unit{.cost = primitive.traits().identity && site.stride == 1 ? EdgeCost::free
                                      : primitive.state(site).empty()                 ? EdgeCost::shared
                                                                                      : EdgeCost::own};
                const Extents input{batch, site.height, site.width, site.channels};
                if (unit.cost != EdgeCost::free)
                    unit.unit = {primitive.name() + (unit.cost == EdgeCost::shared ? "/first" : ""), input,
                                 site.stride};
                out.edges.back().push_back(std::move(unit));
            }
        }
        for (const int count : arriving) {
            out.sums.emplace_back();
            if (count > 1) out.sums.back() = LatencyUnit{fmt::format("node/sum_of_{}", count), inside};
        }
        if (cell.transform == NodeTransform::pointwise) out.transform = LatencyUnit{"node/transform", inside};
        units.cells.push_back(std::move(out));
        before = std::exchange(last, inside);
        last.back() *= static_cast<std::int64_t>(graph.concat.size());
    }
    units.head = {fmt::format("network/head_to_{}", options.classes), last};
    return units;
}

}  // namespace detail

/// One whole network and how long it took, for fit(), calibrate() and validate().
struct LatencySample {
    Genotype genotype;                 ///< the network that was measured
    double ms = 0;                     ///< median milliseconds of one run
    std::optional<double> again = {};  ///< a second measurement of it, ms
};

/// Milliseconds of any network of a space, as the sum of its units: exact for a genotype, and as a differentiable
/// expectation for a mixture gamma.
class LatencyModel {
public:
    /// A model from whole networks of a space that were measured, by regularised least squares (latency/fit.hpp, to be
    /// included for these). `table`: the device, batch and threads of the measurements; its rows, where it has any, are
    /// what the samples correct, else a unit is taken to cost what its name costs elsewhere by input element. What the
    /// table was checked to holds no more: validate() with other networks says what the model is worth. Throws Error
    /// for fewer than 3 samples (1 with rows), times that are not above 0, or a genotype of another space.
    static LatencyModel fit(const SearchSpace& space, const std::vector<LatencySample>& samples,
                            LatencyTable table = {});
    /// This model corrected by a few measured networks: few scale the table as a whole, more correct it unit by unit.
    /// Throws Error like fit().
    LatencyModel calibrate(const std::vector<LatencySample>& samples) const;
    /// Agreement of predictions with measured networks; also of the two measurements, where every sample has both.
    LatencyValidation validate(const std::vector<LatencySample>& samples) const {
        std::vector<double> predicted, measured, again;
        std::vector<std::string> names;
        for (const auto& sample : samples) {
            predicted.push_back(predict(sample.genotype)), measured.push_back(sample.ms);
            names.push_back(sample.genotype.str());
            if (sample.again) again.push_back(*sample.again);
        }
        if (again.size() != samples.size()) again.clear();
        return validate_latency(predicted, measured, again, names);
    }

    /// A model from a table, whose medians are used: they add up to the median of a network. Throws Error where the
    /// table lacks a unit of the space, naming it, or holds times that are negative or not finite.
    LatencyModel(const SearchSpace& space, LatencyTable table)
        : space_(space), architecture_(space.architecture()), table_(std::move(table)) {
        require(table_.dtype == "float32",
                "latency model: the table holds times of \"{}\" networks, \"float32\" is expected", table_.dtype);
        require(table_.batch >= 1, "latency model: the table holds times at batch {}, at least 1 is expected",
                table_.batch);
        require(table_.threads >= 1, "latency model: the table holds times on {} threads, at least 1 is expected",
                table_.threads);
        const auto k = static_cast<std::size_t>(architecture_.k());
        edges_.assign(static_cast<std::size_t>(architecture_.rows()), std::vector<double>(k, 0.0));
        const auto units = detail::space_units(space, table_.batch);
        fixed_ = cost(units.stem) + cost(units.head);
        std::uint64_t mixing = 0;
        for (std::size_t m = 0; m < k; ++m)
            if (space.primitives()[m].traits().convolution) mixing |= std::uint64_t{1} << m;
        std::map<std::tuple<int, int, int>, double> firsts,
            transforms;  // by {group, vertex, primitive}, by {group, node, 0}
        for (int i = 0; i < space.cells(); ++i) {
            const auto& cell = units.cells[static_cast<std::size_t>(i)];
            const int group = space.group_of(i);
            const auto& [name, graph, first_row, parameters] = architecture_.groups[static_cast<std::size_t>(group)];
            for (const auto& input : cell.inputs) fixed_ += cost(input);
            for (const auto& sum : cell.sums)
                if (sum) fixed_ += cost(*sum);
            std::map<std::pair<int, int>, double>
                here;  // firsts of this cell: the same for all edges that leave a vertex
            for (std::size_t e = 0; e < cell.edges.size(); ++e)
                for (std::size_t m = 0; m < k; ++m) {
                    const auto& unit = cell.edges[e][m];
                    if (unit.cost == detail::EdgeCost::own)
                        edges_[static_cast<std::size_t>(first_row) + e][m] += cost(unit.unit);
                    if (unit.cost == detail::EdgeCost::shared)
                        here[{graph.edges[e].from, static_cast<int>(m)}] = cost(unit.unit);
                }
            for (const auto& [at, time] : here) firsts[{group, at.first, at.second}] += time;
            if (cell.transform && mixing)
                for (int v = 0; v < graph.nodes; ++v) transforms[{group, v + graph.inputs, 0}] += cost(*cell.transform);
        }
        const auto add_gates = [&](const auto& gates, bool leaving) {
            for (const auto& [at, time] : gates) {
                const auto& [group, vertex, m] = at;
                const auto& rows = architecture_.groups[static_cast<std::size_t>(group)];
                Gate gate{.cost = time, .mask = leaving ? std::uint64_t{1} << m : mixing, .rows = {}};
                for (int e = 0; const auto& edge : rows.graph.edges) {
                    if ((leaving ? edge.from : edge.to) == vertex) gate.rows.push_back(rows.first_row + e);
                    ++e;
                }
                gates_.push_back(std::move(gate));
            }
        };
        add_gates(firsts, true);
        add_gates(transforms, false);
        require(reference() > 0 && std::isfinite(static_cast<float>(reference())),
                "latency model: the times of the table add up to {} ms for an average network; profile again",
                reference());
    }

    /// Milliseconds of the network of a genotype, at the batch and threads of the table; throws Error for a genotype of
    /// another space.
    double predict(const Genotype& genotype) const {
        const auto choices = genotype.choices(architecture_);
        double total = fixed_;
        for (std::size_t row = 0; row < choices.size(); ++row)
            total += edges_[row][static_cast<std::size_t>(choices[row])];
        for (const auto& gate : gates_) {
            const auto chosen = [&](int row) { return gate.mask >> choices[static_cast<std::size_t>(row)] & 1; };
            if (std::any_of(gate.rows.begin(), gate.rows.end(), chosen)) total += gate.cost;
        }
        return total;
    }

    /// gamma [G, rows, k] -> milliseconds, 0-d: what a network drawn edge by edge from gamma takes on average, averaged
    /// over G; equal to predict() where gamma is one-hot. Differentiable. Throws Error for another shape.
    template <class T>
    Variable<T> expected(const Variable<T>& gamma) const {
        const LabelScope label("latency");
        const std::int64_t rows = architecture_.rows(), k = architecture_.k();
        require(gamma.defined(), "latency model: gamma has no value");
        const Shape& shape = gamma.shape();
        require(shape.rank() == 3 && shape[0] >= 1 && shape[1] == rows && shape[2] == k,
                "latency model: gamma has shape {}, expected [G, {}, {}]", shape, rows, k);
        const auto constant = [&](const std::vector<double>& values, const Shape& of) {
            return Variable<T>(Tensor<T>::from(std::vector<T>(values.begin(), values.end()), of, gamma.device()));
        };
        std::vector<double> costs;
        for (const auto& row : edges_) costs.insert(costs.end(), row.begin(), row.end());
        Variable<T> total = sum(multiply(gamma, constant(costs, {rows, k})));
        if (!gates_.empty()) {
            // One slot a gate and row: slot = sum of gamma over the gate's primitives, gathered by a 0/1 matrix.
            std::vector<std::int32_t> first{0};
            for (const auto& gate : gates_) first.push_back(first.back() + static_cast<std::int32_t>(gate.rows.size()));
            const std::int64_t slots = first.back(), gates = static_cast<std::int64_t>(gates_.size());
            std::vector<double> gather(static_cast<std::size_t>(rows * k * slots), 0.0), gate_costs;
            std::int64_t slot = 0;
            for (const auto& gate : gates_) {
                gate_costs.insert(gate_costs.end(), {gate.cost, 0.0});
                for (const int row : gate.rows) {
                    for (std::int64_t m = 0; m < k; ++m)
                        if (gate.mask >> m & 1) gather[static_cast<std::size_t>((row * k + m) * slots + slot)] = 1;
                    ++slot;
                }
            }
            const auto picked = linear(reshape(gamma, {shape[0], rows * k}), constant(gather, {rows * k, slots}));
            const auto starts = Tensor<std::int32_t>::from(first, {gates + 1}, gamma.device());
            const auto p = node_gate(reshape(picked, {shape[0], slots, 1}), starts, 1).weights;
            total = add(total, sum(multiply(p, constant(gate_costs, {gates, 2}))));
        }
        return add(scale(total, 1.0 / static_cast<double>(shape[0])), constant({fixed_}, {}));
    }

    /// Latency_ref: expected() at uniform gamma, ms. The trainer divides by it, so that kappa means the same on every
    /// device.
    double reference() const {
        double total = fixed_;
        for (const auto& row : row_costs())
            for (const double time : row) total += time / architecture_.k();
        return total;
    }
    /// Milliseconds that choosing primitive m on a row adds, [rows][k], over all cells of its group: its own row, and
    /// its share of what edges pay together (first rows, node transforms), such that a uniform mixture adds up to
    /// reference().
    std::vector<std::vector<double>> row_costs() const {
        auto costs = edges_;
        const double k = architecture_.k();
        for (const auto& gate : gates_) {
            double members = 0;
            for (int m = 0; m < architecture_.k(); ++m) members += static_cast<double>(gate.mask >> m & 1);
            const double edges = static_cast<double>(gate.rows.size()), chosen = 1 - std::pow(1 - members / k, edges);
            const double share = gate.cost * chosen * k / (edges * members);
            for (const int row : gate.rows)
                for (int m = 0; m < architecture_.k(); ++m)
                    if (gate.mask >> m & 1) costs[static_cast<std::size_t>(row)][static_cast<std::size_t>(m)] += share;
        }
        return costs;
    }
    /// Milliseconds of what every network of the space has: stem, cell inputs, sums, head.
    double fixed() const { return fixed_; }
    /// The table of times it adds up.
    const LatencyTable& table() const { return table_; }
    /// The rows of choices that expected() takes gamma for.
    const Architecture& architecture() const { return architecture_; }

private:
    /// Paid once if any of its rows chooses a primitive of the mask.
    struct Gate {
        double cost = 0;
        std::uint64_t mask = 0;
        std::vector<int> rows;
    };
    double cost(const detail::LatencyUnit& unit) const {
        const LatencyRow& row = table_.at(unit.unit, unit.input, unit.stride);
        require(row.median >= 0 && std::isfinite(row.median), "latency model: {} takes {} ms in the table", row.key(),
                row.median);
        return row.median;
    }
    SearchSpace space_;
    Architecture architecture_;
    LatencyTable table_;
    double fixed_ = 0;
    std::vector<std::vector<double>> edges_;  ///< [rows][k] ms, over all cells of the group
    std::vector<Gate> gates_;
};

}  // namespace hwnas
