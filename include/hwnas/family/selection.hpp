// SPDX-License-Identifier: MIT
// Which of thousands of candidates are worth a score, when a score takes a second and a prediction none. Half are
// spread: near the limits, and unlike each other. The other half are those that a regression on the first expects to
// be the most accurate. "Larger is better" alone would miss that where capacity sits matters as much as how much.
#pragma once

#include <hwnas/family/member.hpp>

#include <cmath>

namespace hwnas::detail {

/// Share of rows with the same primitive.
inline double similarity(const std::vector<int>& a, const std::vector<int>& b) {
    int same = 0;
    for (std::size_t row = 0; row < a.size(); ++row) same += a[row] == b[row];
    return a.empty() ? 1.0 : same / static_cast<double>(a.size());
}

/// `count` of the candidates, each as unlike those before it as can be, where `fill` (1: at a limit) counts as well:
/// what is 15 % from the limit has to differ e times as much.
inline std::vector<std::size_t> spread(const std::vector<const std::vector<int>*>& choices,
                                       const std::vector<double>& fill, std::size_t count) {
    const std::size_t n = choices.size();
    std::vector<double> weight(n), distance(n, 1.0);
    for (std::size_t i = 0; i < n; ++i) weight[i] = std::exp((std::min(fill[i], 1.0) - 1) / 0.15);
    std::vector<std::size_t> taken;
    while (taken.size() < std::min(count, n)) {
        std::size_t best = n;
        double most = -1;
        for (std::size_t i = 0; i < n; ++i)
            if (const double value = weight[i] * distance[i]; distance[i] > 0 && value > most) best = i, most = value;
        if (best == n) break;  // all others are copies of taken ones
        taken.push_back(best);
        for (std::size_t i = 0; i < n; ++i)
            distance[i] = std::min(distance[i], 1 - similarity(*choices[i], *choices[best]));
    }
    return taken;
}

/// Expects the score of a network from scored ones: kernel ridge regression, the kernel being similarity(), which is
/// linear regression on which primitive stands where.
class ScoreRegression {
public:
    ScoreRegression(std::vector<std::vector<int>> choices, const std::vector<double>& scores, double ridge = 0.1)
        : choices_(std::move(choices)), weights_(scores) {
        const std::size_t n = choices_.size();
        for (const double score : scores) mean_ += score / static_cast<double>(n);
        std::vector<double> l(n * n);  // Cholesky factor of kernel + ridge
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j <= i; ++j) {
                double sum = similarity(choices_[i], choices_[j]) + (i == j ? ridge : 0.0);
                for (std::size_t m = 0; m < j; ++m) sum -= l[i * n + m] * l[j * n + m];
                l[i * n + j] = i == j ? std::sqrt(sum) : sum / l[j * n + j];
            }
        for (std::size_t i = 0; i < n; ++i) {
            weights_[i] -= mean_;
            for (std::size_t m = 0; m < i; ++m) weights_[i] -= l[i * n + m] * weights_[m];
            weights_[i] /= l[i * n + i];
        }
        for (std::size_t i = n; i-- > 0;) {
            for (std::size_t m = i + 1; m < n; ++m) weights_[i] -= l[m * n + i] * weights_[m];
            weights_[i] /= l[i * n + i];
        }
    }
    double operator()(const std::vector<int>& choices) const {
        double sum = mean_;
        for (std::size_t i = 0; i < choices_.size(); ++i) sum += weights_[i] * similarity(choices, choices_[i]);
        return sum;
    }

private:
    std::vector<std::vector<int>> choices_;
    std::vector<double> weights_;
    double mean_ = 0;
};

}  // namespace hwnas::detail
