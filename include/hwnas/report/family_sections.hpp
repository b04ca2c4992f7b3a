// SPDX-License-Identifier: MIT
// The sections of report.html about the family: what its networks are, what they cost, how S controls them.
#pragma once

#include <hwnas/core/text.hpp>
#include <hwnas/report/page.hpp>

namespace hwnas::detail {

class FamilySections : public ReportPage {
protected:
    using ReportPage::ReportPage;

    void key_figures() {
        struct Figure {
            std::string value, of;
        };
        std::vector<Figure> figures;
        double best = Report::unknown, best_retrained = Report::unknown;
        const auto better = [](double a, double b) { return std::isfinite(b) && !(a >= b) ? b : a; };
        for (const auto& n : r_.family) best = better(best, n.recalibrated);
        std::string name;
        for (const auto& n : r_.retrained)
            if (const double b = better(best_retrained, n.retrained); b != best_retrained && std::isfinite(b))
                best_retrained = b, name = n.name;
        const std::string unit = r_.percent ? " %" : "";
        if (std::isfinite(best_retrained))
            figures.push_back(
                {metric(best_retrained) + unit, "best " + r_.metric + ", trained from scratch: network " + name});
        if (std::isfinite(best))
            figures.push_back({metric(best) + unit, "best " + r_.metric + " of the profiles, recalibrated"});
        const auto range = [&](auto value, auto text, const std::string& of) {
            double low = HUGE_VAL, high = -HUGE_VAL;
            for (const auto& n : r_.family)
                if (const double v = value(n); std::isfinite(v) && v >= 0)
                    low = std::min(low, v), high = std::max(high, v);
            if (low > high) return;
            const std::string a = text(low), b = text(high);
            figures.push_back({a == b ? a : a + "\xE2\x80\x89\xE2\x80\x93\xE2\x80\x89" + b, of});
        };
        range(
            [](const auto& n) { return n.ms(); }, [](double v) { return ms(v); },
            std::any_of(r_.family.begin(), r_.family.end(), [](const auto& n) { return std::isfinite(n.measured_ms); })
                ? "ms a run, measured: latency of the profiles"
                : "ms a run, predicted: latency of the profiles");
        range([](const auto& n) { return static_cast<double>(n.parameters); },
              [](double v) { return with_commas(static_cast<std::int64_t>(v)); }, "parameters of the profiles");
        if (r_.control.samples > 0)
            figures.push_back(
                {fmt::format("{} of {}", r_.control.distinct, r_.control.samples), "random S give different networks"});
        if (figures.empty()) return;
        out_ += "<dl class=\"figures\">\n";
        for (const auto& f : figures) out_ += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", e(f.of), e(f.value));
        out_ += "</dl>\n";
    }

    void family() {
        begin("family", "The family",
              "One training run, one network for every complexity vector S: raising the penalty on a primitive makes "
              "networks with fewer of it. The profiles, and what each costs:");
        Row head{"network"};
        for (const auto& n : r_.family) head.push_back(n.name);
        std::vector<Row> rows;
        const auto row = [&](std::string name, auto cell) {
            Row cells{std::move(name)};
            for (const auto& n : r_.family) cells.push_back(cell(n));
            rows.push_back(std::move(cells));
        };
        rows.push_back({"complexity S"});
        for (std::size_t m = 0; m < r_.primitives.size(); ++m)
            row(r_.primitives[m], [m](const auto& n) {
                return m < n.complexity.size() ? number(n.complexity[m], 2) : std::string(dash);
            });
        rows.push_back({"edges that choose it"});
        for (std::size_t m = 0; m < r_.primitives.size(); ++m)
            row(r_.primitives[m],
                [m](const auto& n) { return m < n.counts.size() ? std::to_string(n.counts[m]) : std::string(dash); });
        rows.push_back({"size"});
        row("parameters", [](const auto& n) { return count(n.parameters); });
        row("on the edges alone", [](const auto& n) { return count(n.edge_parameters); });
        row("multiply-adds, millions", [](const auto& n) {
            return n.macs < 0 ? std::string(dash) : fmt::format("{:.2f}", static_cast<double>(n.macs) / 1e6);
        });
        rows.push_back({"latency, ms"});
        row("predicted", [](const auto& n) { return ms(n.predicted_ms); });
        row("measured", [](const auto& n) { return ms(n.measured_ms); });
        rows.push_back({r_.metric + " on " + r_.images + (r_.percent ? ", %" : "")});
        row("supernet", [&](const auto& n) { return metric(n.supernet); });
        row("derived", [&](const auto& n) { return metric(n.derived); });
        row("recalibrated", [&](const auto& n) { return metric(n.recalibrated); });
        row("retrained", [&](const auto& n) { return metric(n.retrained); });
        out_ += "<div class=\"beside\">\n" + table(head, rows);
        out_ +=
            "<div class=\"note\">\n<p>Four accuracies, which are never mixed:</p>\n<dl>\n"
            "<dt>supernet</dt><dd>all primitives at once, mixed as S says</dd>\n"
            "<dt>derived</dt><dd>one primitive an edge, weights and batch-norm statistics inherited</dd>\n"
            "<dt>recalibrated</dt><dd>those statistics computed anew on training images</dd>\n"
            "<dt>retrained</dt><dd>trained from scratch</dd>\n</dl>\n"
            "<p>Latency is the time of one run of the whole network, predicted from a table of its parts and measured. "
            "Parameters count everything; those on the edges are what the choices alone cost.</p>\n</div>\n</div>\n";
        if (std::none_of(r_.family.begin(), r_.family.end(), [](const auto& n) { return std::isfinite(n.retrained); }))
            missing("None of these was trained from scratch yet.", r_.ways.retrained);
        end();
    }

