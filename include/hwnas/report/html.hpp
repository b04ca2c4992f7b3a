// SPDX-License-Identifier: MIT
// html(Report): the report as one page: no script, nothing loaded, readable in light and dark, on a phone and on paper.
// The same Report gives the same bytes. io/report.hpp makes Reports of results and writes them.
#pragma once

#include <hwnas/report/family_sections.hpp>
#include <hwnas/report/style.hpp>

namespace hwnas {

namespace detail {

/// All sections in their order.
class WholeReport : public FamilySections {
public:
    using FamilySections::FamilySections;

    std::string str() {
        out_ += "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n";
        // Even a mistake in this page could load nothing.
        out_ +=
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
            "'unsafe-inline'\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
            "<meta name=\"color-scheme\" content=\"light dark\"/>\n";
        out_ += fmt::format("<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>{}</h1>\n",
                            e(r_.title), svg::style_sheet(), e(r_.title));
        if (!r_.summary.empty()) out_ += "<p class=\"summary\">" + e(r_.summary) + "</p>\n";
        // Of a run that has not ended there is nothing but its epochs.
        const bool ended = !r_.family.empty();
        if (!ended) missing("There is no result yet.", r_.ways.result);
        key_figures();
        out_ += "</header>\n<main>\n";
        if (ended) family(), costs(), operations(), control(), cells();
        training();
        if (ended || !r_.latencies.empty()) latency();
        if (ended || !r_.chosen.empty() || !r_.budgets.empty()) budgets();
        environment();
        out_ += "</main>\n</body>\n</html>\n";
        return std::move(out_);
    }

private:
    void training() {
        begin("training", "Training", "Means over the batches of each epoch, of the mixtures that were drawn.");
        if (r_.epochs.empty()) {
            missing("No epochs were recorded.", r_.ways.epochs);
            return end();
        }
        struct Curve {
            std::string title, y_title;
            std::vector<std::pair<std::string, double Report::Epoch::*>> of;
            bool share = false;
        };
        const std::vector<Curve> curves{
            {r_.metric, metric_axis(), {{r_.metric, &Report::Epoch::accuracy}}, r_.percent},
            {"loss", "loss", {{"objective", &Report::Epoch::loss}, {"task alone", &Report::Epoch::task_loss}}},
            {"complexity", "complexity term", {{"complexity", &Report::Epoch::complexity}}},
            {"expected latency", "latency, ms", {{"latency", &Report::Epoch::latency_ms}}},
            {"temperature", "temperature of the draws", {{"temperature", &Report::Epoch::temperature}}}};
        out_ += "<div class=\"grid\">\n";
        for (const auto& curve : curves) {
            svg::LineChart chart{.title = curve.title + " by epoch",
                                 .description = "",
                                 .x_title = "epoch",
                                 .y_title = curve.y_title,
                                 .series = {}};
            for (std::size_t i = 0; i < curve.of.size(); ++i) {
                svg::LineSeries series{.name = curve.of[i].first,
                                       .points = {},
                                       .colour = static_cast<int>(i),
                                       .dash = static_cast<int>(i)};
                for (const auto& epoch : r_.epochs) {
                    const double value = epoch.*curve.of[i].second;
                    series.points.emplace_back(epoch.number, curve.share ? 100 * value : value);
                }
                const auto known = svg::seconds(series.points);
                if (known.empty()) continue;
                chart.description += fmt::format("{}{} from {:.4g} to {:.4g}", chart.description.empty() ? "" : ", ",
                                                 series.name, known.front(), known.back());
                chart.series.push_back(std::move(series));
            }
            if (!chart.empty()) figure(chart.str(), "");
        }
        out_ += "</div>\n";
        std::vector<Row> rows;
        for (const auto& epoch : r_.epochs)
            rows.push_back({std::to_string(epoch.number), metric(epoch.accuracy), number(epoch.loss, 4),
                            number(epoch.task_loss, 4), number(epoch.complexity, 4), ms(epoch.latency_ms),
                            number(epoch.temperature, 3)});
        out_ += "<details><summary>Numbers</summary>\n" +
                table({"epoch", metric_axis(), "objective", "task alone", "complexity", "latency, ms", "temperature"},
                      rows) +
                "</details>\n";
        end();
    }

