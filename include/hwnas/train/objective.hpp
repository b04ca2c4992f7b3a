// SPDX-License-Identifier: MIT
// The complexity term of the objective. Linear in the choices it is (k / E) sum_e sum_m gamma_em S_m c_em / mean(c), E
// rows of k primitives; complexity_term() bends it so that counts follow S gradually.
#pragma once

#include <hwnas/latency/model.hpp>
#include <hwnas/ops/add.hpp>
#include <hwnas/ops/column_sum.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/sum.hpp>

namespace hwnas {

/// What a choice costs in the complexity term: the c_em of docs/method.md.
enum class ComplexityCost {
    count,       ///< c = 1: every choice alike
    parameters,  ///< half of c is 1, half the parameters of m on e over their mean
    latency      ///< half of c is 1, half the latency of m on e over its mean
};
/// "count", "parameters" or "latency".
inline const char* complexity_cost_name(ComplexityCost cost) {
    return cost == ComplexityCost::count ? "count" : cost == ComplexityCost::parameters ? "parameters" : "latency";
}
/// The cost of that name; throws Error for another.
inline ComplexityCost complexity_cost(const std::string& name) {
    if (name == "count") return ComplexityCost::count;
    if (name == "parameters") return ComplexityCost::parameters;
    if (name == "latency") return ComplexityCost::latency;
    fail("complexity cost: \"{}\" is unknown (count, parameters, latency)", name);
}

/// c_em / mean(c), row-major [rows, k]. Half of each cost is the same for all primitives: a pool has no parameters and
/// the identity no latency, and with a cost of 0 their entry of S would control nothing. Throws Error for
/// ComplexityCost::latency without a model.
inline std::vector<double> complexity_costs(const Architecture& architecture, ComplexityCost cost,
                                            const LatencyModel* latency) {
    std::vector<double> c;
    if (cost == ComplexityCost::count) {
        c.assign(static_cast<std::size_t>(architecture.rows() * architecture.k()), 1.0);
        return c;
    }
    require(cost != ComplexityCost::latency || latency, "complexity cost: latency needs a LatencyModel");
    if (cost == ComplexityCost::latency) {
        for (const auto& row : latency->row_costs()) c.insert(c.end(), row.begin(), row.end());
    } else {
        for (const auto& group : architecture.groups)
            for (const auto& row : group.parameters) c.insert(c.end(), row.begin(), row.end());
    }
    require(static_cast<int>(c.size()) == architecture.rows() * architecture.k(),
            "complexity cost: {} costs for {} rows of {} primitives", c.size(), architecture.rows(), architecture.k());
    double mean = 0;
    for (const double x : c) mean += x / static_cast<double>(c.size());
    for (double& x : c) x = mean > 0 ? 0.5 + 0.5 * x / mean : 1.0;
    return c;
}

/// The complexity term of the objective: weights [..., rows, k] (softmax(alpha), or a sample), S [k], costs [rows, k]
/// and curvature q -> 0-d:
///   k sum_m S_m ((1 - q) u_m + q (k / 2) u_m^2),  u_m = mean over rows (and draws) of weights_em costs_em.
/// q = 0 is linear in the choices: every row that cares little flips at the same S, and counts jump. With q > 0 the
/// price of a primitive falls as it gets rarer, so that counts follow S gradually; the slope at even use (u_m = 1/k) is
/// the same for every q.
template <class T>
Variable<T> complexity_term(const Variable<T>& weights, const Variable<T>& s, const Variable<T>& costs,
                            double curvature = 0) {
    const double k = static_cast<double>(s.shape()[0]), rows = static_cast<double>(weights.shape().elements()) / k;
    const auto usage = scale(column_sum(multiply(weights, costs)), 1.0 / rows);
    const auto price =
        curvature > 0 ? add(scale(usage, 1 - curvature), scale(multiply(usage, usage), curvature * k / 2)) : usage;
    return scale(sum(multiply(price, s)), k);
}

}  // namespace hwnas
