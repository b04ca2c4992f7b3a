// SPDX-License-Identifier: MIT
// The search for the most accurate network within a budget: sweep, predict, score the promising, measure the winner.
#pragma once

#include <hwnas/core/text.hpp>
#include <hwnas/family/budget.hpp>
#include <hwnas/family/repeated_measurement.hpp>
#include <hwnas/family/scores.hpp>
#include <hwnas/family/selection.hpp>
#include <hwnas/latency/model.hpp>

namespace hwnas {

/// Which architectures a sweep of S looks at.
struct SweepOptions {
    int samples = 4'000;  ///< random S (and latency weights) beside uniform S and the rays to every vertex
    int points = 40;      ///< points of S on every ray from uniform to a vertex
    Seed seed = {};       ///< the random S are drawn from it
};

/// Whether best() measures on this machine; automatic: where the latency table was taken on its processor, backend and
/// kernels.
enum class Measuring { automatic, always, never };

/// How Family::best() and Family::front() look for networks.
struct BestOptions {
    SweepOptions sweep = {};  ///< which architectures are considered
    int candidates = 24;  ///< networks scored in a round; there are more rounds only where measuring refuses them all
    RecalibrationOptions recalibration = {};     ///< on what statistics are recomputed before every score
    Measuring measuring = Measuring::automatic;  ///< whether the winner is timed on this machine
    /// Of a table of another device: predicted (1 + margin) has to keep the budget. Not set: what the error that 95 %
    /// of its predictions were checked to stay within (LatencyTable::checked) asks for, but at least
    /// least_latency_margin; default_latency_margin where it was not checked.
    std::optional<double> margin = {};
    SessionOptions sessions = {};               ///< of measuring the winner; see measure_sessions()
    MeasureOptions measure = {.repeats = 200};  ///< of one session; batch and threads are those of the table
    /// Called after every score, on the calling thread.
    std::function<void(const ScoringProgress&)> progress = {};
};
/// BestOptions::margin for a table of another device that was never checked: 10 %.
inline constexpr double default_latency_margin = 0.10;
/// Least margin of a table that was checked: 6 %. A check sees one session, and the level of a device moves from one
/// session to the next: by 4 % between a table and the same networks half an hour later (docs/latency.md).
inline constexpr double least_latency_margin = 0.06;

/// A network that keeps a budget, with what is known of it.
template <class T>
struct BasicChoice {
    Complexity complexity;                 ///< S, which gave it
    std::optional<double> latency_weight;  ///< kappa, where the hypernetwork is conditioned on it
    Genotype genotype;                     ///< which primitive stands on every edge
    BasicNetwork<T> network;               ///< inherited weights, recalibrated; ready for fit(), evaluate(), export
    double accuracy = 0;      ///< recalibrated, on the data best() was given; being the best of many it flatters
    double predicted_ms = 0;  ///< by the latency table; 0 without one
    std::optional<double> measured_ms;  ///< median of several sessions on this device
    std::optional<double>
        measured_limit_ms;  ///< one more session's median stays below this, 99 %; what keeps the budget
    int sessions = 0, disturbed_sessions = 0;  ///< of measuring; how many of them do not count, the machine being slow
    LatencyBasis basis = LatencyBasis::none;   ///< what kept the latency budget
    double margin = 0;                         ///< kept between prediction and budget where basis is predicted
    std::int64_t parameters = 0, macs = 0;     ///< learnable parameters; multiply-accumulates for one image
    int considered = 0, scored = 0;  ///< different architectures of the sweep, and how many were scored for this choice
};
/// The chosen network in float.
using Choice = BasicChoice<float>;

namespace detail {

/// The device a table's networks can be measured on here, or none.
inline std::optional<Device> measuring_device(const LatencyTable& table, const Device& family, Measuring measuring) {
    if (measuring == Measuring::never) return {};
    const bool on_cpu = table.backend == "cpu";
    if (!on_cpu && family.name().substr(0, 4) != table.backend.substr(0, 4)) {
        require(measuring != Measuring::always,
                "best: the latency table is of {}, this family is on {}: it cannot be measured", table.backend,
                family.name());
        return {};
    }
    const Device device = on_cpu && !family.backend().cpu() ? cpu::device({.threads = table.threads}) : family;
    if (measuring == Measuring::always) return device;
    const bool same_kernels = !on_cpu || cpu::isa_name(device.backend().cpu()->isa) == table.isa;
    return same_kernels && processor_name(device) == table.device ? std::optional(device) : std::nullopt;
}

/// What a prediction must be raised by so that a measurement it falls short of by this share of it stays below.
inline double margin_of(double error) {
    require(error < 0.9, "best: the latency table was checked, and errors up to {:.0f} % found: measure another",
            100 * error);
    return error / (1 - error);
}

template <class Family>
class BestSearch {
public:
    using T = typename Family::T;
    BestSearch(const Family& family, const Budget& budget, const Dataset& validation, const BestOptions& options)
        : family_(family), budget_(budget), validation_(validation), options_(options) {
        require(options.candidates >= 1, "best: {} candidates; at least 1 is needed", options.candidates);
        require(!options.margin || (*options.margin >= 0 && *options.margin < 10),
                "best: a margin of {}; a share from 0 on is expected, 0.1 is 10 %", options.margin.value_or(0));
        require(!budget.timed() || family.latency(),
                "best: a latency budget needs a family searched with a LatencyModel");
        limits_ = size_limits(budget, family.architecture());
        if (family.latency())
            device_ = measuring_device(family.latency()->table(), family.supernet().device(), options.measuring);
        if (family.latency() && !device_) {
            const auto& checked = family.latency()->table().checked;
            margin_ = options.margin.value_or(checked ? std::max(margin_of(checked->error_p95), least_latency_margin)
                                                      : default_latency_margin);
        }
    }

