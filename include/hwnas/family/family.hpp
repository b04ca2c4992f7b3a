// SPDX-License-Identifier: MIT
// Family: what a search leaves: any complexity vector S gives an architecture with trained weights, and a budget gives
// the best one that keeps it. Owns the supernet, the hypernetwork, the latency model and the training data on the
// device.
#pragma once

#include <hwnas/family/budget.hpp>
#include <hwnas/family/statistics.hpp>
#include <hwnas/hypernet/hypernet.hpp>
#include <hwnas/latency/model.hpp>
#include <hwnas/latency/profiler.hpp>
#include <hwnas/supernet/supernet.hpp>
#include <hwnas/train/evaluate.hpp>

#include <map>
#include <memory>
#include <optional>
#include <set>

namespace hwnas {

/// The accuracies of one member before it is retrained; never mixed. (The fourth, retrained, is fit() from scratch.)
struct Accuracies {
    double supernet = 0;      ///< gamma = softmax(alpha(S)), batch norms recalibrated with it
    double derived = 0;       ///< argmax, inherited weights and statistics
    double recalibrated = 0;  ///< argmax, inherited weights, statistics recomputed on training batches
};

/// How well S controls the architecture.
struct ControlReport {
    struct Ray {
        std::string primitive;
        std::vector<int> counts;  ///< edges choosing it, from uniform to its vertex
        double spearman = 0;      ///< of position and count
    };
    std::vector<Ray> rays;
    int samples = 0, distinct = 0;                         ///< random S, and how many architectures they give
    std::vector<std::pair<std::string, double>> spearman;  ///< of S_m and count_m over the random S
};

/// A network that keeps a budget.
template <class T>
struct BasicChoice {
    Complexity complexity;
    Genotype genotype;
    BasicNetwork<T> network;  ///< inherited weights, recalibrated; ready for fit(), evaluate(), export
    double accuracy = 0;      ///< recalibrated, on the data best() was given
    double predicted_ms = 0, measured_ms = 0;
    std::int64_t parameters = 0, macs = 0;
};
using Choice = BasicChoice<float>;

template <class Net>
class BasicFamily {
public:
    using T = typename Net::value_type;
    BasicFamily(Net supernet, BasicHyperNet<T> hypernet, std::optional<LatencyModel> latency,
                std::shared_ptr<const DeviceDataset> train, BasicTask<T> task)
        : supernet_(std::move(supernet)),
          hypernet_(std::move(hypernet)),
          latency_(std::move(latency)),
          train_(std::move(train)),
          task_(std::move(task)) {}

    const Architecture& architecture() const { return supernet_.architecture(); }
    const Net& supernet() const { return supernet_; }
    const BasicHyperNet<T>& hypernet() const { return hypernet_; }
    const std::optional<LatencyModel>& latency() const { return latency_; }
    BasicFamily clone() const { return {supernet_.clone(), hypernet_.clone(), latency_, train_, task_}; }

    /// The number of the primitive with the largest logit in every row.
    std::vector<int> choices(const Complexity& s) const {
        const auto alpha = hypernet_.logits(s);
        const auto k = static_cast<std::size_t>(architecture().k());
        std::vector<int> result;
        for (std::size_t row = 0; row * k < alpha.size(); ++row)
            result.push_back(
                static_cast<int>(std::max_element(alpha.begin() + static_cast<std::ptrdiff_t>(row * k),
                                                  alpha.begin() + static_cast<std::ptrdiff_t>((row + 1) * k)) -
                                 alpha.begin() - static_cast<std::ptrdiff_t>(row * k)));
        return result;
    }
    /// The architecture at S.
    Genotype at(const Complexity& s) const { return Genotype::from_choices(architecture(), choices(s)); }
    /// softmax(alpha(S)), row-major [rows, k].
    std::vector<double> mixture(const Complexity& s) const {
        auto alpha = hypernet_.logits(s);
        const auto k = static_cast<std::size_t>(architecture().k());
        for (std::size_t row = 0; row < alpha.size(); row += k) {
            const double top = *std::max_element(alpha.begin() + static_cast<std::ptrdiff_t>(row),
                                                 alpha.begin() + static_cast<std::ptrdiff_t>(row + k));
            double sum = 0;
            for (std::size_t m = row; m < row + k; ++m) sum += alpha[m] = std::exp(alpha[m] - top);
            for (std::size_t m = row; m < row + k; ++m) alpha[m] /= sum;
        }
        return alpha;
    }
    /// The discrete network of a genotype with inherited weights and statistics.
    BasicNetwork<T> network(const Genotype& genotype) const
        requires requires(const Net& net) { net.space(); }
    {
        BasicNetwork<T> network(supernet_.space(), genotype, supernet_.device(), supernet_.seed());
        network.inherit(supernet_.state());
        return network;
    }

