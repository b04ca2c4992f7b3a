// SPDX-License-Identifier: MIT
// FamilyMember: one architecture of a family, with what is known of it without training; and which of many are worth
// having: those that no other beats in accuracy, latency and parameters at once.
#pragma once

#include <hwnas/hypernet/simplex.hpp>
#include <hwnas/supernet/network.hpp>

#include <optional>

namespace hwnas {

/// One architecture of a family, and what is known of it without training.
struct FamilyMember {
    Complexity complexity;                 ///< S, which gave it
    std::optional<double> latency_weight;  ///< kappa, where the hypernetwork is conditioned on it
    std::vector<int> choices;              ///< column number of the primitive chosen in every row
    Genotype genotype;                     ///< the same by name
    NetworkSize size;                      ///< parameters and multiply-adds
    double predicted_ms = 0;               ///< ms by the latency table; 0 in a family without a LatencyModel
    std::optional<double> accuracy = {};   ///< recalibrated, on the data it was scored on (the task's metric)
};

/// How far scoring has come; called after every network.
struct ScoringProgress {
    int done = 0, total = 0;  ///< networks scored, and to score, in this round
    /// The network that was scored last.
    const FamilyMember* member = nullptr;
    bool cached = false;  ///< its score was known and cost nothing
};

/// Positions of the members that no other dominates, that is, is at least as good in accuracy, latency and parameters
/// and better in one; sorted by latency, then parameters. Throws Error for a member without an accuracy.
inline std::vector<std::size_t> non_dominated(const std::vector<FamilyMember>& members, bool higher_is_better = true) {
    const auto accuracy = [&](const FamilyMember& m) { return higher_is_better ? *m.accuracy : -*m.accuracy; };
    for (const auto& m : members)
        require(m.accuracy.has_value(), "front: a network without an accuracy; score it first");
    std::vector<std::size_t> front;
    for (std::size_t i = 0; i < members.size(); ++i) {
        const auto& a = members[i];
        const bool beaten = std::any_of(members.begin(), members.end(), [&](const FamilyMember& b) {
            const bool no_worse = accuracy(b) >= accuracy(a) && b.predicted_ms <= a.predicted_ms &&
                                  b.size.parameters <= a.size.parameters;
            const bool better =
                accuracy(b) > accuracy(a) || b.predicted_ms < a.predicted_ms || b.size.parameters < a.size.parameters;
            return no_worse && better;
        });
        if (!beaten) front.push_back(i);
    }
    std::sort(front.begin(), front.end(), [&](std::size_t a, std::size_t b) {
        const auto &x = members[a], &y = members[b];
        if (x.predicted_ms != y.predicted_ms) return x.predicted_ms < y.predicted_ms;
        if (x.size.parameters != y.size.parameters) return x.size.parameters < y.size.parameters;
        return accuracy(x) != accuracy(y) ? accuracy(x) < accuracy(y) : a < b;
    });
    return front;
}

}  // namespace hwnas
