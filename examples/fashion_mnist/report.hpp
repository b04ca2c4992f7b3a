// SPDX-License-Identifier: MIT
// report.html of a run directory: drawn from the other files of the directory and nothing else, so that the same files
// give the same bytes, whoever writes it and when.
#pragma once

#include <hwnas/family/family.hpp>

#include <filesystem>

namespace app {

/// A budget that networks about as fast as this one keep, measured another day: a quarter more.
inline double budget_to_try(double ms) {
    return 1.25 * ms;
}

/// simplex.csv: how many edges choose each primitive, for S all over the simplex.
void write_simplex(const std::filesystem::path& file, const hwnas::Family& family);
/// Writes RUN/report.html; throws Error naming the file that is damaged or missing. A search that has not ended has a
/// report too.
void write_report(const std::filesystem::path& run);
/// The same after a command whose own results are safe: a report that cannot be drawn is a complaint, not a failure.
void renew_report(const std::filesystem::path& run);

}  // namespace app
