// SPDX-License-Identifier: MIT
// A node of a relaxed cell, computed as a whole where its primitives are bare and per channel (design: the relaxed cell
// is cheaper than its graph): the convolutions and the identity of an edge merge into one 3x3 filter, a vertex is
// pooled once for all edges that leave it, and one pass over a vertex gives the gradients of its value, of the filters
// and of gamma. No primitive's output is stored.
#pragma once

#include <hwnas/cpu/max_pool.hpp>
#include <hwnas/cpu/mixed_node.hpp>
#include <hwnas/ops/add.hpp>

#include <memory>

namespace hwnas {

namespace detail {
/// The gradient of a small tensor to which several kernels add: zeros first.
template <class T>
T* zeroed_target(const std::shared_ptr<Node<T>>& node) {
    const auto target = grad_target(node);
    if (target && !target.accumulate)
        submit(node->device, contract::Fill<T>{target.data(), target.tensor.elements(), T(0)});
    return target.data();
}
}  // namespace detail

/// What goes into the filter of an edge: gamma[column] times a depthwise filter w [3, 3, C], or, without w, times the
/// identity.
template <class T>
struct FilterTerm {
    int edge = 0, column = 0;
    Variable<T> w = {};
};

/// One 3x3 filter an edge: filters[g, e] = sum of gamma[g, column] w over its terms, [G, edges, 3, 3, C] for gamma
/// [G, M]. Gradients: dw = sum_g gamma[g, column] dfilters[g, e], dgamma[g, column] = <w, dfilters[g, e]>.
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

template <class T>
struct MixedEdge;

/// A vertex x [N, H, W, C] as the nodes see it that it feeds. Its gradient is computed once, when all of them have left
/// theirs.
template <class T>
class MixedSource {
public:
    /// pools: an edge that leaves it has a max pool.
    MixedSource(const Variable<T>& x, bool pools) : state_(std::make_shared<State>()) {
        const Shape& shape = x.shape();
        require(shape.rank() == 4 && shape[1] >= 2 && shape[2] >= 2,
                "mixed_node: a vertex has shape {}, expected [N, H, W, C] of 2 x 2 pixels at least", shape);
        state_->x = x.value();
        if (pools) {
            state_->pooled = Tensor<T>::empty(shape, x.device());
            state_->tap = Tensor<std::uint8_t>::empty(shape, x.device());
            submit(x.device(), contract::MaxPoolForward<T>{state_->pooled.data(), state_->tap.data(), x.value().data(),
                                                           window(shape)});
        }
        handle_ =
            record_deferred(x.value(), {&x}, [state = state_](const auto& inputs) { state->backward(inputs[0]); });
    }
    const Shape& shape() const { return handle_.shape(); }
    bool pools() const { return state_->pooled.defined(); }

private:
    /// What a node leaves: the gradient of its sum, and where the rest goes.
    struct Feed {
        Tensor<T> du, filters, gamma;
        std::shared_ptr<Node<T>> dfilters, dgamma;
        int edge, column;
    };
    struct State {
        Tensor<T> x, pooled;
        Tensor<std::uint8_t> tap;
        std::vector<Feed> feeds = {};

        void backward(const std::shared_ptr<Node<T>>& node) {
            const Shape& shape = x.shape();
            constexpr std::size_t most = contract::max_edges;
            for (std::size_t first = 0; first < feeds.size(); first += most) {
                const std::size_t count = std::min(most, feeds.size() - first);
                const auto& some = feeds[first];
                contract::MixedSourceBackward<T> call{};
                call.n = shape[0], call.h = shape[1], call.w = shape[2], call.c = shape[3];
                call.groups = some.gamma.shape()[0], call.gamma_stride = some.gamma.shape()[1];
                call.edges = some.filters.shape()[1], call.count = static_cast<std::int32_t>(count);
                call.pieces = cpu::mixed_source_pieces(call.n, call.groups);
                call.x = x.data(), call.pooled = pooled.defined() ? pooled.data() : nullptr;
                call.filters = some.filters.data(), call.gamma = some.gamma.data();
                bool pool = false;
                for (std::size_t j = 0; j < count; ++j) {
                    const auto& feed = feeds[first + j];
                    call.du[j] = feed.du.data(), call.edge[j] = feed.edge, call.column[j] = feed.column;
                    pool |= feed.column >= 0;
                }
                const auto dx = grad_target(node);
                call.dx = dx.data(), call.accumulate = dx.accumulate;
                Tensor<T> dpooled, partial;
                if (pool && dx) dpooled = Tensor<T>::empty(shape, x.device()), call.dpooled = dpooled.data();
                if (some.dfilters) call.dfilters = detail::zeroed_target(some.dfilters);
                if (some.dgamma && pool) call.dgamma = detail::zeroed_target(some.dgamma);
                if (call.dfilters || call.dgamma) {
                    partial = Tensor<T>::empty({call.pieces, call.count, 9 * call.c + 1}, x.device());
                    call.partial = partial.data();
                }
                submit(x.device(), call);
                if (dpooled.defined())
                    submit(x.device(),
                           contract::MaxPoolBackward<T>{dx.data(), dpooled.data(), tap.data(), window(shape), 1});
            }
            feeds.clear();
        }
    };
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
    template <class U>
    friend Variable<U> mixed_node(const std::vector<MixedEdge<U>>&, const Variable<U>&, const Variable<U>&);

