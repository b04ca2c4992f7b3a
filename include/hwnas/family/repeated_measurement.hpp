// SPDX-License-Identifier: MIT
// Whether a network will be found within its budget again. One median says too little: a network prepared anew lies
// elsewhere in memory, and the machine is in another mood. So it is prepared and timed in several sessions, and what
// has to keep the budget is the upper limit below which the median of one more session lies with 95 % confidence.
#pragma once

#include <hwnas/latency/profiler.hpp>

namespace hwnas {

/// Times of one network that was prepared anew and measured in several sessions.
struct RepeatedMeasurement {
    double median = 0;                  ///< median of the sessions' medians, ms
    double limit = 0;                   ///< upper prediction limit of one more session's median, 95 % one-sided
    std::vector<double> sessions = {};  ///< median of each session, ms
};

namespace detail {
/// 95 % quantile of Student's t.
inline double student_95(std::size_t degrees) {
    constexpr double table[] = {6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812,
                                1.796, 1.782, 1.771, 1.761, 1.753, 1.746, 1.740, 1.734, 1.729, 1.725};
    return degrees >= 1 && degrees <= 20 ? table[degrees - 1] : 1.725;
}
}  // namespace detail

/// Summary of sessions whose medians (ms) are taken as normally distributed: limit = mean + t s sqrt(1 + 1/n). Throws
/// Error for fewer than 2.
inline RepeatedMeasurement repeated_measurement(std::vector<double> sessions) {
    require(sessions.size() >= 2, "measure: {} sessions, a spread needs at least 2", sessions.size());
    RepeatedMeasurement result{.sessions = sessions};
    const double n = static_cast<double>(sessions.size());
    double mean = 0, squares = 0;
    for (const double x : sessions) mean += x / n;
    for (const double x : sessions) squares += (x - mean) * (x - mean);
    const double deviation = std::sqrt(squares / (n - 1));
    result.limit = mean + detail::student_95(sessions.size() - 1) * deviation * std::sqrt(1 + 1 / n);
    std::sort(sessions.begin(), sessions.end());
    const std::size_t middle = sessions.size() / 2;
    result.median = sessions.size() % 2 ? sessions[middle] : 0.5 * (sessions[middle - 1] + sessions[middle]);
    return result;
}

/// Measures every network in `count` sessions, all of them in turn in each, so that slow drift meets all alike. Throws
/// Error for fewer than 2 sessions.
inline std::vector<RepeatedMeasurement> measure_sessions(const std::vector<const Network*>& networks, int count,
                                                         const MeasureOptions& options) {
    require(count >= 2, "measure: {} sessions, a spread needs at least 2", count);
    std::vector<std::vector<double>> medians(networks.size());
    for (int i = 0; i < count; ++i) {
        const auto measured = measure_all(networks, options);
        for (std::size_t n = 0; n < networks.size(); ++n) medians[n].push_back(measured[n].median);
    }
    std::vector<RepeatedMeasurement> result;
    for (auto& m : medians) result.push_back(repeated_measurement(std::move(m)));
    return result;
}

}  // namespace hwnas
