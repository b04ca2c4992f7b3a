// SPDX-License-Identifier: MIT
// The table at the end of a search, like Table 1 of the paper.
#pragma once

#include <hwnas/io/result.hpp>

#include <string>

namespace app {

/// One column a network; then what the accuracies mean.
std::string family_table(const hwnas::io::SearchResult& result);
/// How well S controls the architecture, a line a primitive.
std::string control_table(const hwnas::ControlReport& control);

}  // namespace app
