// SPDX-License-Identifier: MIT
// How work on a GPU is timed, ours and cuDNN's alike: in captured graphs of many calls, hot (the same arrays again and
// again) or cold (copies of them in turn), the median of nine by the host's clock. The standard library alone.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace hwnas::benchmarks {

/// Copies of arrays of `bytes` that no cache of a GPU holds if they take turns; hot: one.
inline int copies_of_arrays(double bytes, bool cold) {
    constexpr double beyond_caches = 200e6;
    return cold ? std::clamp(static_cast<int>(beyond_caches / std::max(bytes, 1.0)) + 1, 2, 256) : 1;
}

/// Seconds of one of `pieces` pieces of work that make `calls` calls together. capture(times) returns what does all of
/// them in turn, `times` over, and waits for the end; it is asked for so many times that this takes 5 ms.
template <class Capture>
double seconds_a_piece(std::int64_t pieces, std::int64_t calls, Capture&& capture) {
    using Clock = std::chrono::steady_clock;
    constexpr std::int64_t most_calls = 4096;  // of one graph
    for (std::int64_t times = 1;; times *= 2) {
        const auto run = capture(times);
        const auto sample = [&] {
            const auto start = Clock::now();
            run();
            return std::chrono::duration<double>(Clock::now() - start).count();
        };
        sample();
        if (sample() < 5e-3 && times * calls < most_calls) continue;
        std::vector<double> samples;
        for (int i = 0; i < 9; ++i) samples.push_back(sample());
        std::nth_element(samples.begin(), samples.begin() + 4, samples.end());
        return samples[4] / static_cast<double>(times * pieces);
    }
}

}  // namespace hwnas::benchmarks
