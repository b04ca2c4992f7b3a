// SPDX-License-Identifier: MIT
// Cell: a small graph whose every edge chooses among primitives; a module like any other, usable in any network.
// Relaxed, a node weighs what all primitives on its edges give by gamma: bare ones merged (ops/mixed_node.hpp, whole
// cells in ops/mixed_cell.hpp where a device does that), others one by one. Discrete, each edge owns just its chosen
// primitive, and a node adds them as a whole (ops/node_sum.hpp).
#pragma once

#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/add.hpp>
#include <hwnas/ops/mixed_cell.hpp>
#include <hwnas/ops/node_gate.hpp>
#include <hwnas/ops/node_sum.hpp>
#include <hwnas/ops/weighted_norm_sum.hpp>
#include <hwnas/space/cell_options.hpp>
#include <hwnas/space/feature_map.hpp>
#include <hwnas/space/primitives.hpp>
#include <hwnas/space/relaxation.hpp>

#include <optional>

namespace hwnas {

/// A cell as a module of its own: relaxed, every edge weighing all primitives by gamma, or, where its options hold
/// choices, discrete. Stands in the networks of a SearchSpace and in any network of the user's.
template <class T>
class BasicCell {
public:
    /// Makes all parameters with `init`, in scopes "preprocess_0", "edge_3", "node_1". Throws Error for a graph that
    /// cannot run (CellGraph::checked()), a stride other than 1 and 2, primitives that share a name, or inputs or
    /// choices whose number is not the graph's.
    BasicCell(const CellOptions& options, const Initializer<T>& init) : options_(options) {
        options_.graph = options.graph.checked();
        const auto& graph = options_.graph;
        require(!options.primitives.empty(), "cell: no primitives given; an edge needs at least one to choose from");
        require(options.primitives.size() <= 64, "cell: {} primitives, at most 64 are supported",
                options.primitives.size());
        require(options.channels >= 1, "cell: {} channels", options.channels);
        require(options.stride == 1 || options.stride == 2, "cell: stride {} (1 or 2)", options.stride);
        require(static_cast<int>(options.inputs.size()) == graph.inputs, "cell: {} inputs described, the graph has {}",
                options.inputs.size(), graph.inputs);
        require(!options.choices || options.choices->size() == graph.edges.size(), "cell: {} choices for {} edges",
                options.choices ? options.choices->size() : 0, graph.edges.size());
        for (std::size_t m = 0; m < options.primitives.size(); ++m)
            for (std::size_t other = 0; other < m; ++other)
                require(options.primitives[m].name() != options.primitives[other].name(),
                        "cell: two primitives are named {}", options.primitives[m].name());
        for (int i = 0; i < graph.inputs; ++i)
            preprocesses_.emplace_back(options_, options.inputs[static_cast<std::size_t>(i)],
                                       init.in(fmt::format("input_{}", i)));
        for (std::size_t e = 0; e < graph.edges.size(); ++e) {
            const Initializer<T> edge = init.in(fmt::format("edge_{}", e));
            edges_.emplace_back(options.primitives.size());
            for (std::size_t m = 0; m < options.primitives.size(); ++m)
                if (!options.choices || (*options.choices)[e] == static_cast<int>(m))
                    edges_[e][m] = PrimitiveParameters<T>(edge.in(options.primitives[m].name()),
                                                          options.primitives[m].state(site(e)), options.channels);
        }
        if (options.transform == NodeTransform::pointwise)
            for (int v = 0; v < graph.nodes; ++v)
                transforms_.push_back(mixes(v) ? std::make_unique<ConvNorm<T>>(init.in(fmt::format("node_{}", v)), 1,
                                                                               options.channels, options.channels)
                                               : nullptr);
        std::vector<std::int32_t> first{options.first_row};
        for (int v = graph.inputs; v < graph.inputs + graph.nodes; ++v)
            first.push_back(first.back() +
                            static_cast<std::int32_t>(std::count_if(graph.edges.begin(), graph.edges.end(),
                                                                    [&](const auto& e) { return e.to == v; })));
        first_ = Tensor<std::int32_t>::from(first, {static_cast<std::int64_t>(first.size())}, init.device());
        one_ = Variable<T>(Tensor<T>::full({1}, T(1), init.device()));
    }
    BasicCell(BasicCell&&) = default;
    BasicCell& operator=(BasicCell&&) = default;

