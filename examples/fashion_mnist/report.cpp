// SPDX-License-Identifier: MIT
// From the files of a run directory to its report.
#include "report.hpp"
#include "program.hpp"
#include "run_directory.hpp"

#include <hwnas/io/latency_table.hpp>
#include <hwnas/io/report.hpp>

#include <cstdlib>
#include <sstream>

namespace app {
namespace {

using hwnas::Report;
using hwnas::io::Json;
namespace files = hwnas::io;

bool present(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
}

/// Lines of a CSV file split at commas, the first being the header.
std::vector<std::vector<std::string>> read_csv(const fs::path& file) {
    std::vector<std::vector<std::string>> rows;
    std::istringstream lines(files::read_file(file));
    for (std::string line; std::getline(lines, line);) {
        rows.emplace_back();
        std::istringstream cells(line);
        for (std::string cell; std::getline(cells, cell, ',');) rows.back().push_back(cell);
        if (rows.back().size() != rows.front().size())
            hwnas::fail("{}: row {} has {} cells, the header {}", file.string(), rows.size(), rows.back().size(),
                        rows.front().size());
    }
    if (rows.empty()) hwnas::fail("{}: is empty, a header is expected", file.string());
    return rows;
}
double csv_number(const std::string& cell, const fs::path& file, std::size_t line) {
    char* end = nullptr;
    const double value = std::strtod(cell.c_str(), &end);
    if (cell.empty() || end != cell.c_str() + cell.size())
        hwnas::fail("{}: line {}: \"{}\" is not a number", file.string(), line, files::detail::shown(cell));
    return value;
}

void add_epochs(Report& report, const fs::path& file) {
    if (!present(file)) return;
    const auto rows = read_csv(file);
    for (std::size_t i = 1; i < rows.size(); ++i) {
        Report::Epoch epoch{.number = static_cast<int>(i)};
        for (std::size_t c = 0; c < rows[0].size(); ++c) {
            const double value = csv_number(rows[i][c], file, i + 1);
            for (const auto& [name, member] : {std::pair{"loss", &Report::Epoch::loss},
                                               {"accuracy", &Report::Epoch::accuracy},
                                               {"task_loss", &Report::Epoch::task_loss},
                                               {"complexity", &Report::Epoch::complexity},
                                               {"latency_ms", &Report::Epoch::latency_ms},
                                               {"temperature", &Report::Epoch::temperature}})
                if (rows[0][c] == name) epoch.*member = value;
        }
        report.epochs.push_back(epoch);
    }
}

void add_simplex(Report& report, const fs::path& file) {
    if (!present(file)) return;
    const auto rows = read_csv(file);
    const std::size_t k = report.primitives.size();
    if (rows[0].size() != 2 * k)
        hwnas::fail("{}: {} columns, two for each of the {} primitives of result.json are expected", file.string(),
                    rows[0].size(), k);
    for (std::size_t i = 1; i < rows.size(); ++i) {
        hwnas::svg::SimplexPoint point;
        for (std::size_t c = 0; c < 2 * k; ++c) {
            const double value = csv_number(rows[i][c], file, i + 1);
            if (c < k)
                point.s.push_back(value);
            else if (value >= 0 && value <= 1e6)
                point.counts.push_back(static_cast<int>(value));
            else
                hwnas::fail("{}: {} edges in row {}", file.string(), rows[i][c], i + 1);
        }
        report.simplex.push_back(std::move(point));
    }
}

/// The JSON files of a directory by name; none where there is no directory.
std::vector<std::pair<fs::path, Json>> results_in(const fs::path& directory, std::string_view schema) {
    std::vector<fs::path> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(directory, ignored)) {
        const std::string name = entry.path().filename().string();
        const bool genotype = name.size() > 14 && name.substr(name.size() - 14) == ".genotype.json";
        if (entry.path().extension() == ".json" && name[0] != '.' && !genotype) names.push_back(entry.path());
    }
    std::sort(names.begin(), names.end());
    std::vector<std::pair<fs::path, Json>> results;
    for (const auto& name : names) {
        auto json = files::read_json(name);
        files::check_schema(json, schema, name.string());
        results.emplace_back(name, std::move(json));
    }
    return results;
}

void add_retrained(Report& report, const SearchConfig& config, const fs::path& directory) {
    for (const auto& [file, json] : results_in(directory, "hwnas-retrained/1")) {
        const std::string name = file.string(), genotype = files::require<std::string>(json, "genotype", name);
        const auto accuracy = files::require<Json>(json, "accuracy", name);
        Report::Network network{.name = files::require<std::string>(json, "name", name),
                                .genotype = hwnas::Genotype::parse(genotype)};
        network.parameters =
            files::require<std::int64_t>(files::require<Json>(json, "parameters", name), "total", name);
        network.retrained = files::require<double>(accuracy, "test", name);
        network.measured_ms = files::require<double>(files::require<Json>(json, "latency_ms", name), "measured", name);
        const bool as_searched = files::require<std::int64_t>(json, "channels", name) == config.channels &&
                                 files::value_or<Json>(json, "from_weights", nullptr, name).is_null();
        for (auto& member : report.family)
            if (as_searched && member.name == network.name && member.genotype == network.genotype)
                member.retrained = network.retrained;
        report.retrained.push_back(std::move(network));
    }
}

void add_choices(Report& report, const fs::path& directory) {
    for (const auto& [file, json] : results_in(directory, "hwnas-choice/1")) {
        const std::string name = file.string();
        const auto budget = files::require<Json>(json, "budget", name),
                   ms = files::require<Json>(json, "latency_ms", name);
        std::vector<std::string> limits;
        if (budget.contains("latency_ms"))
            limits.push_back(fmt::format("{:g} ms", files::require<double>(budget, "latency_ms", name)));
        for (const char* key : {"parameters", "macs"})
            if (budget.contains(key))
                limits.push_back(fmt::format("{} {}",
                                             hwnas::with_commas(files::require<std::int64_t>(budget, key, name)),
                                             std::string_view(key) == "macs" ? "multiply-adds" : key));
        const auto counts = files::value_or<Json>(budget, "counts", Json::object(), name);
        for (const auto& [primitive, most] : counts.items())
            limits.push_back(fmt::format("{} {}", most.dump(), primitive));
        report.chosen.push_back(
            {.budget = limits.empty() ? "none" : fmt::format("{}", fmt::join(limits, ", ")),
             .accuracy = files::require<double>(files::require<Json>(json, "accuracy", name), "recalibrated", name),
             .predicted_ms = files::detail::number_or_unknown(ms, "predicted"),
             .measured_ms = files::detail::number_or_unknown(ms, "measured"),
             .parameters = files::require<std::int64_t>(json, "parameters", name),
             .genotype = files::require<std::string>(json, "genotype", name)});
    }
}

/// What a study has found so far; accuracies of retrained networks once the test images were read.
void add_study(Report& report, const fs::path& directory) {
    std::vector<Report::Network> trained;
    Json tested = Json::object();
    for (const auto& [file, json] : results_in(directory / "jobs", "hwnas-study-job/1")) {
        const std::string name = file.string(), job = files::require<std::string>(json, "job", name);
        const auto result = files::require<Json>(json, "result", name);
        if (job == "latency")
            for (const auto& row : files::value_or<Json>(result, "rows", Json::array(), name))
                report.latencies.push_back({fmt::format("study {}", report.latencies.size() + 1),
                                            files::require<double>(row, "predicted", name),
                                            files::require<std::vector<double>>(row, "measured", name).at(0)});
        if (job == "test") tested = files::require<Json>(result, "accuracy", name);
        if (job.rfind("budget/", 0) == 0) {
            const auto random = files::require<Json>(result, "random", name);
            report.budgets.push_back(
                {files::require<double>(result, "budget_ms", name),
                 files::detail::number_or_unknown(files::require<Json>(result, "family", name), "judged"),
                 files::detail::number_or_unknown(random, "judged"),
                 files::detail::number_or_unknown(random, "judged_mean")});
        }
        if (job.rfind("size/", 0) == 0 || job.rfind("rank/", 0) == 0) {
            Report::Network network{.name = job};
            network.parameters = files::require<std::int64_t>(result, "parameters", name);
            network.predicted_ms = files::detail::number_or_unknown(result, "predicted_ms");
            trained.push_back(std::move(network));
        }
    }
    std::sort(report.budgets.begin(), report.budgets.end(),
              [](const auto& a, const auto& b) { return a.budget_ms < b.budget_ms; });
    for (auto& network : trained) {
        network.retrained = files::detail::number_or_unknown(tested, network.name);
        if (!hwnas::svg::drawable(network.retrained)) continue;
        const bool random = network.name.find("/random/") != std::string::npos;
        (random ? report.retrained_random : report.retrained).push_back(std::move(network));
    }
}

/// The search with all its options, whatever their defaults will be one day.
std::string repeating(const SearchConfig& config, const Surroundings& around) {
    std::string text = "./run.sh search";
    for_each_option(config, [&](const char* name, const auto& member, const Rule&, const char*) {
        if (std::string_view(name) == "pivots" && config.hyper_form != "pivots") return;
        text += fmt::format(" {} {}", option_name(name), shell_word(fmt::format("{}", member)));
    });
    if (!around.data.empty()) text += " --data " + shell_word(around.data);
    if (!around.verify) text += " --no-verify";
    return text + " --latency DIR/latency.json";
}

Report report_of_run(const fs::path& run) {
    SearchConfig config;
    Surroundings around;
    read_config(run / "config.json", config, around);
    const auto stored = files::read_json(run / "config.json");
    Report report;
    if (const auto file = run / "result.json"; present(file))
        report = files::report_of(files::read_json(file), file.string());
    else
        report.title =
            fmt::format("hwnas search: {}, {} channels, seed {}", config.space, config.channels, config.seed);
    add_epochs(report, run / "metrics.csv");
    if (report.family.empty())
        report.summary = fmt::format("{} mode, batch {}; {} of {} epochs done, the search has not ended", config.mode,
                                     config.batch, report.epochs.size(), config.epochs);
    if (!report.primitives.empty()) {
        add_simplex(report, run / "simplex.csv");
        add_retrained(report, config, run / "retrained");
        add_choices(report, run / "best");
        add_study(report, run / "study");
    }
    report.command = repeating(config, around);
    // DIR and not the name of the directory: a directory that was moved or copied keeps its report.
    const std::string anew = "./run.sh search --config DIR/config.json --latency DIR/latency.json";
    const std::string go_on = "./run.sh search --resume DIR";
    const bool ended = !report.family.empty();
    report.ways = {.random = report.random.empty() ? anew : "./run.sh study --run DIR",
                   .retrained = ended ? "./run.sh train --run DIR --profile A" : go_on,
                   .latency = ended ? "./run.sh study --run DIR --only latency" : go_on,
                   .budgets = ended ? fmt::format("./run.sh best --run DIR --latency-ms {:.2g}",
                                                  budget_to_try(report.family.front().ms()))
                                    : go_on,
                   .simplex = anew,
                   .result = go_on,
                   .epochs = go_on};
    const auto add = [&](std::string name, std::string value) {
        if (!value.empty()) report.environment.emplace_back(std::move(name), std::move(value));
    };
    add("DIR", "the directory that holds this page");
    add("hwnas", files::value_or<std::string>(stored, "version", "", (run / "config.json").string()));
    if (const auto file = run / "latency.json"; present(file)) {
        const auto table = files::read_latency_table(file);
        add("latencies of", fmt::format("{}{}{}", table.device, table.backend.empty() ? "" : ", " + table.backend,
                                        table.isa.empty() ? "" : ", " + table.isa + " kernels"));
        add("latency is", fmt::format("the time of {} image{} on {} thread{}", table.batch, table.batch == 1 ? "" : "s",
                                      table.threads, table.threads == 1 ? "" : "s"));
        add("measured by", table.method);
        add("measured on", table.date);
        if (table.checked)
            add("table checked",
                fmt::format("against {} whole networks: mean relative error {:.1f} %, rank correlation {:.3f}",
                            table.checked->networks, 100 * table.checked->mape, table.checked->spearman));
        add("compiler", table.compiler + (table.build.empty() ? "" : ", " + table.build));
    }
    add("data",
        fmt::format("{} training images, {} held out", config.images == 0 ? "all" : hwnas::with_commas(config.images),
                    hwnas::with_commas(config.validation)));
    return report;
}

}  // namespace

