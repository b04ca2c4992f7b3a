// SPDX-License-Identifier: MIT
// How work on a GPU is timed, ours and cuDNN's alike: in captured graphs of many calls, hot (the same arrays again and
// again) or cold (copies of them in turn), 31 times by the host's clock, fewer where it takes long. The standard
// library alone.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

namespace hwnas::benchmarks {

/// Copies of arrays of `bytes` that no cache of a GPU holds if they take turns; hot: one.
inline int copies_of_arrays(double bytes, bool cold) {
    constexpr double beyond_caches = 200e6;
    return cold ? std::clamp(static_cast<int>(beyond_caches / std::max(bytes, 1.0)) + 1, 2, 256) : 1;
}

/// The q-th part of the values from below, at 0.5 the median.
inline double quantile(std::vector<double> values, double q) {
    const auto at = static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1) + 0.5);
    std::nth_element(values.begin(), values.begin() + at, values.end());
    return values[static_cast<std::size_t>(at)];
}

/// Something to time: run() does `pieces` pieces of work and waits for their end.
struct Timed {
    std::function<void()> run;
    double pieces;
    /// Seconds of one piece.
    double sample() const {
        using Clock = std::chrono::steady_clock;
        const auto start = Clock::now();
        run();
        return std::chrono::duration<double>(Clock::now() - start).count() / pieces;
    }
};

/// `pieces` pieces of work that make `calls` calls together, so many times over that a run takes 2 ms. capture(times)
/// returns what does all of them in turn, `times` over, and waits for the end.
template <class Capture>
Timed long_enough(std::int64_t pieces, std::int64_t calls, Capture&& capture) {
    constexpr std::int64_t most_calls = 4096;  // of one graph
    for (std::int64_t times = 1;; times *= 2) {
        const Timed timed{capture(times), static_cast<double>(times * pieces)};
        timed.sample();
        if (timed.sample() * timed.pieces >= 2e-3 || times * calls >= most_calls) return timed;
    }
}

/// Seconds of one piece of each, sample by sample: they take turns, so that a clock that changes changes all of them.
inline std::vector<std::vector<double>> sampled_in_turn(const std::vector<Timed>& all) {
    using Clock = std::chrono::steady_clock;
    constexpr std::size_t least = 9, most = 31;
    constexpr std::chrono::milliseconds patience(250);
    std::vector<std::vector<double>> samples(all.size());
    const auto begin = Clock::now();
    for (std::size_t i = 0; i < least || (i < most && Clock::now() - begin < patience); ++i)
        for (std::size_t j = 0; j < all.size(); ++j) samples[j].push_back(all[j].sample());
    return samples;
}

}  // namespace hwnas::benchmarks
