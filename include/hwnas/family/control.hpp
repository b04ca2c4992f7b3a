// SPDX-License-Identifier: MIT
// How well S controls the architecture; and random networks, the control of every search.
#pragma once

#include <hwnas/hypernet/simplex.hpp>
#include <hwnas/latency/agreement.hpp>
#include <hwnas/space/genotype.hpp>

#include <functional>
#include <limits>
#include <set>

namespace hwnas {

/// How well S controls the architecture: counts along every ray from uniform to a vertex, and rank correlations over
/// random S.
struct ControlReport {
    /// One ray: S from uniform to the vertex of a primitive, so that the primitive's penalty grows.
    struct Ray {
        std::string primitive;    ///< whose vertex
        std::vector<int> counts;  ///< edges choosing it, from uniform to its vertex
        double spearman = 0;      ///< of position and count; NaN where the count never changes
    };
    std::vector<Ray> rays;                                 ///< one a primitive
    int samples = 0, distinct = 0;                         ///< random S, and how many architectures they give
    std::vector<std::pair<std::string, double>> spearman;  ///< of S_m and count_m over the random S; NaN likewise
};

namespace detail {
/// Spearman's rank correlation; NaN where all counts are the same, which have no rank.
inline double rank_correlation(const std::vector<double>& along, const std::vector<double>& count) {
    const bool constant = std::adjacent_find(count.begin(), count.end(), std::not_equal_to<>()) == count.end();
    return constant ? std::numeric_limits<double>::quiet_NaN() : spearman(along, count);
}
/// choices(points): the primitive of every row for each of many S.
template <class Choices>
ControlReport control_report(const Architecture& a, int samples, int points, Seed seed, Choices&& choices) {
    require(samples >= 0 && points >= 2, "control: {} samples, {} points; at least 0 and 2", samples, points);
    ControlReport report;
    const auto count_of = [](const std::vector<int>& c, int m) {
        return static_cast<int>(std::count(c.begin(), c.end(), m));
    };
    for (int m = 0; m < a.k(); ++m) {
        ControlReport::Ray ray{a.primitives[static_cast<std::size_t>(m)], {}, 0};
        std::vector<Complexity> along;
        std::vector<double> position, count;
        for (int i = 0; i < points; ++i) along.push_back(on_ray(a.k(), m, static_cast<double>(i) / (points - 1)));
        for (const auto& c : choices(along)) {
            ray.counts.push_back(count_of(c, m));
            position.push_back(static_cast<double>(position.size())), count.push_back(ray.counts.back());
        }
        ray.spearman = rank_correlation(position, count);
        report.rays.push_back(std::move(ray));
    }
    std::vector<Complexity> random;
    for (int i = 0; i < samples; ++i)
        random.push_back(random_complexity(a.k(), seed.stream("control"), static_cast<std::uint64_t>(i)));
    const auto chosen = choices(random);
    report.samples = samples;
    report.distinct = static_cast<int>(std::set<std::vector<int>>(chosen.begin(), chosen.end()).size());
    for (int m = 0; m < a.k(); ++m) {
        std::vector<double> weight, count;
        for (std::size_t i = 0; i < random.size(); ++i) {
            weight.push_back(random[i][static_cast<std::size_t>(m)]);
            count.push_back(count_of(chosen[i], m));
        }
        report.spearman.emplace_back(a.primitives[static_cast<std::size_t>(m)], rank_correlation(weight, count));
    }
    return report;
}
}  // namespace detail

}  // namespace hwnas
