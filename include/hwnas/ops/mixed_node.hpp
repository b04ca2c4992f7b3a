// SPDX-License-Identifier: MIT
// A node of a relaxed cell, computed as a whole where its primitives are bare and per channel (design: the relaxed cell
// is cheaper than its graph): the convolutions and the identity of an edge merge into one 3x3 filter, a vertex is
// pooled once for all edges that leave it, and one pass over a vertex gives the gradients of its value, of the filters
// and of gamma. No primitive's output is stored.
#pragma once

#include <hwnas/cpu/max_pool.hpp>
#include <hwnas/cpu/mixed_band.hpp>
#include <hwnas/cpu/mixed_node.hpp>
#include <hwnas/ops/add.hpp>
#include <hwnas/ops/batch_norm.hpp>

#include <map>
#include <memory>
#include <optional>

namespace hwnas {

/// What goes into the filter of an edge: gamma[column] times a depthwise filter w [3, 3, C], or, without w, times the
/// identity.
template <class T>
struct FilterTerm {
    int edge = 0, column = 0;  ///< the edge whose filter it goes into; the column of gamma that weighs it
    Variable<T> w = {};        ///< depthwise filter, [3, 3, C]; undefined: the identity
};

/// One 3x3 filter an edge: filters[g, e] = sum of gamma[g, column] w over its terms, [G, edges, 3, 3, C] for gamma [G,
/// M]. Gradients: dw = sum_g gamma[g, column] dfilters[g, e], dgamma[g, column] = <w, dfilters[g, e]>. Throws Error for
/// terms that do not fit.
template <class T>
Variable<T> merged_filters(const std::vector<FilterTerm<T>>& terms, const Variable<T>& gamma, int edges,
                           std::int64_t channels) {
    require(gamma.defined() && gamma.shape().rank() == 2 && gamma.shape().elements() > 0,
            "merged_filters: gamma has shape {}, expected [G, M]", gamma.shape());
    require(edges >= 1 && channels >= 1, "merged_filters: {} edges of {} channels", edges, channels);
    const std::int64_t groups = gamma.shape()[0], stride = gamma.shape()[1];
    for (const auto& term : terms) {
        require(term.edge >= 0 && term.edge < edges && term.column >= 0 && term.column < stride,
                "merged_filters: edge {} of {}, column {} of gamma {}", term.edge, edges, term.column, gamma.shape());
        if (!term.w.defined()) continue;
        detail::require_operand("merged_filters", "a filter", term.w, gamma);
        require(term.w.shape() == Shape({3, 3, channels}), "merged_filters: a filter has shape {}, expected [3, 3, {}]",
                term.w.shape(), channels);
    }
    const auto filters = Tensor<T>::empty({groups, edges, 3, 3, channels}, gamma.device());
    constexpr std::size_t most = contract::max_edges;
    const auto fill = [=](auto& call, std::size_t first) {
        call.groups = groups, call.gamma_stride = stride, call.edges = edges, call.c = channels;
        for (std::size_t j = first; j < terms.size() && j < first + most; ++j) {
            call.w[call.count] = terms[j].w.defined() ? terms[j].w.value().data() : nullptr;
            call.edge[call.count] = terms[j].edge;
            call.column[call.count++] = terms[j].column;
        }
    };
    for (std::size_t first = 0; first == 0 || first < terms.size(); first += most) {
        contract::MergeFiltersForward<T> call{};
        call.filters = filters.data(), call.gamma = gamma.value().data(), call.accumulate = first > 0;
        fill(call, first);
        submit(gamma.device(), call);
    }
    std::vector<Variable<T>> inputs{gamma};
    for (const auto& term : terms) inputs.push_back(term.w);
    return record(filters, inputs, [fill, terms, value = gamma.value()](const Tensor<T>& dy, const auto& nodes) {
        T* const dgamma = nodes[0] ? detail::zeroed_target(nodes[0]) : nullptr;
        for (std::size_t first = 0; first < terms.size(); first += most) {
            contract::MergeFiltersBackward<T> call{};
            fill(call, first);
            for (std::size_t j = 0; j < static_cast<std::size_t>(call.count); ++j)
                if (nodes[1 + first + j]) call.dw[j] = detail::zeroed_target(nodes[1 + first + j]);
            call.dgamma = dgamma, call.gamma = value.data(), call.dfilters = dy.data();
            submit(dy.device(), call);
        }
    });
}

/// An edge between two vertices, by number; its own number is that of its filter. pool: the column of gamma that weighs
/// its 3x3 max pool, -1 for none.
struct MixedEdge {
    int from = 0, to = 0, pool = -1;  ///< vertices it leaves and enters; column of gamma or -1
};

/// In which order MixedNodes goes over edges. by_source: a vertex that is ready is added to all nodes it feeds, while a
/// CPU has it in its cache. by_node: a node reads all its sources and is written once, and a vertex reads the gradients
/// of all nodes it feeds; of the four nodes of a dense cell, 19 tensors pass instead of 45, and 28 instead of 53 back.
enum class MixedSchedule { by_source, by_node };

/// Which of them the device of such a vertex [N, H, W, C] is faster with.
inline MixedSchedule mixed_schedule(const Device& device, const Shape& x) {
    const bool bands =
        contract::fits_bands(x[2], x[3]) && contract::band_bytes(x[3]) <= device.backend().shared_bytes();
    return bands ? MixedSchedule::by_node : MixedSchedule::by_source;
}

/// The nodes of a cell as sums over their edges: u [N, H, W, C] = sum over edges of (x of its source convolved with
/// filters[g, edge] + gamma[g, pool] maxpool3x3(x)), stride 1, zeros (for the pool: nothing) beyond the border. filters
/// [G, edges, 3, 3, C] of merged_filters(), gamma [G, M]; G = 1 or one for each image. Every vertex is pushed once, as
/// soon as it is known. Gradients of vertices, filters and gamma; those of a vertex come all at once when the last node
/// it feeds has been passed, and its pool is computed again then, on a CPU.
template <class T>
class MixedNodes {
public:
    /// Sums over these edges, with filters [G, edges, 3, 3, C] and gamma [G, M] (else Error); without a schedule in
    /// that of mixed_schedule().
    MixedNodes(std::vector<MixedEdge> edges, const Variable<T>& filters, const Variable<T>& gamma,
               std::optional<MixedSchedule> schedule = {})
        : edges_(std::move(edges)), filters_(filters), gamma_(gamma), schedule_(schedule) {
        require(filters.defined() && gamma.defined(), "mixed_node: {} has no value",
                gamma.defined() ? "filters" : "gamma");
        const Shape &f = filters.shape(), &g = gamma.shape();
        const auto count = static_cast<std::int64_t>(edges_.size());
        require(g.rank() == 2 && f.rank() == 5 && f[0] == g[0] && f[1] == count && f[2] == 3 && f[3] == 3,
                "mixed_node: filters {} and gamma {}, expected [G, {}, 3, 3, C] and [G, M]", f, g, count);
        for (const auto& edge : edges_)
            require(edge.pool >= -1 && edge.pool < g[1], "mixed_node: column {} of gamma {}", edge.pool, g);
    }
    /// Gives vertex number `vertex` the value x [N, H, W, C]; throws Error for extents below 2 or another shape than
    /// before.
    void push(int vertex, const Variable<T>& x) {
        const Shape &shape = x.shape(), &f = filters_.shape();
        require(shape.rank() == 4 && shape[1] >= 2 && shape[2] >= 2,
                "mixed_node: a vertex has shape {}, expected [N, H, W, C] of 2 x 2 pixels at least", shape);
        require(shape[3] == f[4], "mixed_node: a vertex has shape {}, filters are {}", shape, f);
        require(f[0] == 1 || f[0] == shape[0],
                "mixed_node: gamma {} has {} draws, expected 1 or one for each of {} images", gamma_.shape(), f[0],
                shape[0]);
        require(!shape_.rank() || shape == shape_, "mixed_node: vertices of shapes {} and {}", shape_, shape);
        shape_ = shape;
        if (!schedule_) schedule_ = mixed_schedule(x.device(), shape);
        auto source = std::make_shared<Source>();
        source->x = x.value(), source->schedule = *schedule_;
        const auto handle = record_deferred(x.value(), {&x, &filters_, &gamma_},  // x may be a constant
                                            [source](const auto& inputs) { source->backward(inputs[0]); });
        std::vector<int> leaving;
        bool pools = false;
        for (std::size_t e = 0; e < edges_.size(); ++e)
            if (edges_[e].from == vertex) leaving.push_back(static_cast<int>(e)), pools |= edges_[e].pool >= 0;
        if (*schedule_ == MixedSchedule::by_node) {
            if (pools && x.requires_grad()) source->tap = Tensor<std::uint8_t>::empty(shape, x.device());
            for (const int e : leaving) {
                const auto& edge = edges_[static_cast<std::size_t>(e)];
                sums_[edge.to].arriving.push_back({source, handle, e, edge.pool});
            }
            return;
        }
        Tensor<T> pooled;
        if (pools) pooled = source->pool(handle.requires_grad() && !x.device().backend().cpu());
        constexpr std::size_t most = contract::max_edges;
        for (std::size_t first = 0; first < leaving.size(); first += most) {
            contract::MixedSourceForward<T> call{};
            call.x = x.value().data(), call.pooled = pooled.defined() ? pooled.data() : nullptr;
            fill(call);
            for (std::size_t j = first; j < leaving.size() && j < first + most; ++j) {
                const auto& edge = edges_[static_cast<std::size_t>(leaving[j])];
                auto& sum = sums_[edge.to];
                call.accumulate |= std::uint32_t{sum.u.defined()} << call.count;
                if (!sum.u.defined()) sum.u = Tensor<T>::empty(shape, x.device());
                sum.arriving.push_back({source, handle, leaving[j], edge.pool});
                call.u[call.count] = sum.u.data();
                call.edge[call.count] = leaving[j], call.column[call.count++] = edge.pool;
            }
            submit(x.device(), call);
        }
    }
    /// The sum of node `vertex`, [N, H, W, C]; throws Error unless every vertex that feeds it has been pushed.
    Variable<T> sum(int vertex) {
        const auto found = sums_.find(vertex);
        const auto expected =
            std::count_if(edges_.begin(), edges_.end(), [&](const auto& edge) { return edge.to == vertex; });
        const auto arrived = found == sums_.end() ? 0 : static_cast<std::ptrdiff_t>(found->second.arriving.size());
        require(expected > 0 && arrived == expected, "mixed_node: {} of {} edges have arrived at vertex {}", arrived,
                expected, vertex);
        Sum sum = std::move(found->second);
        sums_.erase(found);
        if (*schedule_ == MixedSchedule::by_node) sum.u = gathered(sum);
        std::vector<Variable<T>> inputs{filters_, gamma_};
        for (const auto& arrival : sum.arriving) inputs.push_back(arrival.handle);
        return record(sum.u, inputs,
                      [arriving = sum.arriving, filters = filters_.value(), gamma = gamma_.value()](const Tensor<T>& du,
                                                                                                    const auto& nodes) {
                          for (const auto& [source, handle, edge, pool] : arriving)
                              source->feeds.push_back({du, filters, gamma, nodes[0], nodes[1], edge, pool});
                      });
    }

private:
    /// What a node leaves: the gradient of its sum, and where the rest goes.
    struct Feed {
        Tensor<T> du, filters, gamma;
        std::shared_ptr<Node<T>> dfilters, dgamma;
        int edge, column;
    };
    struct Source {
        Tensor<T> x;
        std::vector<Feed> feeds = {};
        MixedSchedule schedule = MixedSchedule::by_source;
        Tensor<T> pooled;          ///< kept where that is cheaper than to pool again: a GPU's memory is large
        Tensor<std::uint8_t> tap;  ///< of the pool
        bool chosen = false;       ///< by node: tap is written by the first node that pools this source

