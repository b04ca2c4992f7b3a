// SPDX-License-Identifier: MIT
// config.json and timing.json.
#include "run_directory.hpp"

#include <hwnas/version.hpp>

#include <algorithm>
#include <concepts>

namespace app {

namespace io = hwnas::io;

io::Json config_json(const SearchConfig& config) {
    io::Json json = io::Json::object();
    for_each_option(config,
                    [&](const char* name, const auto& member, const Rule&, const char*) { json[name] = member; });
    return json;
}

double checkpoint_every(const Surroundings& around) {
    return around.checkpoint_every < 0 ? default_checkpoint_every : around.checkpoint_every;
}

void write_config(const std::filesystem::path& file, const SearchCommand& command) {
    io::Json options = config_json(command.config);
    options["threads"] = command.around.threads;
    options["data"] = command.around.data;
    options["verify"] = command.around.verify;
    options["checkpoint_every"] = checkpoint_every(command.around);
    io::write_json(file, {{"schema", config_schema},
                          {"version", hwnas::version},
                          {"command", "search"},
                          {"options", std::move(options)}});
}

void read_config(const std::filesystem::path& file, SearchConfig& config, Surroundings& around) {
    const std::string name = file.string();
    const io::Json json = io::read_json(file);
    io::check_schema(json, config_schema, name);
    const auto options = io::require<io::Json>(json, "options", name);
    for_each_option(config, [&]<class T>(const char* key, T& member, const Rule& rule, const char*) {
        if (std::string_view(key) == "condition" && !options.contains(key)) return;  // older than this option
        const auto value = io::require<T>(options, key, name);
        if constexpr (std::same_as<T, std::string>) {
            if (std::find(rule.choices.begin(), rule.choices.end(), value) == rule.choices.end())
                hwnas::fail("{}: key \"{}\" is \"{}\" (choose {})", name, key, io::detail::shown(value),
                            fmt::join(rule.choices, ", "));
        } else if (!rule.allows(static_cast<double>(value))) {
            hwnas::fail("{}: key \"{}\" is {}, not {}", name, key, value,
                        rule.range(std::floating_point<T> ? "number" : "whole number"));
        }
        member = value;
    });
    around.threads = io::require<int>(options, "threads", name);
    if (around.threads < 0 || around.threads > 1'024)
        hwnas::fail("{}: key \"threads\" is {}, allowed are 0 to 1024", name, around.threads);
    around.data = io::require<std::string>(options, "data", name);
    around.verify = io::require<bool>(options, "verify", name);
    if (!options.contains("checkpoint_every")) return;  // older than this option
    around.checkpoint_every = io::require<double>(options, "checkpoint_every", name);
    if (!(around.checkpoint_every >= 0 && around.checkpoint_every <= most_checkpoint_every))
        hwnas::fail("{}: key \"checkpoint_every\" is {} seconds, allowed are 0 to {}", name, around.checkpoint_every,
                    most_checkpoint_every);
}

void write_timing(const std::filesystem::path& file, const Timing& timing) {
    const double rate = timing.search_seconds > 0 ? static_cast<double>(timing.images) / timing.search_seconds : 0;
    io::write_json(file, {{"schema", "hwnas-timing/1"},
                          {"search_seconds", timing.search_seconds},
                          {"images_per_second", rate},
                          {"images", timing.images},
                          {"profile_seconds", timing.profile_seconds},
                          {"evaluation_seconds", timing.evaluation_seconds},
                          {"sessions", timing.sessions},
                          {"peak_memory_mb", timing.peak_memory_mb}});
}

Timing read_timing(const std::filesystem::path& file) {
    std::error_code error;
    Timing timing;
    if (!std::filesystem::exists(file, error)) return timing;
    try {
        const auto json = io::read_json(file);
        timing.search_seconds = io::require<double>(json, "search_seconds", "");
        timing.images = io::require<std::int64_t>(json, "images", "");
        timing.profile_seconds = io::require<double>(json, "profile_seconds", "");
        timing.sessions = io::require<int>(json, "sessions", "");
        return timing;
    } catch (const hwnas::Error&) {
        return {};
    }
}

}  // namespace app
