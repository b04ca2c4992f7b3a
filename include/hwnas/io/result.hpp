// SPDX-License-Identifier: MIT
// result.json: what a search found, in numbers that later runs are compared with. Schema "hwnas-result/1": accuracies
// are shares of the test images from 0 to 1, latencies milliseconds, counts are over rows (28 for 4 nodes, 2 inputs).
#pragma once

#include <hwnas/family/family.hpp>
#include <hwnas/io/json.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hwnas::io {

/// One network of a result. complexity and counts name every primitive of the space, in its order.
struct MemberResult {
    std::string name;  ///< what it is called: "A", "B", "C" for the paper's profiles
    std::vector<std::pair<std::string, double>> complexity;  ///< S: penalty weight by primitive
    Genotype genotype;                                       ///< which primitive stands on every edge
    std::vector<std::pair<std::string, int>> counts;         ///< edges that choose it, by primitive
    NetworkSize size;                                        ///< parameters and multiply-adds
    Accuracies accuracies;                                   ///< on the test images, shares from 0 to 1
    std::optional<double> retrained = {};                    ///< share of test images right after training from scratch
    double predicted_ms = 0, measured_ms = 0;  ///< ms a run, by the table and measured, at the table's batch
};

/// What a search found: what result.json holds.
struct SearchResult {
    std::string space, mode;                                 ///< name of the space; of the search mode
    int epochs = 0;                                          ///< passes over the training data
    std::int64_t train_images = 0, batch = 0, channels = 0;  ///< images trained on, images a step, C of the first cell
    std::uint64_t seed = 0;                                  ///< the one seed of the search
    std::string device;                                      ///< what it ran on: "cpu", "cuda:0"
    ControlReport control;                                   ///< how counts of primitives follow S
    std::vector<MemberResult> family;  ///< the networks of chosen S, by default the profiles A, B, C
    /// Random networks with inherited weights, recalibrated and tested like the family: the control. Of their
    /// accuracies only that one is known, and no measured latency.
    std::vector<MemberResult> random = {};
};

namespace detail {
template <class Value>
Json by_name(const std::vector<std::pair<std::string, Value>>& entries) {
    Json json = Json::object();
    for (const auto& [name, value] : entries) json[name] = value;
    return json;
}
/// null where counts that never change have none.
inline Json correlation_json(double rho) {
    return std::isnan(rho) ? Json(nullptr) : Json(rho);
}
}  // namespace detail

/// Edges that choose each primitive of the space, in its order, 0 where none does.
inline std::vector<std::pair<std::string, int>> counts_of(const Genotype& genotype, const Architecture& architecture) {
    const auto counted = genotype.counts();
    std::vector<std::pair<std::string, int>> result;
    for (const auto& primitive : architecture.primitives) {
        const auto found = counted.find(primitive);
        result.emplace_back(primitive, found == counted.end() ? 0 : found->second);
    }
    return result;
}

/// Accuracies are means of 0 and 1 that were summed in float: six digits hold what a million images can say.
inline double shown_accuracy(double accuracy) {
    return std::round(accuracy * 1e6) / 1e6;
}

/// The result as JSON, keys in the order of the schema.
inline Json result_json(const SearchResult& result) {
    Json rays = Json::object(), ray_spearman = Json::object(), spearman = Json::object(), family = Json::array();
    for (const auto& ray : result.control.rays)
        rays[ray.primitive] = ray.counts, ray_spearman[ray.primitive] = detail::correlation_json(ray.spearman);
    for (const auto& [primitive, rho] : result.control.spearman) spearman[primitive] = detail::correlation_json(rho);
    Json random = Json::array();
    for (const auto& network : result.random)
        random.push_back(
            {{"genotype", network.genotype.str()},
             {"counts", detail::by_name(network.counts)},
             {"parameters", {{"total", network.size.parameters}, {"primitives", network.size.primitive_parameters}}},
             {"macs", network.size.macs},
             {"accuracy", {{"recalibrated", shown_accuracy(network.accuracies.recalibrated)}}},
             {"latency_ms", {{"predicted", network.predicted_ms}}}});
    for (const auto& member : result.family) {
        const auto& [supernet, derived, recalibrated] = member.accuracies;
        family.push_back(
            {{"name", member.name},
             {"complexity", detail::by_name(member.complexity)},
             {"genotype", member.genotype.str()},
             {"counts", detail::by_name(member.counts)},
             {"parameters", {{"total", member.size.parameters}, {"primitives", member.size.primitive_parameters}}},
             {"macs", member.size.macs},
             {"accuracy",
              {{"supernet", shown_accuracy(supernet)},
               {"derived", shown_accuracy(derived)},
               {"recalibrated", shown_accuracy(recalibrated)},
               {"retrained", member.retrained ? Json(shown_accuracy(*member.retrained)) : Json(nullptr)}}},
             {"latency_ms", {{"predicted", member.predicted_ms}, {"measured", member.measured_ms}}}});
    }
    return {{"schema", "hwnas-result/1"},
            {"search",
             {{"space", result.space},
              {"mode", result.mode},
              {"epochs", result.epochs},
              {"train_images", result.train_images},
              {"batch", result.batch},
              {"channels", result.channels},
              {"seed", result.seed},
              {"device", result.device}}},
            {"control",
             {{"rays", std::move(rays)},
              {"ray_spearman", std::move(ray_spearman)},
              {"samples", result.control.samples},
              {"distinct", result.control.distinct},
              {"spearman", std::move(spearman)}}},
            {"family", std::move(family)},
            {"random", std::move(random)}};
}

/// Writes result.json atomically; throws Error naming the path, or the place of a number that is not finite.
inline void write_result(const std::filesystem::path& path, const SearchResult& result) {
    write_json(path, result_json(result));
}

}  // namespace hwnas::io