    /// Two charts: against latency and against parameters; the table alone where a single network is known.
    void scatter_pair(const std::vector<Report::Network>& networks, const std::vector<Report::Network>& random,
                      double Report::Network::* value, const std::string& what, bool measured) {
        const auto chart = [&](bool latency) {
            const auto series = [&](const std::vector<Report::Network>& of, const std::string& name, bool labels,
                                    Mark mark, int colour) {
                svg::ScatterSeries s{.name = name, .points = {}, .colour = colour, .mark = mark};
                for (const auto& n : of) {
                    const double x = !latency ? (n.parameters < 0 ? Report::unknown : static_cast<double>(n.parameters))
                                     : measured ? n.ms()
                                                : n.predicted_ms;
                    s.points.emplace_back(x, shown(n.*value));
                    // Of many networks only short names have room.
                    s.labels.push_back(labels && (of.size() <= 12 || n.name.size() <= 4) ? n.name : "");
                    s.titles.push_back(fmt::format("{}: {} {}", n.name, metric(n.*value), metric_axis()));
                }
                return s;
            };
            return svg::ScatterChart{
                .title = fmt::format("{} against {}, {}", r_.metric, latency ? "latency" : "parameters", what),
                .description = fmt::format("{} of the family and {} random networks; the numbers follow as a table.",
                                           plural(networks.size(), "network"), random.size()),
                .x_title = !latency   ? "parameters"
                           : measured ? "latency, ms (predicted where not measured)"
                                      : "latency, ms (predicted)",
                .y_title = metric_axis(),
                .series = {series(random, "random networks", false, Mark::ring, 4),
                           series(networks, "family", true, measured ? Mark::diamond : Mark::dot, 0)}};
        };
        std::vector<Row> rows;
        for (const auto* of : {&networks, &random})
            for (const auto& n : *of)
                rows.push_back({n.name, metric(n.*value), ms(measured ? n.ms() : n.predicted_ms), count(n.parameters)});
        const std::string numbers = table({"network", metric_axis(), "latency, ms", "parameters"}, rows);
        if (rows.size() == 1) {
            out_ += numbers;
            return;
        }
        out_ += "<div class=\"pair\">\n";
        for (const bool latency : {true, false}) {
            const auto drawn = chart(latency);
            if (drawn.empty())
                out_ += fmt::format("<p class=\"missing\">{} of these networks is not known.</p>\n",
                                    latency ? "The latency" : "The number of parameters");
            else
                figure(drawn.str(), "", latency ? numbers : "");
        }
        out_ += "</div>\n";
    }

    void costs() {
        begin("costs", "Accuracy against cost",
              "A search is worth its time where its networks stand above random networks of the same space and cost, "
              "which got the same weights by the same recipe.");
        out_ += "<h3>Weights inherited, statistics recalibrated</h3>\n";
        scatter_pair(r_.family, r_.random, &Report::Network::recalibrated, "weights inherited", false);
        if (r_.random.empty()) missing("No random networks stand beside these as control.", r_.ways.random);
        out_ += "<h3>Trained from scratch</h3>\n";
        if (r_.retrained.empty() && r_.retrained_random.empty()) {
            missing("No network has been trained from scratch yet.", r_.ways.retrained);
        } else {
            scatter_pair(r_.retrained, r_.retrained_random, &Report::Network::retrained, "trained from scratch", true);
            if (r_.retrained_random.empty())
                missing("No random networks, trained alike, stand beside these as control.", r_.ways.random);
        }
        end();
    }

