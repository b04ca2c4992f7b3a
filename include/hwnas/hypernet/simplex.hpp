// SPDX-License-Identifier: MIT
// Complexity vectors: points S of the simplex, one penalty weight per primitive. Raising S_m lowers the number of edges
// that choose m. Profiles are named by primitive, so that order cannot be confused.
#pragma once

#include <hwnas/core/random.hpp>
#include <hwnas/space/architecture.hpp>

#include <numeric>

namespace hwnas {

/// S, a point of the simplex: one penalty weight per primitive, in the order of the space's primitives. Raising S_m
/// lowers the number of edges that choose primitive m.
using Complexity = std::vector<double>;

/// Throws Error unless S has k entries from 0 to 1 that sum to 1.
inline void check_complexity(const Complexity& s, int k) {
    require(static_cast<int>(s.size()) == k, "complexity: {} entries for {} primitives", s.size(), k);
    double sum = 0;
    for (const double x : s) {
        require(x >= 0 && x <= 1, "complexity: entry {} is outside 0 to 1", x);
        sum += x;
    }
    require(std::abs(sum - 1) < 1e-6, "complexity: entries sum to {}, not 1", sum);
}
/// (1/k, ..., 1/k): profile A of the paper.
inline Complexity uniform_complexity(int k) {
    return Complexity(static_cast<std::size_t>(k), 1.0 / k);
}
/// `weight` on primitive m, the rest shared equally: profiles B (the convolution, 0.70) and C (the pool, 0.70) of the
/// paper. Throws Error for an m or a weight out of range.
inline Complexity penalised(int k, int m, double weight) {
    require(k >= 1 && m >= 0 && m < k, "complexity: primitive {} of {}", m, k);
    require(weight >= 0 && weight <= 1, "complexity: weight {} is outside 0 to 1", weight);
    Complexity s(static_cast<std::size_t>(k), k > 1 ? (1 - weight) / (k - 1) : 0.0);
    s[static_cast<std::size_t>(m)] = k > 1 ? weight : 1.0;
    return s;
}
/// The point (1 - t) uniform + t vertex m, t from 0 to 1 (else Error).
inline Complexity on_ray(int k, int m, double t) {
    require(k >= 1 && m >= 0 && m < k, "complexity: primitive {} of {}", m, k);
    require(t >= 0 && t <= 1, "complexity: point {} of a ray is outside 0 to 1", t);
    Complexity s(static_cast<std::size_t>(k), (1 - t) / k);
    s[static_cast<std::size_t>(m)] += t;
    return s;
}
/// Point `index` of a stream of points drawn uniformly from the simplex (Dirichlet(1, ..., 1)).
inline Complexity random_complexity(int k, random::Key key, std::uint64_t index) {
    Complexity s(static_cast<std::size_t>(k));
    double sum = 0;
    for (int m = 0; m < k; ++m)
        sum += s[static_cast<std::size_t>(m)] =
            random::exponential(random::words_at(key, static_cast<std::uint64_t>(m), index).w[0]);
    for (double& x : s) x /= sum;
    return s;
}

}  // namespace hwnas
