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

/// What report.html shows, as plain data. What is left empty is named on the page, with the way to get it (Ways).
struct Report {
    /// A number that is not known; shown as a dash, left out of charts.
    static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

    /// Means over the batches of an epoch.
    struct Epoch {
        int number = 0;                ///< number of the epoch, from 1
        double loss = unknown;         ///< of the whole objective
        double accuracy = unknown;     ///< the task's metric, of the drawn mixtures
        double task_loss = unknown;    ///< the task's part of the objective
        double complexity = unknown;   ///< the complexity term, before its weight
        double latency_ms = unknown;   ///< expected latency of the mixtures
        double temperature = unknown;  ///< of Gumbel-Softmax
    };
    /// One network. Accuracies are shares from 0 to 1 (or the task's metric), latencies milliseconds.
    struct Network {
        /// Name in tables and charts: "A", "random 3".
        std::string name;
        std::vector<double> complexity = {};  ///< S, in the order of Report::primitives; empty: not one of a single S
        std::vector<int> counts = {};         ///< edges that choose each primitive, in that order
        /// Its architecture, drawn as a diagram; without groups none is.
        Genotype genotype = {};
        /// Learnable parameters in all and on the edges alone, multiply-accumulates; -1: not known.
        std::int64_t parameters = -1, edge_parameters = -1, macs = -1;
        /// Accuracies: of the mixture, with inherited weights and statistics, with statistics recomputed, trained from
        /// scratch; see Accuracies.
        double supernet = unknown, derived = unknown, recalibrated = unknown, retrained = unknown;
        /// Latency by the latency table, and measured here; ms.
        double predicted_ms = unknown, measured_ms = unknown;
        /// Measured latency where there is one, else the predicted; ms.
        double ms() const { return std::isfinite(measured_ms) ? measured_ms : predicted_ms; }
    };
    /// A network chosen within a budget, on images it was chosen by.
    struct Chosen {
        std::string budget;  ///< its limits in words: "0.1 ms, 30,000 parameters"
        /// Accuracy on the images it was chosen by; latency by the latency table, and measured here, ms.
        double accuracy = unknown, predicted_ms = unknown, measured_ms = unknown;
        /// Learnable parameters; -1: not known.
        std::int64_t parameters = -1;
        /// Its architecture as one line.
        std::string genotype = {};
    };
    /// The family's choice within a latency budget beside random networks within it, all on images none was chosen by.
    struct Budgeted {
        /// The budget, ms; accuracies of the family's choice, of the best random network within it, and the mean of
        /// those.
        double budget_ms = unknown, family = unknown, best_random = unknown, mean_random = unknown;
    };
    /// A network that was both predicted and measured.
    struct Latency {
        /// Name of its point in the chart.
        std::string name;
        /// Latency by the latency table, and measured; ms.
        double predicted_ms = unknown, measured_ms = unknown;
    };
    /// Sentences that say how to get what is missing; shown where it is. Programs set their own commands.
    struct Ways {
        /// How random networks are scored.
        std::string random = "score random genotypes with their inherited weights (Report::random)";
        /// How networks are trained from scratch.
        std::string retrained = "train the networks from scratch with hwnas::fit (Report::Network::retrained)";
        /// How further networks are measured.
        std::string latency = "measure more networks with hwnas::measure_all (Report::latencies)";
        /// How networks are chosen within budgets.
        std::string budgets = "ask Family::best for networks within budgets (Report::chosen)";
        /// How the map of the simplex is made.
        std::string simplex = "simplex_points(family) (Report::simplex)";
        /// Why there is no family and no control yet.
        std::string result = "the search has not ended";
        /// How the course of the training is recorded.
        std::string epochs = "keep TrainingProgress::metrics() after every epoch (Report::epochs)";
    };

    /// Title of the page.
    std::string title = "hwnas search";
    std::string summary = {};  ///< a sentence under the title
    /// What the accuracies are: the task's metric, by name.
    std::string metric = "accuracy";
    bool percent = true;  ///< the metric is a share, shown in per cent
    /// What they were measured on.
    std::string images = "the test images";
    /// Names of the primitives, in the order of the space.
    std::vector<std::string> primitives = {};
    std::vector<Network> family = {};            ///< networks of chosen S: the profiles
    std::vector<Network> random = {};            ///< random networks, weights inherited like the family's
    std::vector<Network> retrained = {};         ///< networks trained from scratch
    std::vector<Network> retrained_random = {};  ///< and random ones by the same recipe
    /// Networks chosen within budgets.
    std::vector<Chosen> chosen = {};
    /// Family against random networks, one entry per latency budget.
    std::vector<Budgeted> budgets = {};
    /// How counts of primitives follow S.
    ControlReport control = {};
    /// What S all over the simplex give; see simplex_points().
    std::vector<svg::SimplexPoint> simplex = {};
    /// Course of the training, one entry per epoch.
    std::vector<Epoch> epochs = {};
    std::vector<Latency> latencies = {};  ///< networks measured beside those of the family
    /// Name and value of what the numbers were made with: device, compiler, version.
    std::vector<std::pair<std::string, std::string>> environment = {};
    std::string command = {};  ///< a command line that repeats the run
    /// How to get what is missing.
    Ways ways = {};
};

/// What S all over the simplex give: for Report::simplex. Family: anything with choices(S) and architecture().
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
