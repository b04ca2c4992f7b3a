// SPDX-License-Identifier: MIT
// study: the jobs that train, which go on from a checkpoint, and the one that opens the test accuracies.
#include "study.hpp"

#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/result.hpp>

namespace app {

namespace io = hwnas::io;
using io::Json;

namespace {
/// The checkpoint of a job that trains: a stop costs nothing, a kill a minute. `what` tells the training, `so_far` what
/// it has found before.
class Unfinished {
public:
    Unfinished(fs::path file, Json what) : file_(std::move(file)), what_(std::move(what)) {}
    bool there() const {
        std::error_code ignored;
        return fs::exists(file_, ignored);
    }
    void save(const std::vector<hwnas::NamedTensor>& state, const Json& so_far) const {
        io::save_checkpoint(file_, state, {{"training", what_.dump()}, {"so_far", so_far.dump()}});
    }
    /// What it had found before the training that is in the checkpoint, null without one.
    Json so_far() const {
        if (!there()) return nullptr;
        const auto metadata = reading(file_, way_out, [&] { return io::checkpoint_metadata(file_); });
        const auto found = metadata.find("so_far");
        if (metadata.count("training") == 0 || metadata.at("training") != what_.dump() || found == metadata.end())
            hwnas::fail("{}: is of another training; {}", file_.string(), way_out);
        return io::detail::parse_json<Json>(found->second, file_.string());
    }
    void load(const std::vector<hwnas::NamedTensor>& state) const {
        reading(file_, way_out, [&] { return io::load_checkpoint(file_, state); });
    }

private:
    static constexpr std::string_view way_out = "remove it, and the job starts over";
    fs::path file_;
    Json what_;
};
}  // namespace

/// A network from scratch on the training images, judged on the other half of the held-out ones.
Json Study::train_job(const hwnas::Genotype& genotype, std::int64_t channels, const std::string& recipe_name,
                      int epochs, int seed, const std::string& name) {
    const auto& device = searched_.family.supernet().device();
    const auto space = make_space(searched_.config.space, channels, searched_.data.train);
    const hwnas::Network network(space, genotype, device, hwnas::seed(static_cast<std::uint64_t>(seed)));
    auto options = recipe(recipe_name, epochs, seed);
    TrainingMeter meter(quiet_);
    options.on_step = [&](const hwnas::TrainingProgress& progress) {
        meter.step(progress);
        return !stop_requested();
    };
    const Unfinished unfinished(unfinished_file(name), {{"genotype", genotype.str()},
                                                        {"channels", channels},
                                                        {"recipe", recipe_name},
                                                        {"epochs", epochs},
                                                        {"seed", seed},
                                                        {"train_images", searched_.data.train.count}});
    double seconds_before = 0;
    options.on_begin = [&](const auto& state) {
        const auto before = unfinished.so_far();
        if (before.is_null()) return;
        seconds_before = before["seconds"];
        unfinished.load(state);
    };
    options.on_checkpoint = [&](const auto& state, const auto&) {
        unfinished.save(state, {{"seconds", seconds_before + meter.seconds()}});
    };
    const auto fitted = hwnas::fit(network, searched_.family.train_data(), options);
    meter.finish();
    if (!fitted.finished) throw StudyInterrupted{};
    const fs::path weights = directory_ / "weights" / unfinished_file(name).filename();
    io::save_network(weights, network, {{"name", name}});
    io::write_json(sealed_file(name),
                   {{"schema", "hwnas-study-test/1"},
                    {"job", name},
                    {"accuracy", io::shown_accuracy(hwnas::evaluate(network, searched_.data.test).metric)}});
    const bool same_width = channels == searched_.config.channels;
    const auto m = member(genotype);
    return {{"genotype", genotype.str()},
            {"channels", channels},
            {"parameters", network.size().parameters},
            {"macs", network.size().macs},
            {"predicted_ms", same_width ? Json(m.predicted_ms) : Json(nullptr)},
            {"recipe", recipe_name},
            {"epochs", epochs},
            {"seed", seed},
            {"train", fitted.metric},
            {"judged", hwnas::evaluate(network, judge_).metric},
            {"recalibrated_judged", same_width ? Json(score(genotype, judge_)) : Json(nullptr)},
            {"seconds", seconds_before + meter.seconds()},
            {"weights", fs::relative(weights, directory_).string()}};
}

/// A search for one latency budget: no complexity term, and a latency weight that is tried again until its one network
/// keeps the budget and is not much faster than it must be. Beside it what the family has for this budget, by the same
/// rule: predictions keep it.
Json Study::search_job(int number) {
    const double budget = budget_at(100.0 * (number + 1) / (scale_.searches + 1));
    auto config = searched_.config;
    config.complexity_weight = 0, config.condition = "complexity";
    config.seed += 1'000 + static_cast<std::uint64_t>(number);
    const Unfinished unfinished(
        unfinished_file(fmt::format("search/{}", number + 1)),
        {{"budget_ms", budget}, {"seed", config.seed}, {"train_images", searched_.data.train.count}});
    double kappa = 2, seconds_before = 0;
    const double start = seconds_now();
    Json best = nullptr, tries = Json::array();
    bool resumed = unfinished.there();
    if (const auto before = unfinished.so_far(); !before.is_null())
        kappa = before["latency_weight"], seconds_before = before["seconds"], tries = before["tries"];
    const auto note = [&](const Json& found) {
        if (found["within"] && (best.is_null() || best["predicted_ms"] < found["predicted_ms"])) best = found;
    };
    for (const auto& found : tries) note(found);
    while (static_cast<int>(tries.size()) < scale_.tries) {
        config.latency_weight = kappa;
        auto options = trainer_options(config);
        TrainingMeter meter(quiet_);
        options.on_step = [&](const hwnas::TrainingProgress& progress) {
            meter.step(progress);
            return !stop_requested();
        };
        options.on_checkpoint = [&](const auto& state, const auto&) {
            unfinished.save(
                state,
                {{"latency_weight", kappa}, {"seconds", seconds_before + seconds_now() - start}, {"tries", tries}});
        };
        auto trainer = make_trainer(config, searched_.family.supernet().space(), searched_.family.supernet().device(),
                                    searched_.family.latency()->table(), std::move(options));
        trainer.begin(searched_.data.train);
        if (resumed) unfinished.load(trainer.state());
        resumed = false;
        const auto family = trainer.fit();
        meter.finish();
        if (!trainer.finished()) throw StudyInterrupted{};
        const auto s = hwnas::uniform_complexity(family.architecture().k());
        hwnas::FamilyMember m = member(family.at(s));
        family.score(m, judge_);
        const bool within = m.predicted_ms <= budget;
        tries.push_back({{"latency_weight", kappa},
                         {"genotype", m.genotype.str()},
                         {"predicted_ms", m.predicted_ms},
                         {"judged", *m.accuracy},
                         {"within", within}});
        note(tries.back());
        if (within && m.predicted_ms >= 0.9 * budget) break;
        kappa *= within ? 0.5 : 4;
    }
    const double seconds = seconds_before + seconds_now() - start, asked = seconds_now();
    Json family = {{"search_seconds", search_seconds_}};
    try {
        const auto choice = searched_.family.best(
            {.latency_ms = budget}, choose_,
            {.candidates = scale_.candidates, .measuring = hwnas::Measuring::never, .margin = 0.0});
        family["seconds"] = seconds_now() - asked;
        family["genotype"] = choice.genotype.str(), family["predicted_ms"] = choice.predicted_ms;
        family["judged"] = score(choice.genotype, judge_);
    } catch (const hwnas::InfeasibleBudget& error) {
        family["infeasible"] = error.what();
    }
    return {{"budget_ms", budget},
            {"best", std::move(best)},
            {"tries", std::move(tries)},
            {"seconds", seconds},
            {"family", std::move(family)}};
}

/// Opens the test accuracies, when all training is done.
Json Study::test_job() {
    Json accuracies = Json::object();
    for (const auto& name : trainings_) {
        const auto file = sealed_file(name);
        const auto json = io::read_json(file);
        io::check_schema(json, "hwnas-study-test/1", file.string());
        accuracies[name] = io::require<double>(json, "accuracy", file.string());
    }
    return {{"images", searched_.data.test.count}, {"accuracy", std::move(accuracies)}};
}

}  // namespace app
