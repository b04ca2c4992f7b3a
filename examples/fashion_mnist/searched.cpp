// SPDX-License-Identifier: MIT
#include "searched.hpp"
#include "run_directory.hpp"

#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/genotype.hpp>
#include <hwnas/io/latency_table.hpp>
#include <hwnas/version.hpp>

#include <charconv>

namespace app {

namespace io = hwnas::io;

void read_run(const fs::path& run, SearchConfig& config, Surroundings& around) {
    std::error_code ignored;
    if (!fs::is_directory(run, ignored))
        hwnas::fail("{}: there is no such run directory; pass --run the one a search printed", run.string());
    if (!fs::exists(run / "config.json", ignored))
        hwnas::fail("{}: no search has begun there, config.json is missing; pass --run the directory a search printed",
                    run.string());
    read_config(run / "config.json", config, around);
}

void fail_unfinished(const fs::path& run) {
    hwnas::fail("{}: its search has not ended; go on with: {}", run.string(),
                command_line({"search", "--resume", run.string()}));
}

hwnas::Genotype read_profile(const fs::path& run, const std::string& profile, const std::string& space) {
    const fs::path file = run / "genotypes" / (profile + ".json");
    std::error_code ignored;
    if (!fs::exists(file, ignored)) fail_unfinished(run);
    auto genotype = io::read_genotype(file);
    if (!genotype.space.empty() && genotype.space != space)
        hwnas::fail("{}: a genotype of space {}, the run searched {}", file.string(), io::detail::shown(genotype.space),
                    space);
    try {
        (void)genotype.choices(hwnas::SearchSpace::named(space).architecture());
    } catch (const hwnas::Error& error) {
        hwnas::fail("{}: {}", file.string(), error.what());
    }
    return genotype;
}

std::string checkpoint_way_out(const fs::path& run) {
    return fmt::format("remove it to begin again with {}, or start a new run",
                       command_line({"search", "--resume", run.string()}));
}

hwnas::TrainerOptions trainer_options(const SearchConfig& config) {
    return {.epochs = config.epochs,
            .batch = config.batch,
            .mode = hwnas::search_mode(config.mode),
            .learning_rate = config.learning_rate,
            .complexity_weight = config.complexity_weight,
            .latency_weight = config.latency_weight,
            .complexity_cost = hwnas::complexity_cost(config.complexity_cost)};
}

Trainer make_trainer(const SearchConfig& config, const hwnas::SearchSpace& space, const hwnas::Device& device,
                     const hwnas::LatencyTable& table, hwnas::TrainerOptions options) {
    const auto form = config.hyper_form == "mlp" ? hwnas::HyperNetForm::mlp : hwnas::HyperNetForm::pivots;
    return {hwnas::SuperNet(space, device, hwnas::seed(config.seed)),
            hwnas::HyperNet(
                space, device, hwnas::seed(config.seed),
                {.form = form, .pivots = config.pivots, .latency_weight = config.condition == "complexity_latency"}),
            hwnas::LatencyModel(space, table), std::move(options)};
}

io::Json checkpoint_options(const SearchConfig& config, std::int64_t train_images, const fs::path& run) {
    io::Json options = config_json(config);
    if (config.condition == "complexity") options.erase("condition");  // as checkpoints older than this option have it
    options["train_images"] = train_images;
    options["version"] = hwnas::version;
    options["latency_sha256"] = io::sha256(io::read_file(run / "latency.json"));
    return options;
}

void check_checkpoint_options(const fs::path& checkpoint, const std::string& stored, const io::Json& options,
                              const fs::path& run) {
    const std::string key = "latency_sha256";
    const auto before = io::Json::parse(stored, nullptr, false);
    io::Json others = options;
    if (before.is_object() && before.contains(key)) others[key] = before[key];
    io::check_same_options(checkpoint.string(), stored, others, run.string());
    if (others[key] != options.at(key))
        hwnas::fail(
            "{}: is not the latency table that this search began with, whose SHA-256 {} keeps; put that table back, or "
            "start a new run with --latency {}",
            (run / "latency.json").string(), checkpoint.string(), (run / "latency.json").string());
}

Searched load_searched(const fs::path& run, Surroundings around) {
    const fs::path file = run / "checkpoint.safetensors";
    SearchConfig config;
    Surroundings before;
    read_run(run, config, before);
    if (around.data.empty()) around.data = before.data;
    if (!before.verify) around.verify = false;
    std::error_code ignored;
    if (!fs::exists(file, ignored)) fail_unfinished(run);
    auto data = load_data(around, config.images, config.validation);
    if (data.validation.count == 0)
        hwnas::fail("{}: the search kept no validation images, there is nothing to choose by", run.string());
    const auto device = make_device(around);
    const auto space = make_space(config.space, config.channels, data.train);
    auto trainer =
        make_trainer(config, space, device, io::read_latency_table(run / "latency.json"), trainer_options(config));
    trainer.begin(data.train);
    const auto metadata =
        reading(file, checkpoint_way_out(run), [&] { return io::load_checkpoint(file, trainer.state()); });
    if (metadata.contains("config"))
        check_checkpoint_options(file, metadata.at("config"), checkpoint_options(config, data.train.count, run), run);
    if (!trainer.finished()) fail_unfinished(run);
    return {std::move(config), std::move(data), trainer.family(), metadata.at("sha256")};
}

void read_scores(const fs::path& file, const std::string& digest, hwnas::ScoreCache& scores) {
    std::error_code ignored;
    if (!fs::exists(file, ignored)) return;
    const std::string name = file.string();
    const auto json = io::read_json(file);
    io::check_schema(json, "hwnas-scores/1", name);
    if (io::require<std::string>(json, "checkpoint", name) != digest) return;
    for (const auto& entry : io::require<io::Json>(json, "scores", name)) {
        const auto text = io::require<std::string>(entry, "of", name);
        std::uint64_t key = 0;
        std::from_chars(text.data(), text.data() + text.size(), key, 16);
        scores.insert(key, io::require<std::vector<int>>(entry, "choices", name),
                      io::require<double>(entry, "score", name));
    }
}

void write_scores(const fs::path& file, const std::string& digest, const hwnas::ScoreCache& scores) {
    io::Json entries = io::Json::array();
    scores.for_each([&](std::uint64_t key, const std::vector<int>& choices, double score) {
        entries.push_back({{"of", fmt::format("{:016x}", key)}, {"choices", choices}, {"score", score}});
    });
    io::write_json(file, {{"schema", "hwnas-scores/1"}, {"checkpoint", digest}, {"scores", std::move(entries)}});
}

}  // namespace app
