// SPDX-License-Identifier: MIT
// The search for the front of a family: the networks that no other beats in accuracy, latency and parameters at once,
// found without scoring all.
#pragma once

#include <hwnas/family/member.hpp>
#include <hwnas/family/scores.hpp>
#include <hwnas/family/selection.hpp>

namespace hwnas::detail {

/// Half of the scores go to networks unlike each other, the others to those that a regression on all known scores
/// expects on the front.
template <class Family>
class FrontSearch {
public:
    FrontSearch(const Family& family, std::vector<FamilyMember> sweep, const Dataset& validation,
                const RecalibrationOptions& recalibration, int candidates,
                const std::function<void(const ScoringProgress&)>& progress)
        : family_(family),
          all_(std::move(sweep)),
          validation_(validation),
          recalibration_(recalibration),
          wanted_(std::min(all_.size(), static_cast<std::size_t>(candidates))),
          progress_(progress) {}

    std::vector<FamilyMember> run() {
        std::vector<const std::vector<int>*> choices;
        for (const auto& member : all_) choices.push_back(&member.choices);
        for (const auto i : spread(choices, std::vector<double>(all_.size(), 1.0), (wanted_ + 1) / 2)) score(i);
        // What earlier scores say of other networks is known as well.
        const auto key = ScoreCache::key(validation_, recalibration_);
        for (auto& member : all_)
            if (!member.accuracy) member.accuracy = family_.scores().find(key, member.choices);
        while (scored_ < wanted_) {
            auto next = expected();
            if (next.empty()) break;
            // Spread over the expected front, which is in the order of latency.
            const auto most = std::min({next.size(), wanted_ - scored_, std::max<std::size_t>(1, wanted_ / 6)});
            for (std::size_t i = 0; i < most; ++i) score(next[(2 * i + 1) * next.size() / (2 * most)]);
        }
        std::vector<FamilyMember> known, front;
        for (auto& member : all_)
            if (member.accuracy) known.push_back(std::move(member));
        for (const auto i : non_dominated(known, family_.task().higher_is_better)) front.push_back(known[i]);
        return front;
    }

private:
    void score(std::size_t i) {
        ++scored_;
        family_.score(all_[i], validation_, recalibration_, {static_cast<int>(scored_), static_cast<int>(wanted_)},
                      progress_);
    }
    /// Those without a score that would be on the front if their expected accuracy were true.
    std::vector<std::size_t> expected() const {
        std::vector<std::vector<int>> known;
        std::vector<double> scores;
        for (const auto& member : all_)
            if (member.accuracy) known.push_back(member.choices), scores.push_back(*member.accuracy);
        const ScoreRegression regression(std::move(known), scores);
        auto guessed = all_;
        for (auto& member : guessed)
            if (!member.accuracy) member.accuracy = regression(member.choices);
        auto front = non_dominated(guessed, family_.task().higher_is_better);
        std::erase_if(front, [&](std::size_t i) { return all_[i].accuracy.has_value(); });
        return front;
    }

    const Family& family_;
    std::vector<FamilyMember> all_;
    const Dataset& validation_;
    const RecalibrationOptions& recalibration_;
    std::size_t wanted_, scored_ = 0;
    const std::function<void(const ScoringProgress&)>& progress_;
};

}  // namespace hwnas::detail
