// SPDX-License-Identifier: MIT
// Budget: hard limits, and the error that says they cannot be met.
#pragma once

#include <hwnas/core/text.hpp>
#include <hwnas/family/member.hpp>

#include <limits>

namespace hwnas {

/// Hard limits a network must keep; the defaults limit nothing.
struct Budget {
    double latency_ms = std::numeric_limits<double>::infinity();  ///< at the batch and threads of the latency table
    /// Learnable parameters in all.
    std::int64_t parameters = std::numeric_limits<std::int64_t>::max();
    /// Multiply-accumulates for one image.
    std::int64_t macs = std::numeric_limits<std::int64_t>::max();
    std::map<std::string, int> counts = {};  ///< by name of a primitive: the most edges that may choose it

    /// Whether it limits latency.
    bool timed() const { return latency_ms < std::numeric_limits<double>::infinity(); }
};

/// What the claim that a latency keeps its budget stands on.
enum class LatencyBasis {
    none,       ///< no LatencyModel: latency is unknown
    predicted,  ///< by the table, of another device: a margin was kept
    measured    ///< on this device, in several sessions
};
/// "none", "predicted" or "measured".
inline const char* latency_basis_name(LatencyBasis basis) {
    return basis == LatencyBasis::measured ? "measured" : basis == LatencyBasis::predicted ? "predicted" : "none";
}

/// Thrown by Family::best() where no network of the family keeps the budget. Carries the one that comes nearest: with
/// these numbers as limits it fits.
class InfeasibleBudget : public Error {
public:
    /// `message` for people; the architecture that comes nearest with its latency, what that stands on, and its size.
    InfeasibleBudget(const std::string& message, Genotype genotype, double latency, LatencyBasis latency_basis,
                     const NetworkSize& size)
        : Error(message),
          smallest(std::move(genotype)),
          latency_ms(latency),
          basis(latency_basis),
          parameters(size.parameters),
          macs(size.macs) {}
    Genotype smallest;  ///< the architecture that comes nearest
    double latency_ms;  ///< what a budget must allow for it: the upper limit of its measurements where it was measured,
                        ///< else predicted with the margin
    LatencyBasis basis;             ///< what `latency_ms` stands on
    std::int64_t parameters, macs;  ///< learnable parameters and multiply-accumulates of `smallest`
};

namespace detail {

/// One limit that is set, as a number every member has.
struct Limit {
    std::string unit;  ///< "parameters", "edges of identity"
    std::int64_t most = 0;
    std::function<std::int64_t(const FamilyMember&)> value;
};
/// All limits but latency: whole numbers, known exactly.
inline std::vector<Limit> size_limits(const Budget& budget, const Architecture& architecture) {
    std::vector<Limit> limits;
    require(!(budget.latency_ms <= 0) && !std::isnan(budget.latency_ms),
            "best: a latency budget of {} ms; it must be above 0, and is not given where there is none",
            budget.latency_ms);
    require(budget.parameters > 0 && budget.macs > 0,
            "best: a budget of {} parameters and {} multiply-adds; both are above 0", budget.parameters, budget.macs);
    if (budget.parameters != Budget{}.parameters)
        limits.push_back({"parameters", budget.parameters, [](const FamilyMember& m) { return m.size.parameters; }});
    if (budget.macs != Budget{}.macs)
        limits.push_back({"multiply-adds", budget.macs, [](const FamilyMember& m) { return m.size.macs; }});
    for (const auto& [primitive, most] : budget.counts) {
        const int index = architecture.index(primitive);
        require(most >= 0, "best: a budget of {} edges of {}; 0 allows none", most, primitive);
        limits.push_back({fmt::format("edges of {}", primitive), most, [index](const FamilyMember& m) {
                              return std::int64_t{std::count(m.choices.begin(), m.choices.end(), index)};
                          }});
    }
    return limits;
}

}  // namespace detail

}  // namespace hwnas