void write_simplex(const fs::path& file, const hwnas::Family& family) {
    std::string text;
    for (const char* what : {"complexity", "edges"})
        for (const auto& primitive : family.architecture().primitives)
            text += fmt::format("{}{}.{}", text.empty() ? "" : ",", what, primitive);
    text += '\n';
    for (const auto& point : hwnas::simplex_points(family))
        text += fmt::format("{:.8g},{}\n", fmt::join(point.s, ","), fmt::join(point.counts, ","));
    files::write_file_atomic(file, text);
}

void write_report(const fs::path& run) {
    files::write_report(run / "report.html", report_of_run(run));
}

void renew_report(const fs::path& run) {
    try {
        write_report(run);
    } catch (const hwnas::Error& error) {
        complain(fmt::format("{} is as it was: {}", (run / "report.html").string(), error.what()));
    }
}

int run_report(const ReportCommand& command) {
    if (command.run.empty()) throw UsageError("report: --run DIR is missing, the directory of a search");
    const fs::path run = fs::path(command.run).lexically_normal();
    std::error_code ignored;
    if (!fs::is_directory(run, ignored))
        hwnas::fail("{}: there is no such run directory; pass --run the one a search printed", run.string());
    const fs::path file = command.output.empty() ? run / "report.html" : fs::path(command.output);
    files::write_report(file, report_of_run(run));
    say("report", file.string());
    return 0;
}

}  // namespace app
