// SPDX-License-Identifier: MIT
// ScoreCache: accuracies that were paid for once, by genotype and by the images they are of. Several budgets share it.
#pragma once

#include <hwnas/core/random.hpp>
#include <hwnas/tensor/dataset.hpp>
#include <hwnas/train/evaluate.hpp>

#include <map>
#include <optional>
#include <string_view>

namespace hwnas {

/// Accuracies by data and architecture, so that none is computed twice; several budgets share it.
class ScoreCache {
public:
    /// A hash of the data a score is of, and of how statistics were recalibrated for it.
    static std::uint64_t key(const Dataset& data, const RecalibrationOptions& recalibration) {
        std::uint64_t hash = 0xcbf29ce484222325ull;
        const auto add = [&](const auto& values) {
            const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
            const std::size_t size = values.size() * sizeof values[0];
            std::size_t i = 0;
            for (; i + 8 <= size; i += 8) {
                std::uint64_t word = 0;
                std::memcpy(&word, bytes + i, 8);
                hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
                hash ^= hash >> 29;
            }
            for (; i < size; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3ull;
            hash = (hash ^ size) * 0x100000001b3ull;
        };
        add(data.bytes), add(data.values), add(data.labels), add(data.targets);
        add(std::vector<std::int64_t>{data.count, data.image[0], data.image[1], data.image[2], recalibration.batches,
                                      recalibration.batch, static_cast<std::int64_t>(recalibration.seed.value)});
        return hash;
    }
    /// The score of an architecture (column number of every row) on the data of `key`, if it is known.
    std::optional<double> find(std::uint64_t key, const std::vector<int>& choices) const {
        const auto found = scores_.find({key, choices});
        return found == scores_.end() ? std::nullopt : std::optional(found->second);
    }
    /// Adds a score, or replaces the one known.
    void insert(std::uint64_t key, const std::vector<int>& choices, double score) { scores_[{key, choices}] = score; }
    /// Number of scores.
    std::size_t size() const { return scores_.size(); }
    /// Calls f(key, choices, score) for every score, in an order that depends on the content alone.
    template <class F>
    void for_each(F&& f) const {
        for (const auto& [at, score] : scores_) f(at.first, at.second, score);
    }

private:
    std::map<std::pair<std::uint64_t, std::vector<int>>, double> scores_;
};

}  // namespace hwnas