    /// The options it was built with, the graph with its edges sorted and its defaults filled in.
    const CellOptions& options() const { return options_; }
    /// Channels of the output: CellOptions::channels times the vertices of its concatenation.
    std::int64_t out_channels() const {
        return options_.channels * static_cast<std::int64_t>(options_.graph.concat.size());
    }
    /// Height of the output: that of the preprocessed inputs over the stride, rounded up.
    std::int64_t out_height() const { return (options_.height + options_.stride - 1) / options_.stride; }
    /// Width of the output: that of the preprocessed inputs over the stride, rounded up.
    std::int64_t out_width() const { return (options_.width + options_.stride - 1) / options_.stride; }
    /// Input extents and stride of the primitives on edge e: edges from a cell input have the cell's stride, others 1.
    Site site(std::size_t e) const {
        const bool input = options_.graph.edges[e].from < options_.graph.inputs;
        return input ? Site{options_.channels, options_.height, options_.width, options_.stride}
                     : Site{options_.channels, out_height(), out_width(), 1};
    }
    /// Parameters of every primitive on every edge, [edges][k].
    std::vector<std::vector<double>> parameter_table() const {
        std::vector<std::vector<double>> table;
        for (std::size_t e = 0; e < edges_.size(); ++e) {
            table.emplace_back();
            for (const auto& primitive : options_.primitives)
                table.back().push_back(static_cast<double>(parameter_count(primitive.state(site(e)), site(e))));
        }
        return table;
    }

    /// The relaxed cell: inputs, one [N, H, W, C] per CellInput, and gamma [G, rows, k], of which it reads one row per
    /// edge from first_row on -> [N, h, w, out_channels()]. Throws Error on a discrete cell and for shapes that do not
    /// fit.
    Variable<T> forward(const std::vector<Variable<T>>& inputs, const Relaxation<T>& relaxation, Phase phase) const {
        return forward(features(inputs), relaxation, phase).whole();
    }
    /// The discrete cell: inputs, one [N, H, W, C] per CellInput -> [N, h, w, out_channels()]. Throws Error on a
    /// relaxed cell and for shapes that do not fit.
    Variable<T> forward(const std::vector<Variable<T>>& inputs, Phase phase) const {
        return forward(features(inputs), phase).whole();
    }
    /// The relaxed cell on feature maps, for chains of cells: a concatenation is only built where somebody needs it
    /// whole.
    FeatureMap<T> forward(const std::vector<FeatureMap<T>>& inputs, const Relaxation<T>& relaxation,
                          Phase phase) const {
        require(!options_.choices, "cell: this cell is discrete, call forward(inputs, phase)");
        return run(inputs, &relaxation, phase);
    }
    /// The discrete cell on feature maps.
    FeatureMap<T> forward(const std::vector<FeatureMap<T>>& inputs, Phase phase) const {
        require(options_.choices.has_value(), "cell: this cell is relaxed, call forward(inputs, relaxation, phase)");
        return run(inputs, nullptr, phase);
    }
    /// Appends all parameters, and the running statistics of the batch norms, to `state`.
    void collect(ModuleState<T>& state) const {
        for (const auto& p : preprocesses_) p.collect(state);
        for (const auto& edge : edges_)
            for (const auto& primitive : edge) primitive.collect(state);
        for (const auto& t : transforms_)
            if (t) t->collect(state);
    }
    /// Folds every batch norm into the weights before it; the cell can then only be run in Phase::eval.
    void fold() {
        for (auto& p : preprocesses_) p.fold();
        for (auto& edge : edges_)
            for (auto& primitive : edge) primitive.fold();
        for (auto& t : transforms_)
            if (t) t->fold();
    }

private:
    /// Brings one input to the cell's channels and resolution.
    class Preprocess {
    public:
        Preprocess(const CellOptions& options, const CellInput& input, const Initializer<T>& init)
            : halvings_(input.halvings) {
            require(input.channels >= 1 && input.halvings >= 0, "cell: an input of {} channels, halved {} times",
                    input.channels, input.halvings);
            factorized_ = options.reduction == Reduction::factorized && input.halvings > 0;
            if (factorized_) {
                require(input.halvings == 1, "cell: an input must be halved {} times, factorized reduction halves once",
                        input.halvings);
                reduce_ = PrimitiveParameters<T>(
                    init, primitives::factorized_reduce_state(input.channels, options.channels), options.channels);
            } else {
                conv_ = ConvNorm<T>(init, 1, input.channels, options.channels);
            }
        }
        Variable<T> operator()(FeatureMap<T> x, Phase phase) const {
            if (factorized_)
                return primitives::factorized_reduce(x.whole(), reduce_.weight(0), reduce_.weight(1), reduce_.norms[0],
                                                     phase, reduce_.bias(0), reduce_.bias(1))
                    .value();
            for (int i = 0; i < halvings_; ++i) x = x.halved();
            return conv_.after_relu(x.whole(), phase);
        }
        void collect(ModuleState<T>& state) const {
            if (factorized_)
                reduce_.collect(state);
            else
                conv_.collect(state);
        }
        void fold() {
            if (factorized_)
                reduce_.fold();
            else
                conv_.fold();
        }

