// SPDX-License-Identifier: MIT
// Family: what a search leaves: any complexity vector S gives an architecture with trained weights, and a budget gives
// the best one that keeps it. Owns the supernet, the hypernetwork, the latency model and the training data on the
// device.
#pragma once

#include <hwnas/family/best.hpp>
#include <hwnas/family/control.hpp>
#include <hwnas/family/front.hpp>
#include <hwnas/hypernet/hypernet.hpp>
#include <hwnas/supernet/supernet.hpp>

#include <memory>

namespace hwnas {

/// The accuracies (the task's metric) of one member before it is retrained; never mixed. The fourth, retrained, is
/// fit() from scratch.
struct Accuracies {
    double supernet = 0;      ///< gamma = softmax(alpha(S)), batch norms recalibrated with it
    double derived = 0;       ///< argmax, inherited weights and statistics
    double recalibrated = 0;  ///< argmax, inherited weights, statistics recomputed on training batches
};

/// What a search leaves: an architecture with trained weights for every S. Owns all it needs; movable, clone() copies.
template <class Net>
class BasicFamily {
public:
    /// Type of the weights: float or double.
    using T = typename Net::value_type;
    /// A family from its parts, as SingleLevelTrainer::family() makes it. latency_weight: the largest kappa the search
    /// drew, where its hypernetwork is conditioned on it.
    BasicFamily(Net supernet, BasicHyperNet<T> hypernet, std::optional<LatencyModel> latency,
                std::shared_ptr<const DeviceDataset> train, BasicTask<T> task, double latency_weight = 0)
        : supernet_(std::move(supernet)),
          hypernet_(std::move(hypernet)),
          latency_(std::move(latency)),
          train_(std::move(train)),
          task_(std::move(task)),
          largest_weight_(latency_weight) {}

    /// The rows of choices of its supernet.
    const Architecture& architecture() const { return supernet_.architecture(); }
    /// The supernet, whose weights all members inherit.
    const Net& supernet() const { return supernet_; }
    /// The hypernetwork, which gives the logits of every S.
    const BasicHyperNet<T>& hypernet() const { return hypernet_; }
    /// The latency model of the search; empty where it had none.
    const std::optional<LatencyModel>& latency() const { return latency_; }
    /// The training data on the device: what batch-norm statistics are recomputed on.
    const DeviceDataset& train_data() const { return *train_; }
    /// The loss and metric it was trained for; scores are this metric.
    const BasicTask<T>& task() const { return task_; }
    /// 1 where a larger metric is better, else -1.
    double sign() const { return task_.higher_is_better ? 1.0 : -1.0; }
    /// A copy with weights and scores of its own; the training data stay shared.
    BasicFamily clone() const {
        BasicFamily copy(supernet_.clone(), hypernet_.clone(), latency_, train_, task_, largest_weight_);
        *copy.scores_ = *scores_;
        return copy;
    }
    /// Whether the second axis is there: a latency weight from 0 to largest_latency_weight() beside S.
    bool conditioned_on_latency() const { return hypernet_.options().latency_weight; }
    /// The kappa of the search; of a family with the second axis the largest it drew.
    double largest_latency_weight() const { return largest_weight_; }