    std::shared_ptr<State> state_;
    Variable<T> handle_;
};

/// An edge that arrives at a node: where from, the number of its filter, and the column of gamma that weighs its max
/// pool (-1: it has none).
template <class T>
struct MixedEdge {
    const MixedSource<T>* source = nullptr;
    int edge = 0, pool = -1;
};

/// u [N, H, W, C] = sum over edges of (source convolved with filters[g, edge] + gamma[g, pool] maxpool3x3(source)),
/// stride 1, zeros (for the pool: nothing) beyond the border. filters [G, edges, 3, 3, C] of merged_filters(), gamma
/// [G, M]; G = 1 or one for each image. Gradients of sources, filters and gamma; those of a source come all at once
/// when the last node it feeds has been passed.
template <class T>
Variable<T> mixed_node(const std::vector<MixedEdge<T>>& edges, const Variable<T>& filters, const Variable<T>& gamma) {
    require(!edges.empty() && edges.size() <= contract::max_edges, "mixed_node: {} edges (1 to {})", edges.size(),
            contract::max_edges);
    const Shape shape = edges[0].source->shape();
    require(filters.defined() && gamma.defined(), "mixed_node: {} has no value", gamma.defined() ? "filters" : "gamma");
    const Shape &f = filters.shape(), &g = gamma.shape();
    require(g.rank() == 2 && f.rank() == 5 && f[0] == g[0] && f[2] == 3 && f[3] == 3 && f[4] == shape[3],
            "mixed_node: filters {} and gamma {} for vertices {}, expected [G, edges, 3, 3, {}] and [G, M]", f, g,
            shape, shape[3]);
    require(g[0] == 1 || g[0] == shape[0], "mixed_node: gamma {} has {} draws, expected 1 or one for each of {} images",
            g, g[0], shape[0]);
    contract::MixedNodeForward<T> call{};
    const auto u = Tensor<T>::empty(shape, gamma.device());
    call.u = u.data(), call.filters = filters.value().data(), call.gamma = gamma.value().data();
    call.n = shape[0], call.h = shape[1], call.w = shape[2], call.c = shape[3];
    call.groups = g[0], call.gamma_stride = g[1], call.edges = f[1];
    std::vector<Variable<T>> inputs{filters, gamma};
    std::vector<std::shared_ptr<typename MixedSource<T>::State>> states;
    for (const auto& edge : edges) {
        const auto& source = *edge.source;
        require(source.shape() == shape, "mixed_node: vertices of shapes {} and {}", shape, source.shape());
        require(edge.edge >= 0 && edge.edge < f[1], "mixed_node: edge {} of filters {}", edge.edge, f);
        require(edge.pool >= -1 && edge.pool < g[1], "mixed_node: column {} of gamma {}", edge.pool, g);
        require(edge.pool < 0 || source.pools(), "mixed_node: edge {} pools a vertex that was made without", edge.edge);
        call.x[call.count] = source.state_->x.data();
        call.pooled[call.count] = edge.pool >= 0 ? source.state_->pooled.data() : nullptr;
        call.edge[call.count] = edge.edge, call.column[call.count++] = edge.pool;
        inputs.push_back(source.handle_);
        states.push_back(source.state_);
    }
    submit(gamma.device(), call);
    return record(
        u, inputs,
        [edges, states, filters = filters.value(), gamma = gamma.value()](const Tensor<T>& du, const auto& nodes) {
            for (std::size_t j = 0; j < edges.size(); ++j)
                states[j]->feeds.push_back({du, filters, gamma, nodes[0], nodes[1], edges[j].edge, edges[j].pool});
        });
}

}  // namespace hwnas
