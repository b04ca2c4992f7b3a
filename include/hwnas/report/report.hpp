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

/// Report.
struct Report {
    /// A number that is not known; shown as a dash, left out of charts.
    static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

    /// Means over the batches of an epoch.
    struct Epoch {
        int number = 0;                ///< from 1
        double loss = unknown;         ///< the whole objective
        double accuracy = unknown;     ///< of the drawn mixtures
        double task_loss = unknown;    ///< the task's part of the objective
        double complexity = unknown;   ///< the complexity term
        double latency_ms = unknown;   ///< expected
        double temperature = unknown;  ///< of the draws
    };
    /// Accuracies are shares from 0 to 1 (or the task's metric), latencies milliseconds.
    struct Network {
        /// As it is shown.
        std::string name;
        std::vector<double> complexity = {};  ///< S, in the order of `primitives`; empty: not one of a single S
        std::vector<int> counts = {};         ///< edges by primitive, in that order
        /// Genotype.
        Genotype genotype = {};
        std::int64_t parameters = -1, edge_parameters = -1, macs = -1;  ///< -1: not known
        /// Supernet; derived; recalibrated; retrained.
        double supernet = unknown, derived = unknown, recalibrated = unknown, retrained = unknown;
        /// Predicted ms; measured ms.
        double predicted_ms = unknown, measured_ms = unknown;
        /// Ms.
        double ms() const { return std::isfinite(measured_ms) ? measured_ms : predicted_ms; }
    };
    /// A network chosen within a budget, on images it was chosen by.
    struct Chosen {
        std::string budget;  ///< "0.1 ms, 30,000 parameters"
        /// Accuracy; predicted ms; measured ms.
        double accuracy = unknown, predicted_ms = unknown, measured_ms = unknown;
        /// Parameters.
        std::int64_t parameters = -1;
        /// Genotype.
        std::string genotype = {};
    };
    /// The family's choice within a latency budget beside random networks within it, all on images none was chosen by.
    struct Budgeted {
        /// Budget ms; family; best random; mean random.
        double budget_ms = unknown, family = unknown, best_random = unknown, mean_random = unknown;
    };
    /// Latency.
    struct Latency {
        /// As it is shown.
        std::string name;
        /// Predicted ms; measured ms.
        double predicted_ms = unknown, measured_ms = unknown;
    };
    /// How to get what is missing; shown where it is.
    struct Ways {
        /// Random.
        std::string random = "score random genotypes with their inherited weights (Report::random)";
        /// Retrained.
        std::string retrained = "train the networks from scratch with hwnas::fit (Report::Network::retrained)";
        /// Latency.
        std::string latency = "measure more networks with hwnas::measure_all (Report::latencies)";
        /// Budgets.
        std::string budgets = "ask Family::best for networks within budgets (Report::chosen)";
        /// Simplex.
        std::string simplex = "simplex_points(family) (Report::simplex)";
        /// Result.
        std::string result = "the search has not ended";
        /// Epochs.
        std::string epochs = "keep TrainingProgress::metrics() after every epoch (Report::epochs)";
    };

    /// What the drawing is called.
    std::string title = "hwnas search";
    std::string summary = {};  ///< a sentence under the title
    /// Metric.
    std::string metric = "accuracy";
    bool percent = true;  ///< the metric is a share, shown in per cent
    /// Images.
    std::string images = "the test images";
    /// Names, in the order of the space.
    std::vector<std::string> primitives = {};
    std::vector<Network> family = {};            ///< the profiles
    std::vector<Network> random = {};            ///< random networks, weights inherited like the family's
    std::vector<Network> retrained = {};         ///< networks trained from scratch
    std::vector<Network> retrained_random = {};  ///< and random ones by the same recipe
    /// Chosen.
    std::vector<Chosen> chosen = {};
    /// Budgets.
    std::vector<Budgeted> budgets = {};
    /// Control.
    ControlReport control = {};
    /// Simplex.
    std::vector<svg::SimplexPoint> simplex = {};
    /// Epochs.
    std::vector<Epoch> epochs = {};
    std::vector<Latency> latencies = {};  ///< beside those of the family
    /// Environment.
    std::vector<std::pair<std::string, std::string>> environment = {};
    std::string command = {};  ///< repeats the run
    /// Ways.
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
