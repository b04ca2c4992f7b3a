// SPDX-License-Identifier: MIT
// Budget: hard limits, and the error that says they cannot be met.
#pragma once

#include <hwnas/space/genotype.hpp>

#include <limits>

namespace hwnas {

/// Limits a network must keep; the defaults limit nothing.
struct Budget {
    double latency_ms =
        std::numeric_limits<double>::infinity();  ///< measured, as in the latency table (batch, threads)
    std::int64_t parameters = std::numeric_limits<std::int64_t>::max();
    std::int64_t macs = std::numeric_limits<std::int64_t>::max();
};

/// No network of the family keeps the budget. Carries the one that comes nearest: the smallest.
class InfeasibleBudget : public Error {
public:
    InfeasibleBudget(const std::string& message, Genotype genotype, double latency, std::int64_t parameter_count,
                     std::int64_t mac_count)
        : Error(message),
          smallest(std::move(genotype)),
          latency_ms(latency),
          parameters(parameter_count),
          macs(mac_count) {}
    Genotype smallest;
    double latency_ms;  ///< measured where measuring was what failed, else predicted
    std::int64_t parameters, macs;
};

}  // namespace hwnas
