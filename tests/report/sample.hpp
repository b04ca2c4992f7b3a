// SPDX-License-Identifier: MIT
// Reports for tests: one with everything, one that is hard on the page, and small ones.
#pragma once

#include <hwnas/core/random.hpp>
#include <hwnas/report/report.hpp>

#include <cmath>

namespace hwnas_test {

/// An architecture of two groups of dense cells.
inline hwnas::Architecture report_architecture(std::vector<std::string> primitives, int nodes = 4, int inputs = 2) {
    hwnas::Architecture a{.name = "pointwise", .primitives = std::move(primitives), .groups = {}};
    a.add("normal", hwnas::CellGraph::dense(nodes, inputs), {});
    a.add("reduction", hwnas::CellGraph::dense(nodes, inputs), {});
    return a;
}

inline hwnas::Report::Network report_network(const hwnas::Architecture& a, std::string name, hwnas::Complexity s,
                                             std::uint64_t number) {
    const auto genotype = hwnas::random_genotype(a, hwnas::seed(7).stream("report"), number);
    hwnas::Report::Network n{.name = std::move(name), .complexity = std::move(s), .genotype = genotype};
    const auto counts = genotype.counts();
    for (const auto& p : a.primitives) n.counts.push_back(counts.contains(p) ? counts.at(p) : 0);
    const double x = static_cast<double>(number % 13);
    n.parameters = 24'000 + 1'700 * static_cast<std::int64_t>(x), n.edge_parameters = 4'000, n.macs = 3'456'789;
    n.supernet = 0.90, n.derived = 0.42, n.recalibrated = 0.84 + 0.005 * std::sin(3 * x) + 0.003 * x;
    n.predicted_ms = 0.12 + 0.006 * x, n.measured_ms = 0.119 + 0.0063 * x;
    return n;
}

/// `profiles` networks, their controls, everything else a search, a study and a shopping trip leave.
inline hwnas::Report full_report(std::vector<std::string> primitives = {"depthwise_conv_3x3", "identity",
                                                                        "max_pool_3x3"},
                                 int epochs = 20, int profiles = 3) {
    const auto a = report_architecture(std::move(primitives));
    hwnas::Report r;
    r.title = "hwnas search: pointwise, 16 channels, seed 42";
    r.summary = "relaxed mode, 20 epochs of 55,000 images, batch 128, on cpu";
    r.primitives = a.primitives;
    const int k = a.k();
    for (int i = 0; i < profiles; ++i)
        r.family.push_back(
            report_network(a, std::string(1, static_cast<char>('A' + i)),
                           i == 0 ? hwnas::uniform_complexity(k) : hwnas::penalised(k, (2 * (i - 1)) % k, 0.7),
                           static_cast<std::uint64_t>(3 * i)));
    for (std::uint64_t i = 0; i < 12; ++i) {
        auto n = report_network(a, fmt::format("random {}", i + 1), {}, 20 + i);
        n.recalibrated -= 0.02;
        r.random.push_back(n);
        n.retrained = n.recalibrated + 0.03;
        r.retrained_random.push_back(n);
    }
    for (auto n : r.family) {
        n.retrained = n.recalibrated + 0.04;
        r.retrained.push_back(n);
    }
    r.family[0].retrained = r.retrained[0].retrained;
    r.chosen.push_back({"0.13 ms, 30,000 parameters", 0.861, 0.128, 0.126, 28'100, "normal:|...|"});
    r.chosen.push_back({"26,000 parameters", 0.857, 0.125, hwnas::Report::unknown, 25'900, "normal:|...|"});
    for (int i = 0; i < 20; ++i)
        r.budgets.push_back({0.11 + 0.004 * i, 0.86 + 0.002 * i, 0.855 + 0.002 * i, 0.83 + 0.001 * i});
    for (int m = 0; m < k; ++m) {
        hwnas::ControlReport::Ray ray{a.primitives[static_cast<std::size_t>(m)], {}, -0.97};
        for (int i = 0; i <= 20; ++i) ray.counts.push_back(std::max(0, 10 - i / 2 - m % 4));
        r.control.rays.push_back(ray);
        r.control.spearman.emplace_back(ray.primitive, -0.9);
    }
    r.control.samples = 200, r.control.distinct = 125;
    for (auto& s : hwnas::svg::simplex_cover(k)) {
        hwnas::svg::SimplexPoint p{.s = s, .counts = {}};
        for (const double x : s) p.counts.push_back(static_cast<int>(28 * (1 - x) / std::max(1, k - 1)));
        r.simplex.push_back(std::move(p));
    }
    for (int e = 1; e <= epochs; ++e)
        r.epochs.push_back(
            {e, 4.0 / e + 2.6, 0.91 - 0.3 / e, 0.9 / e + 0.2, 0.3 + 0.1 / e, 0.24 + 0.01 / e, 1 - 0.04 * e});
    for (int i = 0; i < 100; ++i)
        r.latencies.push_back({fmt::format("study {}", i + 1), 0.1 + 0.001 * i, 0.1 + 0.001 * i + 0.004 * std::sin(i)});
    r.environment = {{"hwnas", "0.1.0"},
                     {"latencies of", "AMD EPYC, cpu, avx512 kernels"},
                     {"measured by", "units timed inside prepared networks run in turn"}};
    r.command = "./run.sh search --seed 42 --epochs 20 --latency DIR/latency.json";
    return r;
}

/// Eleven primitives with long, foreign and hostile names, nine networks, one epoch, holes everywhere.
inline hwnas::Report hard_report() {
    std::vector<std::string> names{"<script>alert(1)</script>",
                                   "a&b \"quoted\" 'name'",
                                   "eine_ungew\xC3\xB6hnlich_lange_Bezeichnung_einer_Operation_die_niemand_lesen_will",
                                   "conv_3x3",
                                   "conv_5x5",
                                   "conv_7x7",
                                   "\xE5\xA4\xA7\xE5\x8D\xB7\xE7\xA9\x8D",
                                   "bad\xFF utf8\x01",
                                   "max_pool_3x3",
                                   "mean_pool_3x3",
                                   "AVeryLongIdentifierWithoutAnyPlaceToBreakItThatGoesOnAndOnAndOnAndOn"};
    auto r = full_report(names, 1, 9);
    const double unknown = hwnas::Report::unknown;
    r.title = "<b>own data</b> & \"friends\": " + names[2];
    r.summary = names[10];
    r.family[1].name = "a profile with a name that is rather long for a label & <more>";
    r.family[2].measured_ms = unknown, r.family[3].predicted_ms = unknown, r.family[4].recalibrated = unknown;
    r.family[5].parameters = -1, r.family[6].counts.clear(), r.family[7].complexity.clear();
    r.family[8].macs = 123'456'789'012, r.family[8].parameters = 1'234'567'890, r.family[8].predicted_ms = 12'345.678;
    // Cells of another kind: one input, sparse, and many nodes.
    r.family[2].genotype = hwnas::Genotype::parse("cell:|conv_3x3~0|+|conv_5x5~0|+|conv_3x3~1|not_of_this_space~2|");
    r.family[3].genotype =
        hwnas::random_genotype(report_architecture({"conv_3x3", "conv_5x5"}, 9, 2), hwnas::seed(1).stream("x"), 0);
    r.family[4].genotype = {};
    r.retrained = r.family;
    r.epochs[0].loss = unknown, r.epochs[0].temperature = INFINITY;
    r.budgets.resize(1);
    r.environment.emplace_back(names[0], names[10] + names[10]);
    r.command = "./run.sh search --data '" + names[0] + names[10] + "'";
    r.control.rays[0].counts.clear(), r.control.rays[1].counts = {5}, r.control.rays[2].spearman = unknown;
    return r;
}

}  // namespace hwnas_test