    BasicChoice<T> run() {
        all_ = family_.sweep(options_.sweep);
        if (device_ && budget_.timed()) probe();
        std::vector<std::size_t> open = within(correction_);
        if (open.empty() && correction_ > 1 && !within(1).empty()) {  // a slow moment refuses nothing
            probe();
            open = within(correction_);
        }
        if (open.empty()) open = smallest();
        while (!open.empty()) {
            auto batch = score(open);
            std::sort(batch.begin(), batch.end(), [&](std::size_t a, std::size_t b) {
                const double x = family_.sign() * *all_[a].accuracy, y = family_.sign() * *all_[b].accuracy;
                if (x != y) return x > y;
                return needs(all_[a]) != needs(all_[b]) ? needs(all_[a]) < needs(all_[b]) : a < b;
            });
            for (std::size_t i = 0; i < batch.size(); ++i) {
                if (device_ && !measured_.contains(batch[i])) measure(next(batch, i));
                if (keeps(batch[i])) return choice(batch[i]);
            }
            // Measured above the budget, all of them: what predictions fall short by is known better now.
            std::vector<double> ratios;
            for (const auto number : batch) ratios.push_back(measured_.at(number).limit / all_[number].predicted_ms);
            std::sort(ratios.begin(), ratios.end());
            correction_ = std::max(correction_, ratios[ratios.size() / 2]);
            open = within(correction_);
            if (open.empty()) open = smallest();
        }
        throw infeasible();
    }

private:
    bool keeps_sizes(const FamilyMember& m) const {
        return std::all_of(limits_.begin(), limits_.end(),
                           [&](const Limit& limit) { return limit.value(m) <= limit.most; });
    }
    /// Milliseconds a budget must allow, as far as is known without measuring.
    double needs(const FamilyMember& m) const { return m.predicted_ms * correction_ * (1 + margin_); }
    /// Those that should keep every limit and were not measured yet.
    std::vector<std::size_t> within(double correction) const {
        std::vector<std::size_t> numbers;
        for (std::size_t i = 0; i < all_.size(); ++i)
            if (keeps_sizes(all_[i]) && !measured_.contains(i) &&
                (!budget_.timed() || all_[i].predicted_ms * correction * (1 + margin_) <= budget_.latency_ms))
                numbers.push_back(i);
        return numbers;
    }
    /// Where no prediction fits, the few that are predicted to be the fastest are measured before a budget is refused.
    std::vector<std::size_t> smallest() {
        std::vector<std::size_t> numbers;
        if (!device_ || !budget_.timed()) return numbers;
        for (std::size_t i = 0; i < all_.size(); ++i)
            if (keeps_sizes(all_[i])) numbers.push_back(i);
        std::sort(numbers.begin(), numbers.end(), [&](std::size_t a, std::size_t b) {
            return all_[a].predicted_ms != all_[b].predicted_ms ? all_[a].predicted_ms < all_[b].predicted_ms : a < b;
        });
        numbers.resize(std::min<std::size_t>(numbers.size(), 3));
        std::erase_if(numbers, [&](std::size_t i) { return measured_.contains(i); });
        if (!numbers.empty()) measure(numbers);
        std::erase_if(numbers, [&](std::size_t i) { return measured_.at(i).limit > budget_.latency_ms; });
        return numbers;
    }
    /// Measures a few networks near the budget: by how much predictions are off there and now.
    void probe() {
        std::vector<std::size_t> near;
        for (std::size_t i = 0; i < all_.size(); ++i)
            if (keeps_sizes(all_[i])) near.push_back(i);
        std::sort(near.begin(), near.end(), [&](std::size_t a, std::size_t b) {
            const double x = std::abs(all_[a].predicted_ms - budget_.latency_ms),
                         y = std::abs(all_[b].predicted_ms - budget_.latency_ms);
            return x != y ? x < y : a < b;
        });
        near.resize(std::min<std::size_t>(near.size(), 3));
        if (near.empty()) return;
        const auto measured = sessions(near);
        std::vector<double> ratios;
        for (std::size_t i = 0; i < near.size(); ++i) ratios.push_back(measured[i].median / all_[near[i]].predicted_ms);
        std::sort(ratios.begin(), ratios.end());
        correction_ = std::clamp(ratios[ratios.size() / 2], 0.25, 4.0);
    }
    /// How much of its limits a network uses, 1 where it reaches one.
    std::vector<double> fill(const std::vector<std::size_t>& numbers) const {
        double slowest = 0, largest = 0;
        for (const auto i : numbers) {
            slowest = std::max(slowest, all_[i].predicted_ms);
            largest = std::max(largest, static_cast<double>(all_[i].size.macs));
        }
        std::vector<double> result;
        for (const auto i : numbers) {
            const auto& m = all_[i];
            double most = 0;
            if (budget_.timed()) most = needs(m) / budget_.latency_ms;
            for (const auto& limit : limits_)
                if (limit.most > 0)
                    most = std::max(most, static_cast<double>(limit.value(m)) / static_cast<double>(limit.most));
            if (!budget_.timed() && limits_.empty())
                most = slowest > 0 ? m.predicted_ms / slowest : static_cast<double>(m.size.macs) / largest;
            result.push_back(most);
        }
        return result;
    }
    /// Scores up to `candidates` of the open ones and says which.
    std::vector<std::size_t> score(const std::vector<std::size_t>& open) {
        std::vector<const std::vector<int>*> choices;
        for (const auto i : open) choices.push_back(&all_[i].choices);
        const auto wanted = std::min(open.size(), static_cast<std::size_t>(options_.candidates));
        std::vector<std::size_t> batch;
        const auto add = [&](std::size_t i) {
            family_.score(all_[i], validation_, options_.recalibration,
                          {static_cast<int>(batch.size()) + 1, static_cast<int>(wanted), nullptr, false},
                          options_.progress);
            batch.push_back(i), ++scored_;
        };
        for (const auto i : spread(choices, fill(open), (wanted + 1) / 2)) add(open[i]);
        while (batch.size() < wanted) {
            std::vector<std::vector<int>> known;
            std::vector<double> scores;
            for (const auto i : batch)
                known.push_back(all_[i].choices), scores.push_back(family_.sign() * *all_[i].accuracy);
            const ScoreRegression expected(std::move(known), scores);
            std::vector<std::pair<double, std::size_t>> rest;
            for (const auto i : open)
                if (std::find(batch.begin(), batch.end(), i) == batch.end())
                    rest.emplace_back(-expected(all_[i].choices), i);
            std::sort(rest.begin(), rest.end());
            const auto next = std::min({rest.size(), wanted - batch.size(), std::max<std::size_t>(1, wanted / 6)});
            for (std::size_t i = 0; i < next; ++i) add(rest[i].second);
        }
        return batch;
    }
    bool keeps(std::size_t number) const {
        if (!device_ || !budget_.timed()) return true;  // its prediction does, with the margin
        return measured_.at(number).limit <= budget_.latency_ms;
    }
    /// Those to measure together from place i of a batch on: where a limit may refuse some, several share the pauses.
    std::vector<std::size_t> next(const std::vector<std::size_t>& batch, std::size_t i) const {
        std::vector<std::size_t> numbers;
        for (const std::size_t most = budget_.timed() ? 8 : 1; i < batch.size() && numbers.size() < most; ++i)
            if (!measured_.contains(batch[i])) numbers.push_back(batch[i]);
        return numbers;
    }
    MeasureOptions measure_options() const {
        MeasureOptions options = options_.measure;
        options.batch = family_.latency()->table().batch, options.threads = family_.latency()->table().threads;
        return options;
    }
    Network timed_network(std::size_t number) const {
        return {family_.supernet().space(), all_[number].genotype, *device_, family_.supernet().seed()};
    }
    std::vector<RepeatedMeasurement> sessions(const std::vector<std::size_t>& numbers) {
        if (!reference_) reference_.emplace(timed_network(0));
        std::vector<Network> networks;
        for (const auto i : numbers) networks.push_back(timed_network(i));
        std::vector<const Network*> pointers;
        for (const auto& network : networks) pointers.push_back(&network);
        return measure_sessions(pointers, *reference_, options_.sessions, measure_options());
    }
    void measure(const std::vector<std::size_t>& numbers) {
        auto measured = sessions(numbers);
        for (std::size_t i = 0; i < numbers.size(); ++i) measured_[numbers[i]] = std::move(measured[i]);
    }
    BasicChoice<T> choice(std::size_t number) const {
        const auto& m = all_[number];
        auto network = family_.network(m.genotype);
        recalibrate(network, family_.train_data(), options_.recalibration);
        const auto measured = measured_.find(number);
        const bool known = measured != measured_.end();
        return {.complexity = m.complexity,
                .latency_weight = m.latency_weight,
                .genotype = m.genotype,
                .network = std::move(network),
                .accuracy = *m.accuracy,
                .predicted_ms = m.predicted_ms,
                .measured_ms = known ? std::optional(measured->second.median) : std::nullopt,
                .measured_limit_ms = known ? std::optional(measured->second.limit) : std::nullopt,
                .sessions = known ? static_cast<int>(measured->second.sessions.size()) : 0,
                .disturbed_sessions = known ? measured->second.disturbed : 0,
                .basis = known               ? LatencyBasis::measured
                         : family_.latency() ? LatencyBasis::predicted
                                             : LatencyBasis::none,
                .margin = margin_,
                .parameters = m.size.parameters,
                .macs = m.size.macs,
                .considered = static_cast<int>(all_.size()),
                .scored = scored_};
    }
    /// Names the network that keeps the limits before the first that none keeps, and comes nearest to that one.
    InfeasibleBudget infeasible() const {
        const auto latency = [&](std::size_t i) {
            const auto measured = measured_.find(i);
            return measured != measured_.end() ? measured->second.limit : needs(all_[i]);
        };
        std::vector<std::size_t> left(all_.size());
        std::iota(left.begin(), left.end(), std::size_t{0});
        std::function<double(std::size_t)> value = latency;
        for (const auto& limit : limits_) {
            std::vector<std::size_t> next;
            for (const auto i : left)
                if (limit.value(all_[i]) <= limit.most) next.push_back(i);
            if (next.empty()) {
                value = [&](std::size_t i) { return static_cast<double>(limit.value(all_[i])); };
                break;
            }
            left = std::move(next);
        }
        // What was measured is known; a mere prediction does not stand before it.
        const bool measured =
            std::any_of(left.begin(), left.end(), [&](std::size_t i) { return measured_.contains(i); });
        if (measured) std::erase_if(left, [&](std::size_t i) { return !measured_.contains(i); });
        const std::size_t nearest = *std::min_element(
            left.begin(), left.end(), [&](std::size_t a, std::size_t b) { return value(a) < value(b); });
        const auto& m = all_[nearest];
        std::vector<std::string> asked, needed;  // what is not limited is no part of the answer
        if (budget_.timed()) {
            asked.push_back(fmt::format("{:.4g} ms", budget_.latency_ms));
            needed.push_back(fmt::format("{:.4g} ms ({})", latency(nearest), measured ? "measured" : "predicted"));
        }
        for (const auto& limit : limits_) {
            asked.push_back(fmt::format("{} {}", with_commas(limit.most), limit.unit));
            needed.push_back(fmt::format("{} {}", with_commas(limit.value(m)), limit.unit));
        }
        return {fmt::format("best: no network of the family keeps {}; the nearest needs {}", fmt::join(asked, ", "),
                            fmt::join(needed, ", ")),
                m.genotype, latency(nearest),
                measured            ? LatencyBasis::measured
                : family_.latency() ? LatencyBasis::predicted
                                    : LatencyBasis::none,
                m.size};
    }

    const Family& family_;
    const Budget& budget_;
    const Dataset& validation_;
    const BestOptions& options_;
    std::vector<Limit> limits_;
    std::optional<Device> device_;
    double margin_ = 0, correction_ = 1;
    std::vector<FamilyMember> all_;
    std::map<std::size_t, RepeatedMeasurement> measured_;
    std::optional<SpeedReference> reference_;
    int scored_ = 0;
};

}  // namespace detail

}  // namespace hwnas
