// SPDX-License-Identifier: MIT
// How well predicted times agree with measured ones, beside what a constant and a second measurement would reach.
#pragma once

#include <hwnas/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hwnas {

/// Figures of one list of times against another. Relative errors are fractions of the measured time: .05 is 5 %.
struct LatencyValidation {
    /// One network: what it took and what was predicted.
    struct Case {
        std::size_t sample = 0;                    ///< its position in the lists that were compared
        double measured_ms = 0, predicted_ms = 0;  ///< measured and predicted milliseconds
        std::string name = {};                     ///< what the network is called; may be empty
        /// (predicted - measured) / measured; infinite where nothing was measured.
        double error() const { return (predicted_ms - measured_ms) / measured_ms; }
    };
    /// The second measurement against the first: what no prediction can be expected to beat.
    struct Repeat {
        /// Spearman's rank correlation and mean relative error of the second measurement.
        double spearman = 0, mape = 0;
    };
    std::size_t samples = 0;            ///< networks compared
    double spearman = 0;                ///< rank correlation, ties at their mean rank; 0 where either list is constant
    double kendall = 0;                 ///< tau-b; 0 where either list is constant
    double mape = 0;                    ///< mean of |error|, over the samples that took any time
    double r2 = 0;                      ///< 1 - squared error / variance of the measured; 0 where they are all the same
    double constant_mape = 0;           ///< of the constant that does best at it
    double error_p95 = 0;               ///< 95 % of all |error| are at most this: the margin of a hard budget
    std::optional<Repeat> repeat = {};  ///< where samples were measured twice
    std::vector<Case> worst = {};       ///< largest |error| first

    /// The figures and the worst cases as text, a line each.
    std::string str() const {
        std::string text = fmt::format(
            "samples {}\nSpearman {:.4f}, Kendall {:.4f}, R2 {:.4f}\nMAPE {:.2f} % (best constant {:.2f} %), 95 % of "
            "the "
            "errors within {:.2f} %\n",
            samples, spearman, kendall, r2, 100 * mape, 100 * constant_mape, 100 * error_p95);
        if (repeat)
            text +=
                fmt::format("measured twice: Spearman {:.4f}, MAPE {:.2f} %\n", repeat->spearman, 100 * repeat->mape);
        for (const auto& c : worst)
            text += fmt::format("{:+8.2f} %  predicted {:.4g} ms, measured {:.4g} ms  {}\n", 100 * c.error(),
                                c.predicted_ms, c.measured_ms, c.name.empty() ? fmt::format("#{}", c.sample) : c.name);
        return text;
    }
};

namespace detail {

inline void require_numbers(const char* name, const std::vector<double>& a, const std::vector<double>& b) {
    require(a.size() == b.size(), "{}: {} values against {}", name, a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
        require(std::isfinite(a[i]) && std::isfinite(b[i]), "{}: value {} is {} against {}; leave it out", name, i,
                a[i], b[i]);
}
/// 1, 2, ... by size; equal values share the mean of their ranks.
inline std::vector<double> mean_ranks(const std::vector<double>& x) {
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return x[a] < x[b]; });
    std::vector<double> rank(x.size());
    for (std::size_t i = 0, j; i < order.size(); i = j) {
        for (j = i; j < order.size() && x[order[j]] == x[order[i]]; ++j) {
        }
        for (std::size_t at = i; at < j; ++at) rank[order[at]] = 0.5 * static_cast<double>(i + j + 1);
    }
    return rank;
}
inline double correlation(const std::vector<double>& a, const std::vector<double>& b) {
    const double n = static_cast<double>(a.size());
    const double ma = std::accumulate(a.begin(), a.end(), 0.0) / n, mb = std::accumulate(b.begin(), b.end(), 0.0) / n;
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        ab += (a[i] - ma) * (b[i] - mb), aa += (a[i] - ma) * (a[i] - ma), bb += (b[i] - mb) * (b[i] - mb);
    return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}
/// Pairs (i < j) with x[i] > x[j]; sorts x.
inline double inversions(std::vector<double>& x) {
    if (x.size() < 2) return 0;
    const auto middle = x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2);
    std::vector<double> left(x.begin(), middle), right(middle, x.end());
    double count = inversions(left) + inversions(right);
    std::size_t i = 0, j = 0;
    for (auto& value : x)
        if (j == right.size() || (i < left.size() && left[i] <= right[j]))
            value = left[i++];
        else
            value = right[j++], count += static_cast<double>(left.size() - i);
    return count;
}
/// Pairs of equal values in sorted order of `same`.
template <class Same>
double tied_pairs(std::size_t n, Same&& same) {
    double pairs = 0;
    for (std::size_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && same(i, j); ++j) {
        }
        pairs += 0.5 * static_cast<double>(j - i) * static_cast<double>(j - i - 1);
    }
    return pairs;
}

}  // namespace detail

