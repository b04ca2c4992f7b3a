// SPDX-License-Identifier: MIT
// From a run directory back to what it searched: the trainer of its options, and the family of its checkpoint.
#pragma once

#include <hwnas/family/family.hpp>
#include <hwnas/io/json.hpp>
#include <hwnas/train/single_level_trainer.hpp>

#include "program.hpp"

namespace app {

/// Fills config and surroundings from the run directory of a search, ended or not; throws Error where `run` is none.
void read_run(const fs::path& run, SearchConfig& config, Surroundings& around);
/// Throws Error that names the command which goes on.
[[noreturn]] void fail_unfinished(const fs::path& run);
/// Architecture A, B or C of a search that has ended.
hwnas::Genotype read_profile(const fs::path& run, const std::string& profile, const std::string& space);
/// What to do with a checkpoint that cannot be used.
std::string checkpoint_way_out(const fs::path& run);

using Trainer = hwnas::SingleLevelTrainer<hwnas::SuperNet>;

hwnas::TrainerOptions trainer_options(const SearchConfig& config);
Trainer make_trainer(const SearchConfig& config, const hwnas::SearchSpace& space, const hwnas::Device& device,
                     const hwnas::LatencyTable& table, hwnas::TrainerOptions options);
/// What a checkpoint of this run has to agree with: options, images, version, latency table.
hwnas::io::Json checkpoint_options(const SearchConfig& config, std::int64_t train_images, const fs::path& run);
/// Throws Error where the options that a checkpoint was written with, as text, are not these.
void check_checkpoint_options(const fs::path& checkpoint, const std::string& stored, const hwnas::io::Json& options,
                              const fs::path& run);

/// A search that has ended.
struct Searched {
    SearchConfig config;
    hwnas::io::FashionMnist data;
    hwnas::Family family;
    std::string checkpoint_digest;  ///< of the weights: what scores of this family belong to
};
/// Throws Error where `run` is no run, is not finished, or was made with other options.
Searched load_searched(const fs::path& run, Surroundings around);

/// scores.json of a run: what `best` has paid for. Scores of other weights are left alone.
void read_scores(const fs::path& file, const std::string& digest, hwnas::ScoreCache& scores);
void write_scores(const fs::path& file, const std::string& digest, const hwnas::ScoreCache& scores);

}  // namespace app
