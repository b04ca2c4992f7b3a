// SPDX-License-Identifier: MIT
// The directory of one search. All but timing.json is the same, to the byte, for the same options, table and build:
//   config.json latency.json metrics.csv checkpoint.safetensors genotypes/ result.json   and   timing.json
// (measured latencies in result.json are a measurement: the one exception).
#pragma once

#include <hwnas/io/json.hpp>

#include "options.hpp"

#include <filesystem>
#include <string>

namespace app {

inline constexpr const char* config_schema = "hwnas-config/1";
inline constexpr double default_checkpoint_every = 60;

/// Seconds; where nothing is said, the default.
double checkpoint_every(const Surroundings& around);

/// The options that a result depends on, in the order of for_each_option().
hwnas::io::Json config_json(const SearchConfig& config);
/// Writes all options, those of the surroundings too.
void write_config(const std::filesystem::path& file, const SearchCommand& command);
/// Fills config and surroundings from a config.json; throws Error naming file, key and what is allowed.
void read_config(const std::filesystem::path& file, SearchConfig& config, Surroundings& around);

/// What a search remembers between sessions beside its checkpoint: times, and what its process took.
struct Timing {
    double profile_seconds = 0, search_seconds = 0, evaluation_seconds = 0;
    std::int64_t images = 0;  ///< trained on in search_seconds
    int sessions = 1;
    double peak_memory_mb = 0;  ///< of the last session
};
void write_timing(const std::filesystem::path& file, const Timing& timing);
/// Zeros where there is no such file: times are not worth an error.
Timing read_timing(const std::filesystem::path& file);

}  // namespace app