    /// The three accuracies at S on `data` (the task's metric).
    Accuracies accuracies(const Complexity& s, const DeviceDataset& data) const {
        const auto& a = architecture();
        const Device& device = supernet_.device();
        Accuracies result;
        {
            const Net copy = supernet_.clone();
            const auto mixture_now = Relaxation<T>::constant(mixture(s), a.rows(), a.k(), device);
            result.supernet = measured(copy, mixture_now, data, true);
        }
        const auto chosen = Relaxation<T>::one_hot(choices(s), a.k(), device);
        if constexpr (requires { supernet_.space(); }) {
            const auto derived = network(at(s));
            result.derived = evaluate(derived, data, task_).metric;
            recalibrate(derived, *train_);
            result.recalibrated = evaluate(derived, data, task_).metric;
        } else {
            const Net copy = supernet_.clone();
            result.derived = measured(copy, chosen, data, false);
            result.recalibrated = measured(copy, chosen, data, true);
        }
        return result;
    }
    Accuracies accuracies(const Complexity& s, const Dataset& data) const {
        return accuracies(s, DeviceDataset::upload(data, supernet_.device()));
    }

    /// Counts along every ray from uniform to a vertex, and over random S.
    ControlReport control(int samples = 200, int points = 21, Seed seed = {}) const {
        require(samples >= 0 && points >= 2, "control: {} samples, {} points; at least 0 and 2", samples, points);
        const auto& a = architecture();
        ControlReport report;
        for (int m = 0; m < a.k(); ++m) {
            ControlReport::Ray ray{a.primitives[static_cast<std::size_t>(m)], {}, 0};
            std::vector<double> position, count;
            for (int i = 0; i < points; ++i) {
                const auto c = choices(on_ray(a.k(), m, static_cast<double>(i) / (points - 1)));
                ray.counts.push_back(static_cast<int>(std::count(c.begin(), c.end(), m)));
                position.push_back(i), count.push_back(ray.counts.back());
            }
            ray.spearman = spearman(position, count);
            report.rays.push_back(std::move(ray));
        }
        std::set<std::vector<int>> distinct;
        std::vector<std::vector<double>> s_of(static_cast<std::size_t>(a.k())),
            count_of(static_cast<std::size_t>(a.k()));
        for (int i = 0; i < samples; ++i) {
            const auto s = random_complexity(a.k(), seed.stream("control"), static_cast<std::uint64_t>(i));
            const auto c = choices(s);
            distinct.insert(c);
            for (int m = 0; m < a.k(); ++m) {
                s_of[static_cast<std::size_t>(m)].push_back(s[static_cast<std::size_t>(m)]);
                count_of[static_cast<std::size_t>(m)].push_back(static_cast<double>(std::count(c.begin(), c.end(), m)));
            }
        }
        report.samples = samples;
        report.distinct = static_cast<int>(distinct.size());
        for (int m = 0; m < a.k(); ++m)
            report.spearman.emplace_back(
                a.primitives[static_cast<std::size_t>(m)],
                spearman(s_of[static_cast<std::size_t>(m)], count_of[static_cast<std::size_t>(m)]));
        return report;
    }

