// SPDX-License-Identifier: MIT
// What a search found: profiles A, B, C beside random networks of the space, on the test images.
#pragma once

#include <hwnas/family/family.hpp>
#include <hwnas/io/result.hpp>

#include "program.hpp"

namespace app {

/// Tests and measures the profiles of a family, and random networks that inherit the same weights.
hwnas::io::SearchResult assess(const SearchConfig& config, const hwnas::Family& family,
                               const hwnas::io::FashionMnist& data, bool quiet);

}  // namespace app