        Tensor<T> pool(bool keep) {
            const auto y = Tensor<T>::empty(x.shape(), x.device());
            if (keep) pooled = y, tap = Tensor<std::uint8_t>::empty(x.shape(), x.device());
            submit(x.device(),
                   contract::MaxPoolForward<T>{y.data(), keep ? tap.data() : nullptr, x.data(), window(x.shape())});
            return y;
        }
        void backward(const std::shared_ptr<Node<T>>& node) {
            schedule == MixedSchedule::by_node ? at_once(node) : by_source(node);
            feeds.clear();
            pooled = {}, tap = {};
        }

    private:
        /// What both calls have in common: `count` edges from `first` on.
        template <class S>
        void fill(S& call, std::size_t first, std::size_t count) const {
            const auto& some = feeds[first];
            call.n = x.shape()[0], call.h = x.shape()[1], call.w = x.shape()[2], call.c = x.shape()[3];
            call.groups = some.gamma.shape()[0], call.gamma_stride = some.gamma.shape()[1];
            call.edges = some.filters.shape()[1], call.count = static_cast<std::int32_t>(count);
            call.chunks = call.groups > 1 ? call.n : x.device().backend().image_chunks(call.n);
            call.x = x.data(), call.filters = some.filters.data(), call.gamma = some.gamma.data();
            for (std::size_t j = 0; j < count; ++j) {
                const auto& feed = feeds[first + j];
                call.du[j] = feed.du.data(), call.edge[j] = feed.edge, call.column[j] = feed.column;
            }
        }
        /// Submits the call, with memory for its sums where filters or gamma take a gradient, and adds them up.
        template <class S>
        void submit_with_sums(S& call, std::size_t first) const {
            const bool pools = std::any_of(call.column, call.column + call.count, [](auto c) { return c >= 0; });
            contract::MixedSourceReduce<T> reduce{};
            if (feeds[first].dfilters) reduce.dfilters = detail::zeroed_target(feeds[first].dfilters);
            if (feeds[first].dgamma && pools) reduce.dgamma = detail::zeroed_target(feeds[first].dgamma);
            if (!reduce.dfilters && !reduce.dgamma) return submit(x.device(), call);
            const auto partial = Tensor<T>::empty({call.chunks, call.count, 9 * call.c + 1}, x.device());
            call.partial = partial.data();
            submit(x.device(), call);
            reduce.partial = partial.data(), reduce.c = call.c, reduce.groups = call.groups;
            reduce.gamma_stride = call.gamma_stride, reduce.edges = call.edges, reduce.chunks = call.chunks;
            reduce.count = call.count, reduce.products = 1;
            std::copy(call.edge, call.edge + call.count, reduce.edge);
            std::copy(call.column, call.column + call.count, reduce.column);
            submit(x.device(), reduce);
        }
        void at_once(const std::shared_ptr<Node<T>>& node) const {
            constexpr std::size_t most = contract::max_edges;
            for (std::size_t first = 0; first < feeds.size(); first += most) {
                contract::MixedVertexBackward<T> call{};
                fill(call, first, std::min(most, feeds.size() - first));
                const auto dx = grad_target(node);
                call.dx = dx.data(), call.accumulate = dx.accumulate;
                call.tap = tap.defined() ? tap.data() : nullptr;
                submit_with_sums(call, first);
            }
        }
        void by_source(const std::shared_ptr<Node<T>>& node) {
            const Shape& shape = x.shape();
            const bool any = std::any_of(feeds.begin(), feeds.end(), [](const Feed& feed) { return feed.column >= 0; });
            if (any && !pooled.defined()) pool(true);
            constexpr std::size_t most = contract::max_edges;
            for (std::size_t first = 0; first < feeds.size(); first += most) {
                contract::MixedSourceBackward<T> call{};
                fill(call, first, std::min(most, feeds.size() - first));
                call.pooled = pooled.defined() ? pooled.data() : nullptr;
                const bool pools = std::any_of(call.column, call.column + call.count, [](auto c) { return c >= 0; });
                const auto dx = grad_target(node);
                call.dx = dx.data(), call.accumulate = dx.accumulate;
                Tensor<T> dpooled;
                if (pools && dx) dpooled = Tensor<T>::empty(shape, x.device()), call.dpooled = dpooled.data();
                submit_with_sums(call, first);
                if (dpooled.defined())
                    submit(x.device(),
                           contract::MaxPoolBackward<T>{dx.data(), dpooled.data(), tap.data(), window(shape), 1});
            }
        }
    };
    struct Arrival {
        std::shared_ptr<Source> source;
        Variable<T> handle;
        int edge, pool;
    };
    struct Sum {
        Tensor<T> u;
        std::vector<Arrival> arriving;
    };
    /// What both forward calls have in common.
    template <class S>
    void fill(S& call) const {
        call.filters = filters_.value().data(), call.gamma = gamma_.value().data();
        call.n = shape_[0], call.h = shape_[1], call.w = shape_[2], call.c = shape_[3];
        call.groups = filters_.shape()[0], call.gamma_stride = gamma_.shape()[1], call.edges = filters_.shape()[1];
    }
    /// By node: the sum over its edges.
    Tensor<T> gathered(const Sum& sum) const {
        const auto& device = sum.arriving[0].source->x.device();
        const auto u = Tensor<T>::empty(shape_, device);
        constexpr std::size_t most = contract::max_edges;
        for (std::size_t first = 0; first < sum.arriving.size(); first += most) {
            contract::MixedNodeForward<T> call{};
            fill(call);
            call.u = u.data(), call.accumulate = first > 0;
            for (std::size_t j = first; j < sum.arriving.size() && j < first + most; ++j) {
                const auto& [source, handle, edge, pool] = sum.arriving[j];
                if (pool >= 0 && source->tap.defined() && !source->chosen)
                    call.tap[call.count] = source->tap.data(), source->chosen = true;
                call.x[call.count] = source->x.data();
                call.edge[call.count] = edge, call.column[call.count++] = pool;
            }
            submit(device, call);
        }
        return u;
    }
    static contract::Window window(const Shape& x) {
        return {.n = x[0],
                .h = x[1],
                .w = x[2],
                .c = x[3],
                .oh = x[1],
                .ow = x[2],
                .kernel = 3,
                .stride = 1,
                .padding = 1,
                .dilation = 1};
    }

    std::vector<MixedEdge> edges_;
    Variable<T> filters_, gamma_;
    std::optional<MixedSchedule> schedule_;
    Shape shape_;
    std::map<int, Sum> sums_;
};

}  // namespace hwnas