    /// The most accurate network of the family within the budget: sweeps S, predicts, recalibrates and scores the most
    /// promising `candidates` on `validation`, measures the best until one keeps the budget. Throws InfeasibleBudget.
    BasicChoice<T> best(const Budget& budget, const Dataset& validation, int candidates = 12) const
        requires requires(const Net& net) { net.space(); }
    {
        const bool timed = budget.latency_ms < std::numeric_limits<double>::infinity();
        require(candidates >= 1, "best: {} candidates", candidates);
        require(!timed || latency_, "best: a latency budget needs a family searched with a LatencyModel");
        std::vector<Candidate> all;
        std::set<std::vector<int>> seen;
        for (const auto& s : sweep()) {
            const auto c = choices(s);
            if (!seen.insert(c).second) continue;
            Candidate candidate{s, Genotype::from_choices(architecture(), c), {}, 0, -HUGE_VAL};
            candidate.size = BasicNetwork<T>::network_size(supernet_.space(), candidate.genotype);
            candidate.predicted = latency_ ? latency_->predict(candidate.genotype) : 0;
            all.push_back(std::move(candidate));
        }
        const auto larger = [](const Candidate& a, const Candidate& b) {
            return a.predicted != b.predicted ? a.predicted > b.predicted : a.size.macs > b.size.macs;
        };
        std::sort(all.begin(), all.end(), larger);
        const auto keeps_size = [&](const Candidate& c) {
            return c.size.parameters <= budget.parameters && c.size.macs <= budget.macs;
        };
        const auto fits = [&](const Candidate& c) { return keeps_size(c) && c.predicted <= budget.latency_ms; };
        std::vector<Candidate> open;
        for (const auto& candidate : all)
            if (fits(candidate)) open.push_back(candidate);
        const auto data = DeviceDataset::upload(validation, supernet_.device());
        std::map<std::vector<int>, double> measured_ms;
        while (!open.empty()) {
            // Larger networks first: within a family they are the more accurate ones.
            const auto count = std::min<std::size_t>(open.size(), static_cast<std::size_t>(candidates));
            std::vector<Candidate> batch(open.begin(), open.begin() + static_cast<std::ptrdiff_t>(count));
            open.erase(open.begin(), open.begin() + static_cast<std::ptrdiff_t>(count));
            for (auto& candidate : batch) {
                const auto trial = network(candidate.genotype);
                recalibrate(trial, *train_);
                const double metric = evaluate(trial, data, task_).metric;
                candidate.score = task_.higher_is_better ? metric : -metric;
            }
            std::sort(batch.begin(), batch.end(), [&](const Candidate& a, const Candidate& b) {
                return a.score != b.score ? a.score > b.score : larger(a, b);
            });
            for (const auto& candidate : batch) {
                auto winner = network(candidate.genotype);
                recalibrate(winner, *train_);
                const double milliseconds =
                    latency_ ? measure(winner, {.batch = latency_->table().batch, .threads = latency_->table().threads})
                                   .median
                             : 0.0;
                measured_ms[candidate.genotype.choices(architecture())] = milliseconds;
                if (milliseconds > budget.latency_ms) continue;
                return {candidate.s,
                        candidate.genotype,
                        std::move(winner),
                        task_.higher_is_better ? candidate.score : -candidate.score,
                        candidate.predicted,
                        milliseconds,
                        candidate.size.parameters,
                        candidate.size.macs};
            }
        }
        throw infeasible(budget, all, keeps_size, measured_ms);
    }

private:
    struct Candidate {
        Complexity s;
        Genotype genotype;
        NetworkSize size;
        double predicted = 0, score = -HUGE_VAL;
    };
    /// Says what cannot be kept, with the network that comes nearest to the limit in the way.
    template <class KeepsSize>
    InfeasibleBudget infeasible(const Budget& budget, const std::vector<Candidate>& all, const KeepsSize& keeps_size,
                                const std::map<std::vector<int>, double>& measured_ms) const {
        const auto keeps_parameters = [&](const Candidate& c) { return c.size.parameters <= budget.parameters; };
        const bool size_fits = std::any_of(all.begin(), all.end(), keeps_size),
                   parameters_fit = std::any_of(all.begin(), all.end(), keeps_parameters);
        // Among those that keep the limits before it, the least by the first limit that none keeps.
        const auto key = [&](const Candidate& c) {
            if (!parameters_fit) return static_cast<double>(c.size.parameters);
            if (!size_fits) return keeps_parameters(c) ? static_cast<double>(c.size.macs) : HUGE_VAL;
            const auto measured = measured_ms.find(c.genotype.choices(architecture()));
            return !keeps_size(c) ? HUGE_VAL : measured != measured_ms.end() ? measured->second : c.predicted;
        };
        const Candidate& nearest = *std::min_element(
            all.begin(), all.end(), [&](const Candidate& a, const Candidate& b) { return key(a) < key(b); });
        const auto measured = measured_ms.find(nearest.genotype.choices(architecture()));
        const double milliseconds = measured != measured_ms.end() ? measured->second : nearest.predicted;
        std::vector<std::string> asked;
        if (budget.latency_ms < Budget{}.latency_ms) asked.push_back(fmt::format("{:.4g} ms", budget.latency_ms));
        if (budget.parameters != Budget{}.parameters) asked.push_back(fmt::format("{} parameters", budget.parameters));
        if (budget.macs != Budget{}.macs) asked.push_back(fmt::format("{} MACs", budget.macs));
        return {fmt::format("best: no network of the family keeps {}; the nearest has {}{} parameters, {} MACs",
                            fmt::join(asked, ", "), latency_ ? fmt::format("{:.4g} ms, ", milliseconds) : "",
                            nearest.size.parameters, nearest.size.macs),
                nearest.genotype, milliseconds, nearest.size.parameters, nearest.size.macs};
    }
    double measured(const Net& net, const Relaxation<T>& relaxation, const DeviceDataset& data,
                    bool recalibrated) const {
        if (recalibrated)
            recalibrate_forward<T>(net.device(), *train_, net.momentum(),
                                   [&](const Variable<T>& x) { return net.forward(x, relaxation, Phase::train); });
        return evaluate_forward<T>(net.device(), data, task_,
                                   [&](const Variable<T>& x) { return net.forward(x, relaxation, Phase::eval); })
            .metric;
    }
    /// Rays to every vertex and random points: dense where it is cheap.
    std::vector<Complexity> sweep() const {
        const int k = architecture().k();
        std::vector<Complexity> points{uniform_complexity(k)};
        for (int m = 0; m < k; ++m)
            for (int i = 1; i <= 40; ++i) points.push_back(on_ray(k, m, i / 40.0));
        for (std::uint64_t i = 0; i < 400; ++i) points.push_back(random_complexity(k, Seed{}.stream("sweep"), i));
        return points;
    }

    Net supernet_;
    BasicHyperNet<T> hypernet_;
    std::optional<LatencyModel> latency_;
    std::shared_ptr<const DeviceDataset> train_;
    BasicTask<T> task_;
};

using Family = BasicFamily<SuperNet>;

}  // namespace hwnas