    void operations() {
        begin("operations", "Operation statistics",
              "How many edges choose each primitive, profile by profile. The line is where an even choice among all "
              "would be.");
        out_ += "<div class=\"grid\">\n";
        int most = 1;
        for (const auto& n : r_.family)
            for (const int c : n.counts) most = std::max(most, c);
        for (const auto& n : r_.family) {
            int edges = 0;
            for (const int c : n.counts) edges += c;
            const double even =
                r_.primitives.empty() ? 0 : static_cast<double>(edges) / static_cast<double>(r_.primitives.size());
            svg::BarChart chart{.title = "edges by primitive, network " + n.name,
                                .description = "",
                                .bars = {},
                                .most = static_cast<double>(most),
                                .guide = edges > 0 ? std::optional(even) : std::nullopt,
                                .guide_name = fmt::format("even: {}", svg::coordinate(std::round(10 * even) / 10))};
            for (std::size_t m = 0; m < r_.primitives.size(); ++m) {
                const double c = m < n.counts.size() ? n.counts[m] : Report::unknown;
                chart.bars.push_back({r_.primitives[m], codes_[m], c, static_cast<int>(m)});
                chart.description += fmt::format("{}{}: {}", m ? ", " : "", r_.primitives[m],
                                                 svg::drawable(c) ? svg::coordinate(c) : "not known");
            }
            out_ += "<div class=\"card\">\n<h3>" + e(n.name) + penalised(n) + "</h3>\n";
            figure(chart.str(), "");
            out_ += "</div>\n";
        }
        out_ += "</div>\n";
        end();
    }
    /// ", uniform S" or ", .70 on conv", as HTML.
    std::string penalised(const Report::Network& n) const {
        if (n.complexity.size() != r_.primitives.size() || n.complexity.empty()) return "";
        const auto [least, top] = std::minmax_element(n.complexity.begin(), n.complexity.end());
        if (!(*top - *least > 1e-6)) return " <span class=\"soft\">uniform S</span>";
        const auto m = static_cast<std::size_t>(top - n.complexity.begin());
        return fmt::format(" <span class=\"soft\">{} of S on {}</span>", number(*top, 2), e(r_.primitives[m]));
    }

