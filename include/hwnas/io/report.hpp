// SPDX-License-Identifier: MIT
// report.html: from a result, or from what a result.json holds, to a page that a browser shows without a network.
#pragma once

#include <hwnas/core/text.hpp>
#include <hwnas/io/result.hpp>
#include <hwnas/report/html.hpp>

namespace hwnas::io {

namespace detail {
/// A number, or unknown where there is null or nothing.
inline double number_or_unknown(const Json& json, std::string_view key) {
    const auto found = json.is_object() ? json.find(std::string{key}) : json.end();
    return found != json.end() && found->is_number() ? found->get<double>() : Report::unknown;
}
template <class Value>
std::vector<Value> in_order(const Json& json, std::string_view key, const std::vector<std::string>& names,
                            const std::string& file) {
    const auto entries = require<Json>(json, key, file);
    std::vector<Value> values;
    for (const auto& name : names) values.push_back(require<Value>(entries, name, file));
    return values;
}
inline Report::Network report_network(const Json& json, std::string name, const Report& report,
                                      const std::string& file) {
    Report::Network network{.name = std::move(name)};
    if (json.contains("complexity")) network.complexity = in_order<double>(json, "complexity", report.primitives, file);
    if (json.contains("counts")) network.counts = in_order<int>(json, "counts", report.primitives, file);
    if (json.contains("genotype")) network.genotype = Genotype::parse(require<std::string>(json, "genotype", file));
    const auto parameters = require<Json>(json, "parameters", file);
    network.parameters = require<std::int64_t>(parameters, "total", file);
    network.edge_parameters = value_or<std::int64_t>(parameters, "primitives", -1, file);
    network.macs = value_or<std::int64_t>(json, "macs", -1, file);
    const auto accuracy = require<Json>(json, "accuracy", file);
    network.supernet = number_or_unknown(accuracy, "supernet"),
    network.derived = number_or_unknown(accuracy, "derived"),
    network.recalibrated = number_or_unknown(accuracy, "recalibrated"),
    network.retrained = number_or_unknown(accuracy, "retrained");
    const auto latency = value_or<Json>(json, "latency_ms", Json::object(), file);
    network.predicted_ms = number_or_unknown(latency, "predicted"),
    network.measured_ms = number_or_unknown(latency, "measured");
    return network;
}
}  // namespace detail

/// A Report from the JSON of a result.json; throws Error naming `file` and what is wrong in it. Epochs, the simplex and
/// what came after the search are for the caller to add.
inline Report report_of(const Json& result, const std::string& file = "result") {
    check_schema(result, "hwnas-result/1", file);
    const auto search = require<Json>(result, "search", file);
    Report report;
    const auto space = require<std::string>(search, "space", file);
    const int epochs = require<int>(search, "epochs", file);
    report.title =
        fmt::format("hwnas search: {}, {} channels, seed {}", space, require<std::int64_t>(search, "channels", file),
                    require<std::uint64_t>(search, "seed", file));
    report.summary =
        fmt::format("{} mode, {} epoch{} of {} images, batch {}, on {}", require<std::string>(search, "mode", file),
                    epochs, epochs == 1 ? "" : "s", with_commas(require<std::int64_t>(search, "train_images", file)),
                    require<std::int64_t>(search, "batch", file), require<std::string>(search, "device", file));
    const auto control = require<Json>(result, "control", file);
    const auto rays = require<Json>(control, "rays", file), rank = require<Json>(control, "ray_spearman", file),
               over_random = require<Json>(control, "spearman", file);
    for (const auto& [primitive, counts] : rays.items())
        report.control.rays.push_back(
            {primitive, require<std::vector<int>>(rays, primitive, file), detail::number_or_unknown(rank, primitive)});
    report.control.samples = require<int>(control, "samples", file);
    report.control.distinct = require<int>(control, "distinct", file);
    for (const auto& [primitive, rho] : over_random.items())
        report.control.spearman.emplace_back(primitive, rho.is_number() ? rho.get<double>() : Report::unknown);
    const auto family = require<Json>(result, "family", file);
    if (family.is_array() && !family.empty()) {
        const auto counts = require<Json>(family[0], "counts", file);
        for (const auto& [primitive, count] : counts.items()) report.primitives.push_back(primitive);
    } else {
        for (const auto& ray : report.control.rays) report.primitives.push_back(ray.primitive);
    }
    for (const auto& member : family)
        report.family.push_back(
            detail::report_network(member, require<std::string>(member, "name", file), report, file));
    for (const auto& network : value_or<Json>(result, "random", Json::array(), file))
        report.random.push_back(
            detail::report_network(network, fmt::format("random {}", report.random.size() + 1), report, file));
    for (const auto& network : report.family)
        if (svg::drawable(network.retrained)) report.retrained.push_back(network);
    return report;
}
/// A Report from a result in memory.
inline Report report_of(const SearchResult& result) {
    return report_of(result_json(result));
}

/// Writes the page as one HTML file, atomically; throws Error naming the path.
inline void write_report(const std::filesystem::path& path, const Report& report) {
    write_file_atomic(path, html(report));
}
/// Writes the page of a result in memory.
inline void write_report(const std::filesystem::path& path, const SearchResult& result) {
    write_report(path, report_of(result));
}

}  // namespace hwnas::io
