// SPDX-License-Identifier: MIT
// The calls of relaxed nodes by themselves, with everything that ops leave out.
#pragma once

#include "support/random_tensor.hpp"
#include "support/window_ops.hpp"

namespace hwnas::testing {

using Tensors = std::vector<std::vector<float>>;

/// What a vertex and `count` nodes that it feeds look like; edge 2 has no pool, edge 3 does nothing, edge 4 is a pool.
struct Feed {
    Shape x;
    std::int64_t groups;
    int count;
    std::int64_t chunks = 1;
    std::uint32_t accumulate = 0;
    std::string str() const {
        return fmt::format("{}, {} draws, {} nodes, {} chunks, accumulate {:#x}", x, groups, count, chunks, accumulate);
    }
    std::int64_t edges() const { return count + 2; }
    Tensor<float> tensor(const Shape& shape, std::uint64_t seed, const Device& device) const {
        return random_tensor<float>(shape, seed, device);
    }
    Tensor<float> filters(const Device& device) const {
        const std::int64_t size = 9 * x[3];
        auto values = random_values<float>(groups * edges() * size, 1);
        for (std::int64_t g = 0; g < groups; ++g)
            for (const std::int64_t edge : {3, 4})
                if (edge < edges())
                    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>((g * edges() + edge) * size), size, 0.0f);
        return Tensor<float>::from(values, {groups, edges(), size}, device);
    }
    Tensor<float> gamma(const Device& device) const {
        auto values = random_values<float>(groups * 20, 2);
        for (std::int64_t g = 0; g < groups; ++g) values[static_cast<std::size_t>(g * 20 + 3)] = 0;
        return Tensor<float>::from(values, {groups, 20}, device);
    }
    template <class S>
    void fill(S& s) const {
        s.n = x[0], s.h = x[1], s.w = x[2], s.c = x[3];
        s.groups = groups, s.gamma_stride = 20, s.edges = edges(), s.count = count;
        for (int j = 0; j < count; ++j) s.edge[j] = j + 1, s.column[j] = j == 1 ? -1 : j + 1;
    }
    /// A tensor of every node, and where it lies in `to`.
    template <class P>
    std::vector<Tensor<float>> of_nodes(P* to, const Device& device) const {
        std::vector<Tensor<float>> all;
        for (int j = 0; j < count; ++j) {
            all.push_back(tensor(x, 5 + static_cast<std::uint64_t>(j), device));
            to[j] = all.back().data();
        }
        return all;
    }
    Tensors forward(const Device& device) const {
        contract::MixedSourceForward<float> s{};
        fill(s);
        const auto source = tensor(x, 3, device), pooled = tensor(x, 4, device), f = filters(device), g = gamma(device);
        s.x = source.data(), s.pooled = pooled.data(), s.filters = f.data(), s.gamma = g.data();
        s.accumulate = accumulate;
        const auto u = of_nodes(s.u, device);
        submit(device, s);
        Tensors all;
        for (const auto& sum : u) all.push_back(sum.to_vector());
        return all;
    }
    /// wanted: bit 0 dx, bit 1 dpooled, bit 2 partial.
    Tensors backward(const Device& device, unsigned wanted = 7, std::int32_t resume = 0) const {
        contract::MixedSourceBackward<float> s{};
        fill(s);
        s.chunks = chunks;
        const auto source = tensor(x, 3, device), pooled = tensor(x, 4, device), f = filters(device), g = gamma(device),
                   dx = tensor(x, 50, device), dpooled = tensor(x, 51, device),
                   partial = tensor({chunks, count, 9 * x[3] + 1}, 52, device);
        if (wanted & 1) s.dx = dx.data();
        if (wanted & 2) s.dpooled = dpooled.data();
        if (wanted & 4) s.partial = partial.data();
        s.x = source.data(), s.pooled = pooled.data(), s.filters = f.data(), s.gamma = g.data();
        s.accumulate = accumulate != 0, s.resume = resume;
        const auto du = of_nodes(s.du, device);
        submit(device, s);
        return {dx.to_vector(), dpooled.to_vector(), partial.to_vector()};
    }
};
/// The calls that go node by node: `count` sources of a node, and a vertex that feeds as many. The first two sources
/// are the same tensor; edge 2 has no pool, edge 3 does nothing, edge 4 is a pool.
struct Pass : Feed {
    /// taps: bit j, source j's are wanted.
    Tensors node(const Device& device, std::uint32_t taps) const {
        contract::MixedNodeForward<float> s{};
        fill(s);
        const auto f = filters(device), g = gamma(device), u = tensor(x, 4, device);
        s.u = u.data(), s.filters = f.data(), s.gamma = g.data(), s.accumulate = accumulate != 0;
        std::vector<Tensor<float>> sources;
        std::vector<Tensor<std::uint8_t>> chosen;
        for (int j = 0; j < count; ++j) {
            if (j != 1) sources.push_back(tensor(x, 5 + static_cast<std::uint64_t>(j), device));
            s.x[j] = sources.back().data();
            if (!(taps >> j & 1u)) continue;
            chosen.push_back(Tensor<std::uint8_t>::empty(x, device));
            s.tap[j] = chosen.back().data();
        }
        submit(device, s);
        Tensors all{u.to_vector()};
        for (const auto& tap : chosen) {
            const auto values = tap.to_vector();
            all.emplace_back(values.begin(), values.end());
        }
        return all;
    }
    /// wanted: bit 0 dx, bit 2 partial.
    Tensors vertex(const Device& device, unsigned wanted = 5, std::int32_t resume = 0) const {
        contract::MixedVertexBackward<float> s{};
        fill(s);
        s.chunks = chunks;
        const auto source = tensor(x, 3, device), f = filters(device), g = gamma(device), dx = tensor(x, 50, device),
                   partial = tensor({chunks, count, 9 * x[3] + 1}, 52, device), y = tensor(x, 53, device);
        const auto tap = Tensor<std::uint8_t>::empty(x, device);
        submit(device, contract::MaxPoolForward<float>{y.data(), tap.data(), source.data(),
                                                       make_window("test", {x[0], x[1], x[2], x[3]}, 3, 1, 1, 1)});
        if (wanted & 1) s.dx = dx.data(), s.tap = tap.data();
        if (wanted & 4) s.partial = partial.data();
        s.x = source.data(), s.filters = f.data(), s.gamma = g.data();
        s.accumulate = accumulate != 0, s.resume = resume;
        const auto du = of_nodes(s.du, device);
        submit(device, s);
        return {dx.to_vector(), partial.to_vector()};
    }
};

}  // namespace hwnas::testing
