// SPDX-License-Identifier: MIT
// best: the most accurate network of a finished search within a budget, written where `train` can go on from it.
#include "report.hpp"
#include "run_directory.hpp"
#include "searched.hpp"

#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/genotype.hpp>

namespace app {
namespace {

namespace io = hwnas::io;

hwnas::Budget budget_of(const BestCommand& command) {
    hwnas::Budget budget;
    if (command.latency_ms > 0) budget.latency_ms = command.latency_ms;
    if (command.parameters > 0) budget.parameters = command.parameters;
    if (command.macs > 0) budget.macs = command.macs;
    for (const auto& [primitive, most] : command.counts)
        if (!budget.counts.emplace(primitive, most).second)
            throw UsageError(fmt::format("--count: {} is limited twice", primitive));
    return budget;
}
io::Json budget_json(const hwnas::Budget& budget) {
    io::Json json = io::Json::object();
    if (budget.timed()) json["latency_ms"] = budget.latency_ms;
    if (budget.parameters != hwnas::Budget{}.parameters) json["parameters"] = budget.parameters;
    if (budget.macs != hwnas::Budget{}.macs) json["macs"] = budget.macs;
    if (!budget.counts.empty()) json["counts"] = budget.counts;
    return json;
}
/// "0.1ms-30000parameters", or "any": a name for files.
std::string name_of(const hwnas::Budget& budget) {
    std::vector<std::string> parts;
    if (budget.timed()) parts.push_back(fmt::format("{:g}ms", budget.latency_ms));
    if (budget.parameters != hwnas::Budget{}.parameters)
        parts.push_back(fmt::format("{}parameters", budget.parameters));
    if (budget.macs != hwnas::Budget{}.macs) parts.push_back(fmt::format("{}macs", budget.macs));
    for (const auto& [primitive, most] : budget.counts) parts.push_back(fmt::format("{}{}", most, primitive));
    return parts.empty() ? "any" : fmt::format("{}", fmt::join(parts, "-"));
}
/// The command whose limits the network of `error` keeps.
std::string allowing(const BestCommand& command, const hwnas::InfeasibleBudget& error) {
    std::string text = command_line({"best", "--run", fs::path(command.run).lexically_normal().string()});
    if (command.latency_ms > 0)  // a measurement comes out a little different the next time, and 4 digits round down
        text += fmt::format(" --latency-ms {:.4g}", error.basis == hwnas::LatencyBasis::measured
                                                        ? budget_to_try(error.latency_ms)
                                                        : 1.001 * error.latency_ms);
    if (command.parameters > 0) text += fmt::format(" --parameters {}", std::max(command.parameters, error.parameters));
    if (command.macs > 0) text += fmt::format(" --macs {}", std::max(command.macs, error.macs));
    const auto counts = error.smallest.counts();
    for (const auto& [primitive, most] : command.counts) {
        const auto found = counts.find(primitive);
        const int needed = found == counts.end() ? 0 : found->second;
        text += " --count " + shell_word(fmt::format("{}<={}", primitive, std::max(most, needed)));
    }
    if (command.measure != "auto") text += " --measure " + command.measure;
    if (command.margin >= 0) text += fmt::format(" --margin {:g}", command.margin);
    return text;
}
io::Json optional(const std::optional<double>& value) {
    return value ? io::Json(*value) : io::Json(nullptr);
}

}  // namespace

int run_best(const BestCommand& command) {
    if (command.run.empty()) throw UsageError("best: --run DIR is missing, the directory of a search");
    const auto budget = budget_of(command);
    const fs::path run = fs::path(command.run).lexically_normal(), scores = run / "scores.json";
    const auto searched = load_searched(run, command.around);
    const auto& family = searched.family;
    const auto& table = family.latency()->table();
    const auto& known = family.architecture().primitives;
    for (const auto& [primitive, most] : budget.counts)
        if (std::find(known.begin(), known.end(), primitive) == known.end())
            throw UsageError(fmt::format("--count: no primitive \"{}\" in space {} (it has {})", primitive,
                                         searched.config.space, fmt::join(known, ", ")));
    const fs::path out = command.out.empty() ? run / "best" : fs::path(command.out);
    io::make_directories(out);
    const std::string name = name_of(budget);
    const fs::path weights = out / (name + ".safetensors"), summary = out / (name + ".json"),
                   genotype = out / (name + ".genotype.json");
    for (const auto& file : {weights, summary, genotype}) io::check_writable(file);
    if (!command.json) {
        say("run", run.string());
        say("device", family.supernet().device().backend().description());
        say("latency", fmt::format("table of {}, {} image{} on {} thread{}", table.device, table.batch,
                                   table.batch == 1 ? "" : "s", table.threads, table.threads == 1 ? "" : "s"));
    }

    read_scores(scores, searched.checkpoint_digest, family.scores());
    hwnas::ProgressLine line(hwnas::ProgressOptions::standard_error(command.around.quiet));
    const double start = seconds_now();
    double saved = start;
    hwnas::BestOptions options{.candidates = command.candidates,
                               .measuring = command.measure == "always"  ? hwnas::Measuring::always
                                            : command.measure == "never" ? hwnas::Measuring::never
                                                                         : hwnas::Measuring::automatic,
                               .margin = command.margin >= 0 ? std::optional(command.margin / 100) : std::nullopt,
                               .progress = [&](const hwnas::ScoringProgress& progress) {
                                   line.update([&] {
                                       return fmt::format("scoring: {} of {}, {} of {} validation images",
                                                          progress.done, progress.total,
                                                          hwnas::percent(*progress.member->accuracy),
                                                          hwnas::with_commas(searched.data.validation.count));
                                   });
                                   if (seconds_now() - saved < 10) return;
                                   write_scores(scores, searched.checkpoint_digest, family.scores());
                                   saved = seconds_now();
                               }};
    std::optional<hwnas::Choice> found;
    try {
        found.emplace(family.best(budget, searched.data.validation, options));
    } catch (const hwnas::InfeasibleBudget& error) {
        line.finish();
        write_scores(scores, searched.checkpoint_digest, family.scores());
        if (!command.json) hwnas::fail("{}; allow that with: {}", error.what(), allowing(command, error));
        print(io::Json{{"schema", "hwnas-choice/1"},
                       {"budget", budget_json(budget)},
                       {"feasible", false},
                       {"message", error.what()},
                       {"smallest",
                        {{"genotype", error.smallest.str()},
                         {"latency_ms", error.latency_ms},
                         {"basis", hwnas::latency_basis_name(error.basis)},
                         {"parameters", error.parameters},
                         {"macs", error.macs},
                         {"counts", error.smallest.counts()}}}}
                  .dump() +
              "\n");
        return 1;
    }
    line.finish();
    write_scores(scores, searched.checkpoint_digest, family.scores());
    const auto& choice = *found;
    const double seconds = seconds_now() - start;
    io::Json complexity = io::Json::object();
    for (std::size_t m = 0; m < choice.complexity.size(); ++m)
        complexity[family.architecture().primitives[m]] = choice.complexity[m];
    const io::Json json = {
        {"schema", "hwnas-choice/1"},
        {"budget", budget_json(budget)},
        {"feasible", true},
        {"genotype", choice.genotype.str()},
        {"space", searched.config.space},
        {"channels", searched.config.channels},
        {"complexity", std::move(complexity)},
        {"latency_weight", optional(choice.latency_weight)},
        {"parameters", choice.parameters},
        {"macs", choice.macs},
        {"counts", choice.genotype.counts()},
        {"accuracy", {{"recalibrated", choice.accuracy}, {"images", searched.data.validation.count}}},
        {"latency_ms",
         {{"basis", hwnas::latency_basis_name(choice.basis)},
          {"predicted", choice.predicted_ms},
          {"measured", optional(choice.measured_ms)},
          {"measured_limit", optional(choice.measured_limit_ms)},
          {"sessions", choice.sessions},
          {"disturbed_sessions", choice.disturbed_sessions},
          {"margin", choice.margin},
          {"device", table.device},
          {"batch", table.batch},
          {"threads", table.threads}}},
        {"considered", choice.considered},
        {"scored", choice.scored},
        {"weights", weights.string()}};
    io::save_network(weights, choice.network, {{"name", name}, {"run", run.string()}});
    io::write_genotype(genotype, choice.genotype);
    io::write_json(summary, json);
    renew_report(run);
    if (command.json) {
        print(json.dump() + "\n");
        return 0;
    }
    say("genotype", choice.genotype.str());
    say("size", fmt::format("{} parameters, {} multiply-adds", hwnas::with_commas(choice.parameters),
                            hwnas::with_commas(choice.macs)));
    if (choice.basis == hwnas::LatencyBasis::measured)
        say("latency",
            fmt::format("{:.4f} ms measured, below {:.4f} with 99 % confidence{}; {:.4f} predicted",
                        *choice.measured_ms, *choice.measured_limit_ms,
                        choice.disturbed_sessions > 0
                            ? fmt::format(" ({} of {} sessions disturbed)", choice.disturbed_sessions, choice.sessions)
                            : "",
                        choice.predicted_ms));
    else
        say("latency", fmt::format("{:.4f} ms predicted, not measured: the table is of {}; a margin of {:g} % was kept",
                                   choice.predicted_ms, table.device, 100 * choice.margin));
    say("accuracy", fmt::format("{} of {} validation images, weights inherited, statistics recalibrated",
                                hwnas::percent(choice.accuracy), hwnas::with_commas(searched.data.validation.count)));
    say("time", fmt::format("{}: {} architectures predicted, {} scored", hwnas::duration(seconds),
                            hwnas::with_commas(choice.considered), choice.scored));
    say("weights", weights.string());
    say("result", summary.string());
    say("next", command_line({"train", "--run", run.string(), "--network", weights.string()}));
    return 0;
}

}  // namespace app
