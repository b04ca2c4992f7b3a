// SPDX-License-Identifier: MIT
// The contract compiles under nvcc with nothing before it: std only, no host library behind it.
#include <hwnas/core/contract.hpp>

static_assert(hwnas::contract::Calls<float>::index_of<hwnas::contract::Fill<float>>() == 0);
static_assert(hwnas::contract::Calls<double>::size == hwnas::contract::Calls<float>::size);