    void latency() {
        begin("latency", "Predicted and measured latency",
              "What the latency table predicts for whole networks, against the clock. On the line both agree.");
        svg::ScatterChart chart{.title = "predicted against measured latency",
                                .description = "",
                                .x_title = "measured, ms",
                                .y_title = "predicted, ms",
                                .series = {{.name = "other networks", .points = {}, .colour = 4, .mark = Mark::ring},
                                           {.name = "family", .points = {}, .colour = 0}},
                                .identity = true,
                                .width = 400,
                                .height = 360};
        std::vector<Row> rows;
        std::vector<double> predicted, measured;
        const auto add = [&](svg::ScatterSeries& series, const std::string& name, const std::string& label, double p,
                             double m) {
            if (!svg::drawable(p) || !svg::drawable(m) || m <= 0) return;
            series.points.emplace_back(m, p);
            series.labels.push_back(label);
            series.titles.push_back(name);
            rows.push_back({name, ms(p), ms(m), fmt::format("{:+.1f} %", 100 * (p / m - 1))});
            predicted.push_back(p), measured.push_back(m);
        };
        for (const auto& n : r_.family) add(chart.series[1], n.name, n.name, n.predicted_ms, n.measured_ms);
        for (const auto& l : r_.latencies) add(chart.series[0], l.name, "", l.predicted_ms, l.measured_ms);
        if (predicted.empty()) {
            missing("No network was both predicted and measured.", r_.ways.latency);
            return end();
        }
        double error = 0;
        for (std::size_t i = 0; i < predicted.size(); ++i)
            error += std::abs(predicted[i] / measured[i] - 1) / static_cast<double>(predicted.size());
        chart.description =
            fmt::format("{}, mean relative error {:.1f} %", plural(predicted.size(), "network"), 100 * error);
        std::string caption =
            fmt::format("{}: mean relative error {:.1f} %", plural(predicted.size(), "network"), 100 * error);
        if (predicted.size() >= 10) caption += fmt::format(", rank correlation {:.3f}", spearman(predicted, measured));
        if (error > 0.1)
            caption += ". More than 10 %: most often the machine was busy, when the table was measured or later";
        const bool few = rows.size() <= 12;
        const auto numbers = table({"network", "predicted, ms", "measured, ms", "difference"}, rows);
        out_ += "<div class=\"pair\">\n";
        figure(chart.str(), caption + ".", few ? "" : numbers);
        out_ += "<div>\n" + (few ? numbers : "");
        if (r_.latencies.empty())
            missing("Only the family was measured.", r_.ways.latency, "To measure more networks:");
        out_ += "</div>\n</div>\n";
        end();
    }

    void budgets() {
        begin("budgets", "Within a budget", "");
        if (r_.chosen.empty() && r_.budgets.empty()) missing("No budget has been asked for yet.", r_.ways.budgets);
        if (!r_.chosen.empty()) {
            out_ +=
                "<p>The most accurate networks of the family within a budget, by the validation images they were "
                "chosen by: such "
                "accuracies flatter and are no result.</p>\n";
            std::vector<Row> rows;
            for (const auto& c : r_.chosen)
                rows.push_back(
                    {c.budget, metric(c.accuracy), ms(c.predicted_ms), ms(c.measured_ms), count(c.parameters)});
            out_ += table({"budget", metric_axis(), "predicted, ms", "measured, ms", "parameters"}, rows);
        }
        if (!r_.budgets.empty()) {
            svg::LineChart chart{
                .title = r_.metric + " within latency budgets",
                .description = "The family\xE2\x80\x99s choice beside random networks within the same budget.",
                .x_title = "latency budget, ms",
                .y_title = metric_axis(),
                .series = {{.name = "the family\xE2\x80\x99s choice", .points = {}, .colour = 0},
                           {.name = "best of random networks", .points = {}, .colour = 1, .dash = 1},
                           {.name = "mean of random networks", .points = {}, .colour = 4, .dash = 2}},
                .x = {.tight = true},
                .width = 400,
                .height = 300};
            std::vector<Row> rows;
            for (const auto& b : r_.budgets) {
                chart.series[0].points.emplace_back(b.budget_ms, shown(b.family));
                chart.series[1].points.emplace_back(b.budget_ms, shown(b.best_random));
                chart.series[2].points.emplace_back(b.budget_ms, shown(b.mean_random));
                rows.push_back({ms(b.budget_ms), metric(b.family), metric(b.best_random), metric(b.mean_random)});
            }
            out_ += "<div class=\"pair\">\n";
            figure(chart.str(), "Weights inherited; judged on held-out images that none was chosen by.",
                   table({"budget, ms", "family", "best random", "mean random"}, rows));
            out_ += "</div>\n";
        }
        end();
    }

    void environment() {
        begin("environment", "How it was made", "");
        if (!r_.command.empty())
            out_ += "<p>This repeats the run:</p>\n<pre><code>" + command(r_.command) + "</code></pre>\n";
        std::vector<Row> rows;
        for (const auto& [name, value] : r_.environment) rows.push_back({name, value});
        if (!rows.empty()) out_ += table({}, rows, true);
        end();
    }
};

}  // namespace detail

/// The report as one page of HTML that is XML as well: no script, nothing loaded, the same bytes for the same Report.
inline std::string html(const Report& report) {
    return detail::WholeReport(report).str();
}

}  // namespace hwnas
