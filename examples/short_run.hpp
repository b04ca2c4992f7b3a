// SPDX-License-Identifier: MIT
// What the examples share: with HWNAS_EXAMPLE_FAST set (the tests do) they run a few steps on a few images, and without
// the data set they say so and exit with 77.
#pragma once

#include <hwnas/family/budget.hpp>
#include <hwnas/io/fashion_mnist.hpp>
#include <hwnas/latency/profiler.hpp>

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace example {

inline bool fast() {
    return std::getenv("HWNAS_EXAMPLE_FAST") != nullptr;
}
inline int epochs(int whole) {
    return fast() ? 1 : whole;
}

inline hwnas::ProfileOptions timing() {
    return {.seconds = fast() ? 0.5 : 10.0};
}

inline hwnas::io::FashionMnist shortened(hwnas::io::FashionMnist data) {
    if (!fast()) return data;
    return {data.train.first(256), data.validation.first(200), data.test.first(200)};
}

/// Two steps of training leave no network that keeps a real budget.
inline hwnas::Budget loosened(hwnas::Budget budget) {
    if (!fast()) return budget;
    return {.latency_ms = 1e3 * budget.latency_ms, .parameters = 1'000 * budget.parameters};
}

/// Prints an error and returns the exit status.
inline int report(const hwnas::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return std::string_view(error.what()).starts_with("no Fashion-MNIST") ? 77 : 1;
}

}  // namespace example