    /// The primitive with the largest logit, as a column number, in every row at S. latency_weight: kappa, from 0 to
    /// largest_latency_weight(), for a family with that axis only (else Error); not given: the middle of the range.
    std::vector<int> choices(const Complexity& s, std::optional<double> latency_weight = {}) const {
        return choices(std::vector<Condition>{condition(s, latency_weight)})[0];
    }
    /// The choices at many conditions in one pass, one list per condition.
    std::vector<std::vector<int>> choices(const std::vector<Condition>& conditions) const {
        const auto alpha = hypernet_.logits(conditions);
        const auto k = static_cast<std::size_t>(architecture().k()),
                   rows = static_cast<std::size_t>(architecture().rows());
        std::vector<std::vector<int>> result(conditions.size(), std::vector<int>(rows));
        const double* logits = alpha.data();
        for (auto& chosen : result)
            for (std::size_t row = 0; row < rows; ++row, logits += k)
                chosen[row] = static_cast<int>(std::max_element(logits, logits + k) - logits);
        return result;
    }
    /// The architecture at S: choices() by name.
    Genotype at(const Complexity& s, std::optional<double> latency_weight = {}) const {
        return Genotype::from_choices(architecture(), choices(s, latency_weight));
    }
    /// softmax(alpha(S)), row-major [rows, k]: the mixture whose argmax is choices().
    std::vector<double> mixture(const Complexity& s, std::optional<double> latency_weight = {}) const {
        const auto [complexity, weight] = condition(s, latency_weight);
        auto alpha = hypernet_.logits(complexity, weight);
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
    /// The discrete network of a genotype with weights and statistics inherited from the supernet; recalibrate() or
    /// fit() it before use. Throws Error for a genotype of another space.
    BasicNetwork<T> network(const Genotype& genotype) const
        requires requires(const Net& net) { net.space(); }
    {
        BasicNetwork<T> network(supernet_.space(), genotype, supernet_.device(), supernet_.seed());
        network.inherit(supernet_.state());
        return network;
    }

    /// The three accuracies at S on `data`; batch-norm statistics are recomputed on the training data.
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
    /// The three accuracies at S on host data, which are uploaded first.
    Accuracies accuracies(const Complexity& s, const Dataset& data) const {
        return accuracies(s, DeviceDataset::upload(data, supernet_.device()));
    }

    /// How well S controls the architecture: `points` S along the ray from uniform to each vertex, and `samples` random
    /// S, at one latency weight. Throws Error for fewer than 2 points.
    ControlReport control(int samples = 200, int points = 21, Seed seed = {},
                          std::optional<double> latency_weight = {}) const {
        return detail::control_report(architecture(), samples, points, seed, [&](const std::vector<Complexity>& all) {
            std::vector<Condition> conditions;
            for (const auto& s : all) conditions.push_back(condition(s, latency_weight));
            return choices(conditions);
        });
    }

    /// The architectures of `count` random S (and latency weights, where the family has that axis), one each, equal
    /// ones repeated: the random control of a search. With sizes and predicted latencies, not scored.
    std::vector<FamilyMember> sample(int count, Seed seed = {}) const
        requires requires(const Net& net) { net.space(); }
    {
        require(count >= 0, "family: a sample of {} members; 0 or more are expected", count);
        return members(random_conditions(count, seed), false);
    }
    /// The different architectures of a dense sweep, in its order: uniform S, rays to every vertex, random S; all at
    /// several latency weights where the family has that axis. With sizes and predicted latencies, not scored.
    std::vector<FamilyMember> sweep(const SweepOptions& options = {}) const
        requires requires(const Net& net) { net.space(); }
    {
        require(options.samples >= 0 && options.points >= 1,
                "family: a sweep of {} samples and {} points; at least 0 and 1", options.samples, options.points);
        const int k = architecture().k(), levels = conditioned_on_latency() ? 9 : 1;
        std::vector<Condition> points;
        for (int level = 0; level < levels; ++level) {
            const double weight = levels > 1 ? level / static_cast<double>(levels - 1) : 0.5;
            points.push_back({uniform_complexity(k), weight});
            for (int m = 0; m < k; ++m)
                for (int i = 1; i <= options.points; ++i)
                    points.push_back({on_ray(k, m, static_cast<double>(i) / options.points), weight});
        }
        const auto more = random_conditions(options.samples, options.seed);
        points.insert(points.end(), more.begin(), more.end());
        return members(points, true);
    }

    /// Sets the member's accuracy on `data`: its network inherits weights, is recalibrated and evaluated, or its score
    /// is taken from scores() where it is known. `tell` gets `progress`, completed.
    void score(FamilyMember& member, const Dataset& data, const RecalibrationOptions& recalibration = {},
               ScoringProgress progress = {}, const std::function<void(const ScoringProgress&)>& tell = {}) const
        requires requires(const Net& net) { net.space(); }
    {
        const auto key = key_of(data, recalibration);
        member.accuracy = scores_->find(key, member.choices);
        progress.cached = member.accuracy.has_value();
        if (!progress.cached) {
            const auto trial = network(member.genotype);
            recalibrate(trial, *train_, recalibration);
            member.accuracy = evaluate(trial, on_device_, task_).metric;
            scores_->insert(key, member.choices, *member.accuracy);
        }
        progress.member = &member;
        if (tell) tell(progress);
    }
    /// All scores known so far; may be saved and filled again, so that none is computed twice.
    ScoreCache& scores() const { return *scores_; }

    /// The members of the sweep that none beats in accuracy, latency and parameters at once, by latency, rising: of
    /// `candidates` that are scored on `validation`, half of them spread over all of the sweep and half where the front
    /// is expected, and of those whose scores() are known already. Throws Error for fewer than one candidate.
    std::vector<FamilyMember> front(const Dataset& validation, const BestOptions& options = {.candidates = 48}) const
        requires requires(const Net& net) { net.space(); }
    {
        require(options.candidates >= 1, "front: {} candidates; at least 1 is needed", options.candidates);
        return detail::FrontSearch<BasicFamily>(*this, sweep(options.sweep), validation, options.recalibration,
                                                options.candidates, options.progress)
            .run();
    }

    /// The most accurate network of the family within the budget: sweeps S, predicts, recalibrates and scores
    /// promising ones on `validation`, and measures the best until one keeps the budget. With a latency table of
    /// another device nothing is measured and predictions keep the budget with a margin. Throws InfeasibleBudget.
    BasicChoice<T> best(const Budget& budget, const Dataset& validation, const BestOptions& options = {}) const
        requires requires(const Net& net) { net.space(); }
    {
        return detail::BestSearch<BasicFamily>(*this, budget, validation, options).run();
    }

private:
    Condition condition(const Complexity& s, std::optional<double> latency_weight) const {
        if (!latency_weight) return {s, 0.5};
        require(conditioned_on_latency(),
                "family: it was searched at one latency weight (HyperNetOptions::latency_weight searches for all)");
        require(*latency_weight >= 0 && *latency_weight <= largest_weight_,
                "family: latency weight {} is outside 0 to {}, what the search drew", *latency_weight, largest_weight_);
        return {s, *latency_weight / largest_weight_};
    }
    std::vector<Condition> random_conditions(int count, Seed seed) const {
        std::vector<Condition> points;
        const auto s = seed.stream("sweep"), weights = seed.stream("sweep weights");
        for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(count); ++i)
            points.push_back({random_complexity(architecture().k(), s, i),
                              conditioned_on_latency() ? random::uniform(random::words_at(weights, i, 0).w[0]) : 0.5});
        return points;
    }
    std::vector<FamilyMember> members(const std::vector<Condition>& points, bool distinct) const {
        auto chosen = choices(points);
        std::set<std::vector<int>> seen;
        std::vector<FamilyMember> result;
        for (std::size_t i = 0; i < points.size(); ++i) {
            if (distinct && !seen.insert(chosen[i]).second) continue;
            auto genotype = Genotype::from_choices(architecture(), chosen[i]);
            const auto size = BasicNetwork<T>::network_size(supernet_.space(), genotype);
            const double predicted = latency_ ? latency_->predict(genotype) : 0.0;
            result.push_back({.complexity = points[i].s,
                              .latency_weight = conditioned_on_latency()
                                                    ? std::optional(points[i].weight * largest_weight_)
                                                    : std::nullopt,
                              .choices = std::move(chosen[i]),
                              .genotype = std::move(genotype),
                              .size = size,
                              .predicted_ms = predicted});
        }
        return result;
    }
    /// The key of the data that were scored last, which then stay on the device.
    std::uint64_t key_of(const Dataset& data, const RecalibrationOptions& recalibration) const {
        const auto key = ScoreCache::key(data, recalibration);
        if (key != on_device_key_ || on_device_.count == 0)
            on_device_ = DeviceDataset::upload(data, supernet_.device()), on_device_key_ = key;
        return key;
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

    Net supernet_;
    BasicHyperNet<T> hypernet_;
    std::optional<LatencyModel> latency_;
    std::shared_ptr<const DeviceDataset> train_;
    BasicTask<T> task_;
    double largest_weight_ = 0;
    std::shared_ptr<ScoreCache> scores_ = std::make_shared<ScoreCache>();
    mutable DeviceDataset on_device_;  ///< data of the last score
    mutable std::uint64_t on_device_key_ = 0;
};

/// The family of a search in float.
using Family = BasicFamily<SuperNet>;

}  // namespace hwnas
