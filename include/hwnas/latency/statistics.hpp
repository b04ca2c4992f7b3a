// SPDX-License-Identifier: MIT
// Statistics of repeated timings: the median and how well it is known, outliers, and the drift of a machine's clock.
#pragma once

#include <hwnas/core/error.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

namespace hwnas {

/// Statistics of the times of a whole prepared network.
struct LatencyMeasurement {
    /// Milliseconds a run; deviation: standard, of one run; p90: what 90 % of the runs take at most.
    double median = 0, mean = 0, deviation = 0, p90 = 0;
    std::int64_t count = 0;    ///< runs that were timed
    double low = 0, high = 0;  ///< 95 % confidence interval of the median, ms; 0 and infinity below 6 samples
    double outliers = 0;       ///< share of samples above the third quartile by more than 3 interquartile ranges
};

namespace detail {

using LatencyClock = std::chrono::steady_clock;

inline double milliseconds(LatencyClock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

/// How many of n sorted samples lie outside a 95 % confidence interval of the median on either side: no assumption but
/// that samples are independent makes the number below the median binomial(n, 1/2). Nothing below 6 samples.
inline std::optional<std::size_t> outside_median_interval(std::size_t n) {
    double below = 0;  // P(fewer than `rank` samples lie below the median)
    std::size_t rank = 0;
    const auto log_factorial = [](std::size_t k) { return std::lgamma(static_cast<double>(k) + 1); };
    for (; rank <= n / 2; ++rank) {
        below += std::exp(log_factorial(n) - log_factorial(rank) - log_factorial(n - rank) -
                          static_cast<double>(n) * std::log(2.0));
        if (below > 0.025) break;
    }
    if (rank == 0) return std::nullopt;
    return rank - 1;
}

/// Statistics of samples in ms; their order is lost.
inline LatencyMeasurement latency_statistics(std::vector<double>& samples) {
    LatencyMeasurement result{.count = static_cast<std::int64_t>(samples.size()), .high = HUGE_VAL};
    if (samples.empty()) return result;
    std::sort(samples.begin(), samples.end());
    const auto rank = [&](double fraction) {
        return samples[static_cast<std::size_t>(fraction * static_cast<double>(samples.size() - 1) + 0.5)];
    };
    result.median = rank(0.5);
    result.p90 = rank(0.9);
    if (const auto outside = outside_median_interval(samples.size()))
        result.low = samples[*outside], result.high = samples[samples.size() - 1 - *outside];
    const double fence = rank(0.75) + 3 * (rank(0.75) - rank(0.25));
    const double n = static_cast<double>(samples.size());
    for (const double x : samples) result.mean += x / n, result.outliers += (x > fence) / n;
    for (const double x : samples) result.deviation += (x - result.mean) * (x - result.mean);
    result.deviation = samples.size() > 1 ? std::sqrt(result.deviation / (n - 1)) : 0;
    return result;
}
/// Whether a median is known to 2 % (width of its interval), or as finely as anybody needs to know.
inline bool settled(const LatencyMeasurement& found, double fine = 0) {
    return found.high - found.low <= std::max(0.02 * found.median, fine);
}

/// Rounds of runs: at least `repeats`, then until `done()` holds when they have grown by a quarter, or time is up.
template <class Round, class Done, class Progress>
void repeat_until(int repeats, double seconds, Round&& round, Done&& done, Progress&& progress) {
    constexpr int most = 5'000, fewest = 3;
    const auto start = LatencyClock::now();
    int next = repeats;
    for (int rounds = 1; rounds <= std::max(most, repeats); ++rounds) {
        round();
        const double spent = milliseconds(LatencyClock::now() - start) / 1e3;
        bool end = spent >= seconds && rounds >= std::min(fewest, repeats);
        if (!end && rounds == next) next += std::max(1, rounds / 4), end = done();
        progress(end ? 1.0 : std::min(0.99, std::max(spent / seconds, 0.5 * rounds / repeats)));
        if (end) return;
    }
}

/// How the speed of a machine moves while rounds of the same work are timed: blocks of rounds against the whole.
class Drift {
public:
    Drift() = default;
    /// times[i][round]: work i in every round.
    explicit Drift(const std::vector<const std::vector<double>*>& times) {
        if (times.empty() || times[0]->size() < 2 * fewest) return;
        const std::size_t rounds = times[0]->size();
        std::vector<double> relative(rounds, 0.0);
        for (const auto* work : times) {
            auto sorted = *work;
            const double median = latency_statistics(sorted).median;
            if (median <= 0) return;
            for (std::size_t r = 0; r < rounds; ++r) relative[r] += (*work)[r] / median;
        }
        size_ = std::max<std::size_t>(fewest, rounds / 20);
        for (std::size_t begin = 0; begin + size_ <= rounds; begin += size_) {
            std::vector<double> block(relative.begin() + static_cast<std::ptrdiff_t>(begin),
                                      relative.begin() + static_cast<std::ptrdiff_t>(begin + size_));
            factors_.push_back(latency_statistics(block).median);
        }
        auto sorted = factors_;
        const double middle = latency_statistics(sorted).median;
        for (auto& factor : factors_) factor /= middle;
    }
    /// Slowest block against fastest, less 1.
    double range() const {
        if (factors_.empty()) return 0;
        const auto [low, high] = std::minmax_element(factors_.begin(), factors_.end());
        return *high / *low - 1;
    }
    /// Samples, as many a round in the order they were taken, as if all rounds had run at the same speed.
    std::vector<double> corrected(std::vector<double> samples, std::size_t rounds) const {
        if (factors_.empty() || rounds == 0) return samples;
        const std::size_t each = std::max<std::size_t>(1, samples.size() / rounds);
        for (std::size_t i = 0; i < samples.size(); ++i)
            samples[i] /= factors_[std::min(i / each / size_, factors_.size() - 1)];
        return samples;
    }

private:
    static constexpr std::size_t fewest = 10;  ///< rounds a block
    std::size_t size_ = fewest;
    std::vector<double> factors_;
};

}  // namespace detail

}  // namespace hwnas