    private:
        int halvings_ = 0;
        bool factorized_ = false;
        ConvNorm<T> conv_;
        PrimitiveParameters<T> reduce_;
    };

    /// Whether node v (counted from 0) ever mixes channels.
    bool mixes(int v) const {
        if (!options_.choices) return mix_mask() != 0;
        for (std::size_t e = 0; e < options_.graph.edges.size(); ++e)
            if (options_.graph.edges[e].to == v + options_.graph.inputs &&
                options_.primitives[static_cast<std::size_t>((*options_.choices)[e])].traits().convolution)
                return true;
        return false;
    }
    std::uint64_t mix_mask() const {
        std::uint64_t mask = 0;
        for (std::size_t m = 0; m < options_.primitives.size(); ++m)
            if (options_.primitives[m].traits().convolution) mask |= std::uint64_t{1} << m;
        return mask;
    }

    static std::vector<FeatureMap<T>> features(const std::vector<Variable<T>>& inputs) {
        std::vector<FeatureMap<T>> maps;
        for (const auto& x : inputs) maps.emplace_back(std::vector<Variable<T>>{x});
        return maps;
    }
    FeatureMap<T> run(const std::vector<FeatureMap<T>>& inputs, const Relaxation<T>* relaxation, Phase phase) const {
        const auto& graph = options_.graph;
        require(static_cast<int>(inputs.size()) == graph.inputs, "cell: {} inputs given, the graph has {}",
                inputs.size(), graph.inputs);
        const bool single_path = relaxation && relaxation->mode == SearchMode::single_path;
        const int k = static_cast<int>(options_.primitives.size());
        if (relaxation) {
            const Shape& gamma = relaxation->gamma.shape();
            require(gamma.rank() == 3 && gamma[2] == k &&
                        gamma[1] >= options_.first_row + static_cast<int>(graph.edges.size()),
                    "cell: gamma {} for rows {} to {} of {} primitives", gamma, options_.first_row,
                    options_.first_row + static_cast<int>(graph.edges.size()) - 1, k);
            require(!single_path || (relaxation->selected.defined() && gamma[0] == 1),
                    "cell: single_path needs one draw for the batch and its selected rows (gamma {})", gamma);
        }
        NodeGate<T> gate;
        if (relaxation && !transforms_.empty() && mix_mask() != 0) {
            gate = node_gate(relaxation->gamma, first_, mix_mask());
            relaxation->flags->push_back(gate.on);
        }
        std::vector<Variable<T>> vertices;
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            const LabelScope label(fmt::format("input_{}", i));
            vertices.push_back(preprocesses_[i](inputs[i], phase));
            const Shape& shape = vertices.back().shape();
            require(shape[1] == options_.height && shape[2] == options_.width,
                    "cell: input {} arrives as {}, {} x {} was declared", i, shape, options_.height, options_.width);
        }
        const bool fused =
            relaxation && !single_path && fusible() && relaxation->gamma.device() == vertices[0].device();
        Variable<T> gamma, filters;
        std::optional<MixedNodes<T>> mixed;
        std::vector<Variable<T>> nodes;  // where they are computed all at once
        if (fused) {
            gamma = flat(relaxation->gamma);
            filters = merged_filters(filter_terms(), gamma, static_cast<int>(graph.edges.size()), options_.channels);
            std::vector<MixedEdge> edges;
            for (std::size_t j = 0; j < graph.edges.size(); ++j)
                edges.push_back({graph.edges[j].from, graph.edges[j].to, pool() >= 0 ? column(j, pool()) : -1});
            if (transforms_.empty() && computes_cells(edges, vertices, graph.nodes)) {
                nodes = mixed_cell(edges, vertices, graph.nodes, filters, gamma);
            } else {
                mixed.emplace(std::move(edges), filters, gamma);
                for (std::size_t i = 0; i < vertices.size(); ++i) mixed->push(static_cast<int>(i), vertices[i]);
            }
        }
        // A primitive without parameters does the same on every edge that leaves a vertex: run it once there.
        std::map<std::pair<int, int>, Variable<T>> shared;
        // Batch norms that end a primitive are applied while the node adds.
        const bool merges = options_.fused && !single_path && (relaxation || phase == Phase::train);
        // A derived node is one sum, unless its norms learn. Sources by {vertex, primitive}, -1: the vertex itself.
        const bool sums = !relaxation && options_.fused && (phase == Phase::eval || bare());
        std::map<std::pair<int, int>, NodeSource<T>> sources;
        const auto source = [&](std::pair<int, int> key, const Variable<T>& x) {
            return sources.try_emplace(key, x).first->second;
        };
        std::optional<SharedWork<T>> work;  // not where edges run under guards of their own
        if (relaxation && !single_path && options_.fused) work.emplace();
        std::size_t e = 0;
        for (int v = 0; v < graph.nodes; ++v) {
            const LabelScope node_label(fmt::format("node_{}", v));
            std::vector<Normalized<T>> terms;
            std::vector<int> columns;
            std::vector<NodeTerm<T>> arriving;
            Variable<T> u;
            if (fused) {
                u = mixed ? mixed->sum(v + graph.inputs) : nodes[static_cast<std::size_t>(v)];
                while (e < graph.edges.size() && graph.edges[e].to == v + graph.inputs) ++e;
            }
            for (; e < graph.edges.size() && graph.edges[e].to == v + graph.inputs; ++e) {
                const int from = graph.edges[e].from;
                const Site at = site(e);
                for (int m = 0; m < k; ++m) {
                    if (options_.choices && (*options_.choices)[e] != m) continue;
                    const auto& primitive = options_.primitives[static_cast<std::size_t>(m)];
                    if (sums && at.stride == 1 && primitive.traits().identity) {
                        arriving.push_back({source({from, -1}, vertices[static_cast<std::size_t>(from)])});
                        continue;
                    }
                    if (sums && summed(primitive, at)) {
                        arriving.push_back({source({from, -1}, vertices[static_cast<std::size_t>(from)]),
                                            edges_[e][static_cast<std::size_t>(m)].weight(0)});
                        continue;
                    }
                    const LabelScope label(primitive.name());
                    const auto apply = [&] {
                        const auto y = primitive.normalized(vertices[static_cast<std::size_t>(from)],
                                                            edges_[e][static_cast<std::size_t>(m)], at, phase);
                        return merges || (sums && y.factor().defined()) ? y : Normalized<T>(y.value());
                    };
                    if (single_path && !(primitive.traits().identity && at.stride == 1)) {
                        const GuardScope guard(
                            {relaxation->selected.data() + options_.first_row + static_cast<int>(e), m});
                        terms.push_back(apply());
                    } else if (primitive.state(at).empty()) {
                        auto [entry, fresh] = shared.try_emplace({from, m});
                        if (fresh) entry->second = apply().value();
                        terms.push_back(entry->second);
                    } else {
                        terms.push_back(apply());
                    }
                    columns.push_back(relaxation ? column(e, m) : 0);
                    if (!sums) continue;
                    const auto& y = terms.back();
                    arriving.push_back({primitive.state(at).empty() ? source({from, m}, y.x()) : NodeSource<T>(y.x()),
                                        {},
                                        y.factor(),
                                        y.offset()});
                }
            }
            // Where it learns, the convolution behind rectifies as it reads, and its gradient needs no pass for that.
            const bool rectified =
                sums && NoGrad::active() && !transforms_.empty() && transforms_[static_cast<std::size_t>(v)];
            if (sums && (arriving.size() > 1 || rectified || arriving[0].filter.defined()))
                u = node_sum(arriving, rectified);
            else if (sums)
                u = terms.empty() ? arriving[0].from.x() : terms[0].value();
            else if (!fused)
                u = single_path ? weighted_sum(detail::values(terms), flat(relaxation->gamma), columns, true)
                    : !relaxation && terms.size() == 1 ? terms[0].value()
                                                       : weighted_norm_sum(terms,
                                                                           relaxation ? flat(relaxation->gamma)
                                                                           : merges   ? Variable<T>()
                                                                                      : one_,
                                                                           columns);
            if (!transforms_.empty() && transforms_[static_cast<std::size_t>(v)]) {
                const LabelScope label("transform");
                const auto& transform = *transforms_[static_cast<std::size_t>(v)];
                if (!relaxation) {
                    u = rectified ? transform(u, phase) : transform.after_relu(u, phase);
                } else {
                    const auto weights = flat(gate.weights);
                    if (single_path) {
                        // u + p (T(u) - u): only where T runs is there a difference, and so a gradient of p.
                        Variable<T> difference;
                        {
                            const GuardScope guard({gate.on.data() + v, 1});
                            difference = subtract(transform(relu(u), phase), u);
                        }
                        u = add(u, weighted_sum<T>({difference}, weights, {2 * v}, true));
                    } else if (options_.fused && weights.shape()[0] == 1) {
                        u = transform.after_relu(u, phase, SkipGate<T>{weights, 2 * v});
                    } else {
                        u = weighted_sum<T>({transform(relu(u), phase), u}, weights, {2 * v, 2 * v + 1});
                    }
                }
            }
            vertices.push_back(u);
            if (mixed && v + 1 < graph.nodes) mixed->push(v + graph.inputs, u);
        }
        std::vector<Variable<T>> outputs;
        for (const int v : graph.concat) outputs.push_back(vertices[static_cast<std::size_t>(v)]);
        return FeatureMap<T>(std::move(outputs));
    }
    /// Column of gamma [G, rows k] for primitive m on edge e.
    int column(std::size_t e, int m) const {
        return (options_.first_row + static_cast<int>(e)) * static_cast<int>(options_.primitives.size()) + m;
    }
    /// The primitive that is a bare max pool, or -1.
    int pool() const {
        for (std::size_t m = 0; m < options_.primitives.size(); ++m)
            if (options_.primitives[m].traits().bare == BareForm::max_pool_3x3) return static_cast<int>(m);
        return -1;
    }
    /// Whether a derived node adds what the primitive does, as a filter.
    static bool summed(const Primitive& primitive, const Site& at) {
        return at.stride == 1 && primitive.traits().bare == BareForm::depthwise_conv_3x3;
    }
    /// Whether all primitives are bare: nothing between a vertex and a sum learns but filters.
    bool bare() const {
        return options_.stride == 1 && std::all_of(options_.primitives.begin(), options_.primitives.end(),
                                                   [](const auto& p) { return p.traits().bare != BareForm::none; });
    }
    /// Whether the relaxed nodes can run as a whole.
    bool fusible() const {
        int pools = 0;
        for (const auto& primitive : options_.primitives) {
            if (primitive.traits().bare == BareForm::none) return false;
            pools += primitive.traits().bare == BareForm::max_pool_3x3;
        }
        std::vector<int> arriving(static_cast<std::size_t>(options_.graph.inputs + options_.graph.nodes), 0);
        for (const auto& edge : options_.graph.edges) ++arriving[static_cast<std::size_t>(edge.to)];
        return options_.fused && options_.stride == 1 && options_.height >= 2 && options_.width >= 2 && pools <= 1 &&
               *std::max_element(arriving.begin(), arriving.end()) <= contract::max_edges;
    }
    std::vector<FilterTerm<T>> filter_terms() const {
        std::vector<FilterTerm<T>> terms;
        for (std::size_t e = 0; e < edges_.size(); ++e)
            for (std::size_t m = 0; m < options_.primitives.size(); ++m) {
                const auto bare = options_.primitives[m].traits().bare;
                if (bare == BareForm::depthwise_conv_3x3)
                    terms.push_back({static_cast<int>(e), column(e, static_cast<int>(m)), edges_[e][m].weight(0)});
                else if (bare == BareForm::identity)
                    terms.push_back({static_cast<int>(e), column(e, static_cast<int>(m)), {}});
            }
        return terms;
    }
    static Variable<T> flat(const Variable<T>& weights) {
        return reshape(weights, Shape{weights.shape()[0], weights.shape().elements() / weights.shape()[0]});
    }

    CellOptions options_;
    std::vector<Preprocess> preprocesses_;
    std::vector<std::vector<PrimitiveParameters<T>>> edges_;
    std::vector<std::unique_ptr<ConvNorm<T>>> transforms_;
    Tensor<std::int32_t> first_;
    Variable<T> one_;
};

/// The cell in float, as networks use it; BasicCell of double serves gradient checks.
using Cell = BasicCell<float>;

}  // namespace hwnas