/// Spearman's rank correlation of two lists, -1 to 1, ties at their mean rank; 0 where either is constant. Throws Error
/// for lists of different lengths and for values that are not finite.
inline double spearman(const std::vector<double>& a, const std::vector<double>& b) {
    detail::require_numbers("spearman", a, b);
    return detail::correlation(detail::mean_ranks(a), detail::mean_ranks(b));
}
/// Kendall's tau-b of two lists, -1 to 1, by Knight's count of inversions in n log n; 0 where either is constant.
/// Throws Error for lists of different lengths and for values that are not finite.
inline double kendall(const std::vector<double>& a, const std::vector<double>& b) {
    detail::require_numbers("kendall", a, b);
    std::vector<std::pair<double, double>> pairs;
    for (std::size_t i = 0; i < a.size(); ++i) pairs.emplace_back(a[i], b[i]);
    std::sort(pairs.begin(), pairs.end());
    const auto n = pairs.size();
    const double ties_a = detail::tied_pairs(n, [&](auto i, auto j) { return pairs[i].first == pairs[j].first; });
    const double ties_both = detail::tied_pairs(n, [&](auto i, auto j) { return pairs[i] == pairs[j]; });
    std::vector<double> second;
    for (const auto& pair : pairs) second.push_back(pair.second);
    const double discordant = detail::inversions(second);
    const double ties_b = detail::tied_pairs(n, [&](auto i, auto j) { return second[i] == second[j]; });
    const double all = 0.5 * static_cast<double>(n) * (static_cast<double>(n) - 1);
    const double norm = std::sqrt((all - ties_a) * (all - ties_b));
    return norm > 0 ? (all - ties_a - ties_b + ties_both - 2 * discordant) / norm : 0;
}
/// Mean of |predicted - measured| / measured over the measured times above 0: 0.05 is 5 %. Throws Error for lists of
/// different lengths.
inline double mean_relative_error(const std::vector<double>& predicted, const std::vector<double>& measured) {
    require(predicted.size() == measured.size(), "mean relative error: {} predictions of {} times", predicted.size(),
            measured.size());
    double sum = 0, count = 0;
    for (std::size_t i = 0; i < measured.size(); ++i)
        if (measured[i] > 0) sum += std::abs(predicted[i] - measured[i]) / measured[i], ++count;
    return count > 0 ? sum / count : 0;
}

/// Figures of predicted against measured times, ms. `again`: a second measurement of the same networks, or empty;
/// `names`: of the networks, for the `worst` cases listed, or empty. Throws Error for lists of different lengths, fewer
/// than 2 networks, or times that are negative or not finite.
inline LatencyValidation validate_latency(const std::vector<double>& predicted, const std::vector<double>& measured,
                                          const std::vector<double>& again = {},
                                          const std::vector<std::string>& names = {}, std::size_t worst = 5) {
    const std::size_t n = measured.size();
    require(n >= 2, "validate latency: {} samples, at least 2 are needed", n);
    require(predicted.size() == n && (again.empty() || again.size() == n) && (names.empty() || names.size() == n),
            "validate latency: {} predictions, {} second measurements and {} names for {} samples", predicted.size(),
            again.size(), names.size(), n);
    for (std::size_t i = 0; i < n; ++i)
        require(measured[i] >= 0 && std::isfinite(measured[i]) && std::isfinite(predicted[i]),
                "validate latency: sample {} took {} ms, predicted {} ms", i, measured[i], predicted[i]);
    for (std::size_t i = 0; i < again.size(); ++i)
        require(again[i] >= 0 && std::isfinite(again[i]), "validate latency: sample {} took {} ms the second time", i,
                again[i]);
    LatencyValidation v{.samples = n,
                        .spearman = hwnas::spearman(predicted, measured),
                        .kendall = kendall(predicted, measured),
                        .mape = mean_relative_error(predicted, measured)};
    const double mean = std::accumulate(measured.begin(), measured.end(), 0.0) / static_cast<double>(n);
    double squares = 0, variance = 0, weight = 0;
    std::vector<std::pair<double, double>> inverse;  // {time, 1 / time}: the best constant is their weighted median
    for (std::size_t i = 0; i < n; ++i) {
        squares += (predicted[i] - measured[i]) * (predicted[i] - measured[i]);
        variance += (measured[i] - mean) * (measured[i] - mean);
        if (measured[i] > 0) inverse.emplace_back(measured[i], 1 / measured[i]), weight += 1 / measured[i];
    }
    v.r2 = variance > 0 ? 1 - squares / variance : 0;
    std::sort(inverse.begin(), inverse.end());
    double below = 0, constant = 0;
    for (const auto& [time, share] : inverse) {
        constant = time;
        if ((below += share) >= weight / 2) break;
    }
    v.constant_mape = mean_relative_error(std::vector<double>(n, constant), measured);
    std::vector<LatencyValidation::Case> cases;
    for (std::size_t i = 0; i < n; ++i)
        if (measured[i] > 0) cases.push_back({i, measured[i], predicted[i], names.empty() ? "" : names[i]});
    std::sort(cases.begin(), cases.end(), [](const auto& a, const auto& b) {
        const double ea = std::abs(a.error()), eb = std::abs(b.error());
        return ea != eb ? ea > eb : a.sample < b.sample;
    });
    if (!cases.empty())
        v.error_p95 = std::abs(cases[static_cast<std::size_t>(0.05 * static_cast<double>(cases.size()))].error());
    if (cases.size() > worst) cases.resize(worst);
    v.worst = std::move(cases);
    if (!again.empty())
        v.repeat = {.spearman = hwnas::spearman(again, measured), .mape = mean_relative_error(again, measured)};
    return v;
}

}  // namespace hwnas
