// SPDX-License-Identifier: MIT
// Whether a network will be found within its budget again. One median says too little: a network prepared anew lies
// elsewhere in memory, and the machine is in another mood. So it is prepared and timed in several sessions, apart in
// time, and what has to keep the budget is the upper limit below which the median of one more session lies with 99 %
// confidence. Sessions in which the machine is slow are told by another network, not by the one that is judged.
#pragma once

#include <hwnas/latency/profiler.hpp>

#include <thread>

namespace hwnas {

/// Times of one network that was prepared anew and measured in several sessions.
struct RepeatedMeasurement {
    double median = 0;                  ///< median of the medians of the sessions that count, ms
    double limit = 0;                   ///< upper prediction limit of one more session's median, 99 % one-sided
    std::vector<double> sessions = {};  ///< median of each session, ms
    int disturbed = 0;                  ///< sessions that do not count: the machine was slow
};

namespace detail {
/// 99 % quantile of Student's t.
inline double student_99(std::size_t degrees) {
    constexpr double table[] = {31.821, 6.965, 4.541, 3.747, 3.365, 3.143, 2.998, 2.896, 2.821, 2.764,
                                2.718,  2.681, 2.650, 2.624, 2.602, 2.583, 2.567, 2.552, 2.539, 2.528};
    return degrees >= 1 && degrees <= 20 ? table[degrees - 1] : 2.528;
}
inline double median_of(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}
}  // namespace detail

/// Summary of sessions whose medians (ms) are taken as normally distributed: limit = mean + t s sqrt(1 + 1/n). Throws
/// Error for fewer than 2.
inline RepeatedMeasurement repeated_measurement(const std::vector<double>& sessions) {
    require(sessions.size() >= 2, "measure: {} sessions, a spread needs at least 2", sessions.size());
    const double n = static_cast<double>(sessions.size());
    double mean = 0, squares = 0;
    for (const double x : sessions) mean += x / n;
    for (const double x : sessions) squares += (x - mean) * (x - mean);
    const double deviation = std::sqrt(squares / (n - 1));
    return {.median = detail::median_of(sessions),
            .limit = mean + detail::student_99(sessions.size() - 1) * deviation * std::sqrt(1 + 1 / n),
            .sessions = sessions};
}

/// A network that is timed in every session beside those that are measured. It tells how fast the machine is: usual is
/// the median of all sessions it has seen, and one that finds it slower by more than 5 % is disturbed. It knows the
/// better the longer it is used.
class SpeedReference {
public:
    explicit SpeedReference(Network network) : network_(std::move(network)) {}  ///< Has seen nothing yet.
    const Network& network() const { return network_; }                         ///< What tells the speed.
    /// Notes the network's median (ms) in one more session.
    void see(double ms) { seen_.push_back(ms); }
    /// Whether a session with this median of the network (ms) was slow, by all that was seen.
    bool disturbed(double ms) const { return !seen_.empty() && ms > 1.05 * detail::median_of(seen_); }

private:
    Network network_;
    std::vector<double> seen_;
};

/// When sessions are taken.
struct SessionOptions {
    int count = 7;       ///< undisturbed ones that are wanted
    double pause = 0.3;  ///< between two sessions, s: a slow moment of the machine shall not meet them all
    int most = 21;       ///< after so many sessions what there is has to do
};
/// Summary of a network's sessions by those in which the reference was not disturbed, its medians being `references`;
/// are there fewer than three of them, then that is how the machine is, and all count.
inline RepeatedMeasurement repeated_measurement(const std::vector<double>& sessions,
                                                const std::vector<double>& references,
                                                const SpeedReference& reference) {
    std::vector<double> steady;
    for (std::size_t i = 0; i < sessions.size(); ++i)
        if (!reference.disturbed(references[i])) steady.push_back(sessions[i]);
    if (steady.size() < 3) return repeated_measurement(sessions);
    auto result = repeated_measurement(steady);
    result.sessions = sessions;
    result.disturbed = static_cast<int>(sessions.size() - steady.size());
    return result;
}

/// Measures every network in sessions, all of them and the reference in turn in each, so that slow drift meets all
/// alike. Throws Error for fewer than 2 sessions or a negative pause.
inline std::vector<RepeatedMeasurement> measure_sessions(const std::vector<const Network*>& networks,
                                                         SpeedReference& reference, const SessionOptions& when,
                                                         const MeasureOptions& options) {
    require(when.count >= 2, "measure: {} sessions, a spread needs at least 2", when.count);
    require(when.most >= when.count, "measure: {} sessions wanted, {} allowed", when.count, when.most);
    require(when.pause >= 0 && when.pause <= 60, "measure: pauses of {} s between sessions, 0 to 60 are possible",
            when.pause);
    auto all = networks;
    all.push_back(&reference.network());
    std::vector<std::vector<double>> medians(all.size());
    const auto& references = medians.back();
    for (int i = 0, steady = 0; i < when.most && steady < when.count; ++i) {
        if (i > 0) std::this_thread::sleep_for(std::chrono::duration<double>(when.pause));
        const auto measured = measure_all(all, options);
        for (std::size_t n = 0; n < all.size(); ++n) medians[n].push_back(measured[n].median);
        reference.see(references.back());
        steady = static_cast<int>(
            std::count_if(references.begin(), references.end(), [&](double ms) { return !reference.disturbed(ms); }));
    }
    std::vector<RepeatedMeasurement> result;
    for (std::size_t n = 0; n < networks.size(); ++n)
        result.push_back(repeated_measurement(medians[n], references, reference));
    return result;
}

}  // namespace hwnas
