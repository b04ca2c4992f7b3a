// SPDX-License-Identifier: MIT
// The table at the end of a search, like Table 1 of the paper.
#include "family_table.hpp"

#include <hwnas/report/table.hpp>

#include <functional>

namespace app {

using hwnas::io::MemberResult;

std::string family_table(const hwnas::io::SearchResult& result) {
    hwnas::TextTable table;
    const auto row = [&](const std::string& name, const std::function<std::string(const MemberResult&)>& cell) {
        std::vector<std::string> cells{name};
        for (const auto& member : result.family) cells.push_back(cell ? cell(member) : "");
        table.add(std::move(cells));
    };
    row("family", [](const auto& m) { return m.name; });
    row("complexity S", nullptr);
    const auto& names = result.family.front().counts;
    for (std::size_t i = 0; i < names.size(); ++i)
        row("  " + names[i].first, [i](const auto& m) { return fmt::format("{:.2f}", m.complexity[i].second); });
    row("edges", nullptr);
    for (std::size_t i = 0; i < names.size(); ++i)
        row("  " + names[i].first, [i](const auto& m) { return std::to_string(m.counts[i].second); });
    row("parameters", [](const auto& m) { return hwnas::with_commas(m.size.parameters); });
    row("  on the edges alone", [](const auto& m) { return hwnas::with_commas(m.size.primitive_parameters); });
    row("multiply-adds", [](const auto& m) { return hwnas::with_commas(m.size.macs); });
    row("latency of one image", nullptr);
    row("  predicted", [](const auto& m) { return fmt::format("{:.3f} ms", m.predicted_ms); });
    row("  measured", [](const auto& m) { return fmt::format("{:.3f} ms", m.measured_ms); });
    row("accuracy on the test images", nullptr);
    row("  supernet", [](const auto& m) { return hwnas::percent(m.accuracies.supernet); });
    row("  derived", [](const auto& m) { return hwnas::percent(m.accuracies.derived); });
    row("  recalibrated", [](const auto& m) { return hwnas::percent(m.accuracies.recalibrated); });
    row("  retrained", [](const auto& m) { return m.retrained ? hwnas::percent(*m.retrained) : "-"; });
    return table.str() +
           "\n"
           "supernet: all primitives at once, mixed as S says. derived: one primitive an edge, weights and\n"
           "batch-norm statistics inherited. recalibrated: those statistics computed anew on training images.\n"
           "retrained: trained from scratch, which is what `train` does.\n";
}

std::string control_table(const hwnas::ControlReport& control) {
    hwnas::TextTable table;
    table.add({"edges choosing it, S from uniform to its vertex", "first", "middle", "last", "rank correlation"});
    for (const auto& ray : control.rays)
        table.add({"  " + ray.primitive, std::to_string(ray.counts.front()),
                   std::to_string(ray.counts[ray.counts.size() / 2]), std::to_string(ray.counts.back()),
                   std::isnan(ray.spearman) ? "-" : fmt::format("{:.2f}", ray.spearman)});
    return table.str() + fmt::format("{} different networks in {} random S\n", control.distinct, control.samples);
}

}  // namespace app
