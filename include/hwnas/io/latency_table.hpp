// SPDX-License-Identifier: MIT
// Latency tables as JSON, schema "hwnas-latency/1": provenance, then one object a row, times in milliseconds.
#pragma once

#include <hwnas/io/json.hpp>
#include <hwnas/latency/table.hpp>

namespace hwnas::io {

/// What "schema" says in the JSON of a latency table.
inline constexpr std::string_view latency_schema = "hwnas-latency/1";

namespace detail {

inline LatencyRow latency_row(const Json& json, const std::string& place) {
    LatencyRow row{.unit = require<std::string>(json, "unit", place),
                   .input = require<std::vector<std::int64_t>>(json, "input", place),
                   .stride = require<int>(json, "stride", place),
                   .count = require<std::int64_t>(json, "count", place)};
    if (row.unit.empty() || shown(row.unit) != row.unit)
        fail("{}: \"{}\" is no name of a unit", place, shown(row.unit));
    if (row.input.size() != 4)
        fail("{}: key \"input\" has {} extents, [N, H, W, C] is expected", place, row.input.size());
    for (const auto extent : row.input)
        if (extent < 1) fail("{}: key \"input\" is [{}], extents are at least 1", place, fmt::join(row.input, ", "));
    if (row.stride < 1) fail("{}: key \"stride\" is {}, at least 1 is expected", place, row.stride);
    if (row.count < 0) fail("{}: key \"count\" is {}, a number of samples is not negative", place, row.count);
    const auto time = [&](std::string_view key) {
        const auto value = require<double>(json, key, place);
        if (value < 0) fail("{}: key \"{}\" is {} ms, a time is not negative", place, key, value);
        return value;
    };
    if (json.contains("median_ci95")) {
        const auto interval = require<std::vector<double>>(json, "median_ci95", place);
        if (interval.size() != 2 || interval[0] < 0 || interval[0] > interval[1])
            fail("{}: key \"median_ci95\" is [{}], two times in ascending order are expected", place,
                 fmt::join(interval, ", "));
        row.interval = {interval[0], interval[1]};
    }
    row.mean = time("mean"), row.deviation = time("std"), row.median = time("median"), row.p90 = time("p90");
    return row;
}

}  // namespace detail

/// A table as JSON: provenance and quality, then its rows.
inline Json latency_table_to_json(const LatencyTable& table) {
    Json rows = Json::array();
    for (const auto& row : table.rows) {
        rows.push_back({{"unit", row.unit},
                        {"input", row.input},
                        {"stride", row.stride},
                        {"count", row.count},
                        {"mean", row.mean},
                        {"std", row.deviation},
                        {"median", row.median},
                        {"p90", row.p90}});
        if (row.interval) rows.back()["median_ci95"] = *row.interval;
    }
    Json json{{"schema", latency_schema},   {"space", table.space},
              {"device", table.device},     {"backend", table.backend},
              {"isa", table.isa},           {"threads", table.threads},
              {"batch", table.batch},       {"dtype", table.dtype},
              {"compiler", table.compiler}, {"build", table.build},
              {"library", table.library},   {"date", table.date},
              {"method", table.method},     {"clock_resolution_ns", table.clock_resolution_ns},
              {"rows", std::move(rows)}};
    if (const auto& q = table.quality)
        json["quality"] = {{"rounds", q->rounds}, {"seconds", q->seconds}, {"settled", q->settled},
                           {"widest", q->widest}, {"drift", q->drift},     {"outliers", q->outliers},
                           {"factor", q->factor}};
    if (const auto& c = table.checked)
        json["checked"] = {
            {"networks", c->networks}, {"spearman", c->spearman}, {"mape", c->mape}, {"error_p95", c->error_p95}};
    return json;
}

/// A table from its JSON; `file` opens the Error for an unknown schema, a missing field, a wrong value or a unit given
/// twice.
inline LatencyTable latency_table_from_json(const Json& json, const std::string& file) {
    check_schema(json, latency_schema, file);
    const auto text = [&](std::string_view key) { return require<std::string>(json, key, file); };
    LatencyTable table{.space = text("space"),
                       .device = text("device"),
                       .backend = text("backend"),
                       .isa = text("isa"),
                       .threads = require<int>(json, "threads", file),
                       .batch = require<std::int64_t>(json, "batch", file),
                       .dtype = text("dtype"),
                       .compiler = text("compiler"),
                       .build = text("build"),
                       .library = text("library"),
                       .date = text("date"),
                       .method = text("method"),
                       .clock_resolution_ns = require<double>(json, "clock_resolution_ns", file),
                       .rows = {}};
    if (table.threads < 1) fail("{}: key \"threads\" is {}, at least 1 is expected", file, table.threads);
    if (table.batch < 1) fail("{}: key \"batch\" is {}, at least 1 is expected", file, table.batch);
    if (table.clock_resolution_ns < 0)
        fail("{}: key \"clock_resolution_ns\" is {}, a time is not negative", file, table.clock_resolution_ns);
    if (json.contains("quality")) {
        const auto found = require<Json>(json, "quality", file);
        const std::string place = fmt::format("{}: quality", file);
        const auto number = [&](std::string_view key) { return require<double>(found, key, place); };
        table.quality = LatencyQuality{.rounds = require<std::int64_t>(found, "rounds", place),
                                       .seconds = number("seconds"),
                                       .settled = require<std::int64_t>(found, "settled", place),
                                       .widest = number("widest"),
                                       .drift = number("drift"),
                                       .outliers = number("outliers"),
                                       .factor = number("factor")};
    }
    if (json.contains("checked")) {
        const auto found = require<Json>(json, "checked", file);
        const std::string place = fmt::format("{}: checked", file);
        const auto number = [&](std::string_view key) { return require<double>(found, key, place); };
        table.checked = LatencyCheck{.networks = require<std::int64_t>(found, "networks", place),
                                     .spearman = number("spearman"),
                                     .mape = number("mape"),
                                     .error_p95 = number("error_p95")};
        if (table.checked->networks < 2)
            fail("{}: key \"networks\" is {}, at least 2 are expected", place, table.checked->networks);
        for (const auto& [key, value] :
             {std::pair{"mape", table.checked->mape}, {"error_p95", table.checked->error_p95}})
            if (value < 0) fail("{}: key \"{}\" is {}, an error is not negative", place, key, value);
    }
    const auto rows = require<Json>(json, "rows", file);
    if (!rows.is_array()) fail("{}: key \"rows\" has the wrong type ({}, array expected)", file, rows.type_name());
    std::set<std::string> keys;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::string place = fmt::format("{}: row {}", file, i);
        table.rows.push_back(detail::latency_row(rows[i], place));
        const LatencyRow& row = table.rows.back();
        if (!keys.insert(row.key()).second) fail("{}: {} is in the table already", place, row.key());
        if (row.input[0] != table.batch)
            fail("{}: key \"input\" starts with {}, the table's batch is {}", place, row.input[0], table.batch);
    }
    return table;
}

/// Writes a table atomically; throws Error for what the disk refuses or a number that is not finite.
inline void write_latency_table(const std::filesystem::path& path, const LatencyTable& table) {
    write_json(path, latency_table_to_json(table));
}

/// Reads a table; throws Error naming file, place and reason.
inline LatencyTable read_latency_table(const std::filesystem::path& path) {
    return latency_table_from_json(read_json(path), path.string());
}

}  // namespace hwnas::io
