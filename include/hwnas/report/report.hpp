// SPDX-License-Identifier: MIT
// Report: what report.html shows, as plain data. Whoever has less of it leaves the rest empty: the page then says what
// is missing and how to get it.
#pragma once

#include <hwnas/family/control.hpp>
#include <hwnas/report/diagrams.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace hwnas {

struct Report {
    /// A number that is not known; shown as a dash, left out of charts.
    static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

    /// Means over the batches of an epoch.
    struct Epoch {
        int number = 0;  ///< from 1
        double loss = unknown, accuracy = unknown, task_loss = unknown, complexity = unknown, latency_ms = unknown,
               temperature = unknown;
    };
    /// Accuracies are shares from 0 to 1 (or the task's metric), latencies milliseconds.
    struct Network {
        std::string name;
        std::vector<double> complexity = {};  ///< S, in the order of `primitives`; empty: not one of a single S
        std::vector<int> counts = {};         ///< edges by primitive, in that order
        Genotype genotype = {};
        std::int64_t parameters = -1, edge_parameters = -1, macs = -1;  ///< -1: not known
        double supernet = unknown, derived = unknown, recalibrated = unknown, retrained = unknown;
        double predicted_ms = unknown, measured_ms = unknown;
        double ms() const { return std::isfinite(measured_ms) ? measured_ms : predicted_ms; }
    };
    /// A network chosen within a budget, on images it was chosen by.
    struct Chosen {
        std::string budget;  ///< "0.1 ms, 30,000 parameters"
        double accuracy = unknown, predicted_ms = unknown, measured_ms = unknown;
        std::int64_t parameters = -1;
        std::string genotype = {};
    };
    /// The family's choice within a latency budget beside random networks within it, all on images none was chosen by.
    struct Budgeted {
        double budget_ms = unknown, family = unknown, best_random = unknown, mean_random = unknown;
    };
    struct Latency {
        std::string name;
        double predicted_ms = unknown, measured_ms = unknown;
    };
    /// How to get what is missing; shown where it is.
    struct Ways {
        std::string random = "score random genotypes with their inherited weights (Report::random)";
        std::string retrained = "train the networks from scratch with hwnas::fit (Report::Network::retrained)";
        std::string latency = "measure more networks with hwnas::measure_all (Report::latencies)";
        std::string budgets = "ask Family::best for networks within budgets (Report::chosen)";
        std::string simplex = "simplex_points(family) (Report::simplex)";
        std::string result = "the search has not ended";
        std::string epochs = "keep TrainingProgress::metrics() after every epoch (Report::epochs)";
    };

    std::string title = "hwnas search";
    std::string summary = {};  ///< a sentence under the title
    std::string metric = "accuracy";
    bool percent = true;  ///< the metric is a share, shown in per cent
    std::string images = "the test images";
    std::vector<std::string> primitives = {};
    std::vector<Network> family = {};            ///< the profiles
    std::vector<Network> random = {};            ///< random networks, weights inherited like the family's
    std::vector<Network> retrained = {};         ///< networks trained from scratch
    std::vector<Network> retrained_random = {};  ///< and random ones by the same recipe
    std::vector<Chosen> chosen = {};
    std::vector<Budgeted> budgets = {};
    ControlReport control = {};
    std::vector<svg::SimplexPoint> simplex = {};
    std::vector<Epoch> epochs = {};
    std::vector<Latency> latencies = {};  ///< beside those of the family
    std::vector<std::pair<std::string, std::string>> environment = {};
    std::string command = {};  ///< repeats the run
    Ways ways = {};
};

/// What every S gives, over the whole simplex: for Report::simplex. Family: choices() and architecture().
template <class Family>
std::vector<svg::SimplexPoint> simplex_points(const Family& family) {
    const auto& a = family.architecture();
    std::vector<svg::SimplexPoint> points;
    for (auto& s : svg::simplex_cover(a.k())) {
        svg::SimplexPoint point{.s = std::move(s), .counts = std::vector<int>(a.primitives.size(), 0)};
        for (const int m : family.choices(point.s)) ++point.counts[static_cast<std::size_t>(m)];
        points.push_back(std::move(point));
    }
    return points;
}

}  // namespace hwnas
