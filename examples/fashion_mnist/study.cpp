// SPDX-License-Identifier: MIT
// study: which jobs there are, and the running of them.
#include "study.hpp"
#include "report.hpp"
#include "run_directory.hpp"

#include <hwnas/io/checkpoint.hpp>
#include <hwnas/version.hpp>

#include <algorithm>

namespace app {

namespace io = hwnas::io;

hwnas::Dataset half(const hwnas::Dataset& data, int parity) {
    std::vector<std::int64_t> rows;
    std::map<std::int32_t, int> seen;
    for (std::int64_t i = 0; i < data.count; ++i)
        if (seen[data.labels[static_cast<std::size_t>(i)]]++ % 2 == parity) rows.push_back(i);
    return data.subset(rows);
}

StudyScale quick_scale() {
    return {.latency_networks = 3,
            .budgets = 2,
            .population = 40,
            .rivals = 4,
            .candidates = 3,
            .sizes = {3'000},
            .seeds = 2,
            .epochs = 1,
            .front = 2,
            .randoms = 3,
            .short_epochs = 1,
            .searches = 1,
            .tries = 2};
}

Study::Study(Searched searched, double search_seconds, fs::path directory, StudyScale scale, bool quick_timing,
             bool quiet)
    : searched_(std::move(searched)),
      search_seconds_(search_seconds),
      directory_(std::move(directory)),
      scale_(std::move(scale)),
      quick_timing_(quick_timing),
      quiet_(quiet),
      choose_(half(searched_.data.validation, 0)),
      judge_(half(searched_.data.validation, 1)) {
    const auto percentile = [&](int i) { return scale_.budgets > 1 ? 5 + 90.0 * i / (scale_.budgets - 1) : 50.0; };
    add("latency", {}, 2, [this] { return latency_job(); });
    for (int i = 0; i < scale_.budgets; ++i)
        add(fmt::format("budget/{:02.0f}", percentile(i)), {}, 5, [this, p = percentile(i)] { return budget_job(p); });
    add("front", {}, 2, [this] { return front_job(); });
    add("choice", {}, 2, [this] { return choice_job(); });
    const auto chosen = [this] { return hwnas::Genotype::parse(result("choice")["genotype"], searched_.config.space); };
    for (const auto size : scale_.sizes) {
        const auto width = [this, size](const hwnas::Genotype& g) { return channels_for(g, size); };
        const double minutes = scale_.epochs * 0.3 * std::max(1.0, static_cast<double>(size) / 50'000);
        for (int seed = 1; seed <= scale_.seeds; ++seed) {
            add_training(fmt::format("size/{}/family/{}", size, seed), {"choice"}, minutes, chosen, width, "full",
                         scale_.epochs, seed);
            add_training(
                fmt::format("size/{}/random/{}", size, seed), {}, minutes,
                [this, seed] { return random_genotype(seed - 1); }, width, "full", scale_.epochs, seed);
        }
    }
    const auto as_searched = [this](const hwnas::Genotype&) { return searched_.config.channels; };
    const double shortly = scale_.short_epochs * 0.3;
    for (int i = 0; i < scale_.front; ++i)
        add_training(
            fmt::format("rank/front/{:02}", i), {"front"}, shortly,
            [this, i] {
                const auto front = result("front")["networks"];
                return hwnas::Genotype::parse(front[static_cast<std::size_t>(i) % front.size()]["genotype"],
                                              searched_.config.space);
            },
            as_searched, "full", scale_.short_epochs, 1);
    for (int i = 0; i < scale_.randoms; ++i)
        add_training(
            fmt::format("rank/random/{:02}", i), {}, shortly, [this, i] { return random_genotype(i); }, as_searched,
            "full", scale_.short_epochs, 1);
    for (const char* name : {"plain", "shift", "flip", "erase", "smoothing", "warmup", "average", "full"})
        add_training(fmt::format("recipe/{}", name), {"choice"}, shortly, chosen, as_searched, name,
                     scale_.short_epochs, 1);
    for (int i = 0; i < scale_.searches; ++i)
        add(fmt::format("search/{}", i + 1), {}, 6.0 * scale_.tries, [this, i] { return search_job(i); });
    add("test", trainings_, 1, [this] { return test_job(); });
}

void Study::add(std::string name, std::vector<std::string> needs, double minutes, std::function<Json()> run) {
    jobs_.push_back({std::move(name), std::move(needs), minutes, std::move(run)});
}
void Study::add_training(const std::string& name, std::vector<std::string> needs, double minutes,
                         std::function<hwnas::Genotype()> genotype,
                         std::function<std::int64_t(const hwnas::Genotype&)> channels, const std::string& recipe_name,
                         int epochs, int seed) {
    trainings_.push_back(name);
    add(name, std::move(needs), minutes, [=, this] {
        const auto what = genotype();
        return train_job(what, channels(what), recipe_name, epochs, seed, name);
    });
}

namespace {
std::string file_name(std::string job) {
    std::replace(job.begin(), job.end(), '/', '-');
    return job + ".json";
}
}  // namespace
fs::path Study::result_file(const std::string& job) const {
    return directory_ / "jobs" / file_name(job);
}
fs::path Study::sealed_file(const std::string& job) const {
    return directory_ / "sealed" / file_name(job);
}
fs::path Study::unfinished_file(const std::string& job) const {
    return (directory_ / "unfinished" / file_name(job)).replace_extension(".safetensors");
}
bool Study::done(const std::string& job) const {
    std::error_code ignored;
    return fs::exists(result_file(job), ignored);
}
io::Json Study::result(const std::string& job) const {
    const auto file = result_file(job);
    const auto json = io::read_json(file);
    io::check_schema(json, "hwnas-study-job/1", file.string());
    return io::require<Json>(json, "result", file.string());
}

void Study::run(const StudyJob& job) {
    for (const auto& need : job.needs)
        if (!done(need)) hwnas::fail("study: job {} needs {}, which is not done", job.name, need);
    const double start = seconds_now();
    auto found = job.run();
    write_scores(directory_ / "scores.json", searched_.checkpoint_digest, searched_.family.scores());
    io::write_json(result_file(job.name), {{"schema", "hwnas-study-job/1"},
                                           {"job", job.name},
                                           {"version", hwnas::version},
                                           {"device", searched_.family.supernet().device().backend().description()},
                                           {"seconds", seconds_now() - start},
                                           {"result", std::move(found)}});
    // Not before: a stop while a trained network is judged would cost the training.
    std::error_code ignored;
    fs::remove(unfinished_file(job.name), ignored);
}

int run_study(const StudyCommand& command) {
    if (command.run.empty()) throw UsageError("study: --run DIR is missing, the directory of a search that has ended");
    const fs::path run = fs::path(command.run).lexically_normal(),
                   directory =
                       command.out.empty() ? run / (command.quick ? "study-quick" : "study") : fs::path(command.out);
    auto searched = load_searched(run, command.around);
    const io::Json settings = {{"schema", "hwnas-study/1"},
                               {"quick", command.quick},
                               {"checkpoint", searched.checkpoint_digest},
                               {"version", hwnas::version}};
    io::make_directories(directory / "jobs");
    io::make_directories(directory / "weights");
    io::make_directories(directory / "sealed");
    io::make_directories(directory / "unfinished");
    const io::DirectoryLock lock(directory);
    std::error_code ignored;
    if (fs::exists(directory / "study.json", ignored))
        io::check_same_options((directory / "study.json").string(), io::read_json(directory / "study.json").dump(),
                               settings, "this study");
    else
        io::write_json(directory / "study.json", settings);
    read_scores(directory / "scores.json", searched.checkpoint_digest, searched.family.scores());
    Study study(std::move(searched), read_timing(run / "timing.json").search_seconds, directory,
                command.quick ? quick_scale() : StudyScale{}, command.quick, command.around.quiet);

    std::vector<const StudyJob*> wanted;
    for (const auto& job : study.jobs())
        if (command.only.empty() || job.name.find(command.only) != std::string::npos) wanted.push_back(&job);
    if (wanted.empty())
        throw UsageError(fmt::format("--only: no job has \"{}\" in its name ({} shows them)", command.only,
                                     command_line({"study", "--run", run.string(), "--list"})));
    if (command.list) {
        double left = 0;
        for (const auto* job : wanted) {
            if (!study.done(job->name)) left += job->minutes;
            print(fmt::format("{:<6} {:<24} about {:g} min{}\n", study.done(job->name) ? "done" : "open", job->name,
                              std::round(10 * job->minutes) / 10,
                              job->needs.empty()       ? ""
                              : job->needs.size() == 1 ? ", after " + job->needs[0]
                                                       : fmt::format(", after {} others", job->needs.size())));
        }
        say("left", fmt::format("about {:.1f} hours of two cores", left / 60));
        return 0;
    }

    const double start = seconds_now();
    const auto spent = [&] { return (seconds_now() - start) / 3600; };
    const Stoppable scope;
    const auto way_on = [&] {
        return command_line({"study", "--run", run.string()}) +
               (command.out.empty() ? "" : " --out " + shell_word(command.out)) + (command.quick ? " --quick" : "");
    };
    int finished = 0, open = 0;
    double expected = 0, taken = 0;  // minutes of the jobs done now: this machine's pace
    for (const auto* job : wanted) {
        if (study.done(job->name)) continue;
        const bool ready =
            std::all_of(job->needs.begin(), job->needs.end(), [&](const auto& need) { return study.done(need); });
        if (!ready ||
            (command.hours > 0 &&
             spent() + job->minutes / 60 * std::max(1.0, taken / std::max(expected, 1e-9)) > command.hours &&
             !command.quick) ||
            (command.hours > 0 && spent() > command.hours)) {
            ++open;
            continue;
        }
        if (stop_requested()) return complain("interrupted; go on with: " + way_on()), exit_interrupted;
        say("job", job->name);
        const double begun = seconds_now();
        try {
            study.run(*job);
        } catch (const StudyElsewhere& elsewhere) {
            complain(elsewhere.why);
            ++open;
            continue;
        } catch (const StudyInterrupted&) {
            complain(fmt::format("interrupted in {}; go on with: {}", job->name, way_on()));
            return exit_interrupted;
        }
        ++finished;
        expected += job->minutes, taken += (seconds_now() - begun) / 60;
    }
    io::write_json(directory / "summary.json", study.summary());
    renew_report(run);
    print("\n" + study.table() + "\n");
    say("jobs", fmt::format("{} done now, {} open of {}", finished, open, wanted.size()));
    if (open > 0) say("next", way_on());
    say("results", directory.string());
    return 0;
}

}  // namespace app