    void control() {
        begin("control", "How S controls the network",
              "Each S is a point: near a primitive\xE2\x80\x99s corner S penalises it, and networks should do without "
              "it.");
        if (r_.control.rays.empty() && r_.simplex.empty()) {
            missing("There is no result yet.", r_.ways.result);
            return end();
        }
        out_ += "<div class=\"pair\">\n";
        if (!r_.control.rays.empty()) {
            svg::LineChart chart{.title = "edges that choose a primitive along the ray to its corner",
                                 .description = "One line a primitive, from uniform S at 0 to all of S on it at 1.",
                                 .x_title = "from uniform S (0) to the corner (1)",
                                 .y_title = "edges choosing the primitive",
                                 .series = {},
                                 .x = {.tight = true},
                                 .y = {.zero = true, .integers = true},
                                 .width = 400,
                                 .height = 300};
            std::vector<Row> rows;
            for (std::size_t m = 0; m < r_.control.rays.size(); ++m) {
                const auto& ray = r_.control.rays[m];
                svg::LineSeries series{.name = ray.primitive,
                                       .points = {},
                                       .colour = colour_of(ray.primitive, m),
                                       .dash = static_cast<int>(m),
                                       .code = code_of(ray.primitive, m)};
                for (std::size_t i = 0; i < ray.counts.size(); ++i)
                    series.points.emplace_back(ray.counts.size() > 1
                                                   ? static_cast<double>(i) / static_cast<double>(ray.counts.size() - 1)
                                                   : 0.0,
                                               ray.counts[i]);
                chart.series.push_back(std::move(series));
                Row row{ray.primitive};
                if (ray.counts.empty())
                    row.insert(row.end(), 3, std::string(dash));
                else
                    for (const std::size_t i : {std::size_t{0}, ray.counts.size() / 2, ray.counts.size() - 1})
                        row.push_back(std::to_string(ray.counts[i]));
                row.push_back(number(ray.spearman, 2));
                double random = Report::unknown;
                for (const auto& [name, rho] : r_.control.spearman)
                    if (name == ray.primitive) random = rho;
                row.push_back(number(random, 2));
                rows.push_back(std::move(row));
            }
            figure(chart.str(),
                   "Lines that lie on each other are told apart by their dashes. The nearer to \xE2\x88\x92"
                   "1 the rank correlation of a line, the more steadily a penalty does away with its primitive.",
                   table({"primitive", "uniform", "half way", "corner", "rank correlation on the ray", "over random S"},
                         rows));
        }
        if (!r_.simplex.empty() && r_.primitives.size() > 1) {
            svg::SimplexMap map{.title = "the primitive that most edges choose, for every S",
                                .description =
                                    "The simplex of complexity vectors, a corner a primitive, coloured by the "
                                    "primitive that dominates.",
                                .primitives = r_.primitives,
                                .codes = codes_,
                                .points = r_.simplex,
                                .marks = {},
                                .width = 400};
            for (const auto& n : r_.family) map.marks.emplace_back(n.name, n.complexity);
            std::vector<Row> rows;
            std::vector<int> wins(r_.primitives.size(), 0);
            int tied = 0;
            for (const auto& p : r_.simplex)
                if (p.counts.size() == wins.size())
                    p.dominating() < 0 ? ++tied : ++wins[static_cast<std::size_t>(p.dominating())];
            for (std::size_t m = 0; m < wins.size(); ++m)
                rows.push_back({r_.primitives[m], fmt::format("{} of {}", wins[m], r_.simplex.size())});
            if (tied > 0) rows.push_back({"several alike", fmt::format("{} of {}", tied, r_.simplex.size())});
            figure(map.str(),
                   fmt::format("Colour: the primitive that most edges choose there{}{}",
                               r_.primitives.size() > 3 ? "" : "; the stronger, the more of them",
                               tied > 0 ? "; grey: several share the lead." : ".") +
                       (r_.primitives.size() > 3 ? " More than three corners do not fit a plane: S is the mean of the "
                                                   "corners, weighted, and a place may stand for several."
                                                 : ""),
                   table({"dominating primitive", "points of the map"}, rows));
        } else if (r_.simplex.empty()) {
            missing("The map of the simplex was not made.", r_.ways.simplex);
        }
        out_ += "</div>\n";
        end();
    }
    int colour_of(const std::string& primitive, std::size_t otherwise) const {
        const auto found = std::find(r_.primitives.begin(), r_.primitives.end(), primitive);
        return found == r_.primitives.end() ? static_cast<int>(otherwise)
                                            : static_cast<int>(found - r_.primitives.begin());
    }
    std::string code_of(const std::string& primitive, std::size_t otherwise) const {
        const auto found = std::find(r_.primitives.begin(), r_.primitives.end(), primitive);
        return found == r_.primitives.end() ? std::to_string(otherwise + 1)
                                            : codes_[static_cast<std::size_t>(found - r_.primitives.begin())];
    }

    void cells() {
        begin("cells", "The cells",
              "What each network computes. A cell reads the two cells before it (in 0, in 1), every node adds its "
              "edges, and the "
              "nodes together are the output. Edges from the inputs run above, edges between nodes below.");
        key();
        for (const auto& n : r_.family) {
            out_ += "<h3>" + e(n.name) + penalised(n) + "</h3>\n<div class=\"cells\">\n";
            for (const auto& group : n.genotype.groups) {
                const int in = svg::CellDiagram::inputs(group);
                std::vector<Row> rows;
                std::string spoken;
                for (std::size_t v = 0; v < group.nodes.size(); ++v)
                    for (const auto& edge : group.nodes[v]) {
                        rows.push_back({svg::CellDiagram::vertex(edge.from, in),
                                        svg::CellDiagram::vertex(in + static_cast<int>(v), in), edge.primitive});
                    }
                svg::CellDiagram diagram{
                    .title = fmt::format("{} cell of network {}", group.name, n.name),
                    .description =
                        fmt::format("{} on {} from {}; the edges follow as a table.", plural(rows.size(), "edge"),
                                    plural(group.nodes.size(), "node"), plural(static_cast<std::size_t>(in), "input")),
                    .group = &group,
                    .primitives = r_.primitives,
                    .codes = codes_};
                out_ += "<div class=\"cell\">\n<h4>" + e(group.name) + "</h4>\n";
                figure("<div class=\"scroll\">\n" + diagram.str() + "</div>\n", "",
                       table({"from", "to", "primitive"}, rows, true));
                out_ += "</div>\n";
            }
            out_ += "</div>\n";
        }
        end();
    }
};

}  // namespace hwnas::detail
