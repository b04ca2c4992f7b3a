// SPDX-License-Identifier: MIT
// Reads the tables that ProxylessNAS and Once-for-All publish: YAML of one shape, operations at the margin, and
// indented below each its count, mean and std or var, in milliseconds. Anything else is refused; it is no YAML parser.
#pragma once

#include <hwnas/io/file.hpp>
#include <hwnas/latency/operation_table.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

namespace hwnas::io {

/// The table in a YAML text; `file` opens the Error, which names line and reason.
inline OperationTable operation_table_from_yaml(std::string_view text, const std::string& file) {
    OperationTable table{.source = file};
    struct Entry {
        std::string name;
        std::size_t line = 0;
        std::map<std::string, double, std::less<>> values = {};
    };
    std::optional<Entry> entry;
    constexpr std::size_t longest_name = 201;  // with its colon
    const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    const auto finish = [&] {
        if (!entry) return;
        const auto& values = entry->values;
        const auto value = [&](std::string_view key) {
            const auto found = values.find(key);
            if (found == values.end())
                fail("{}: line {}: operation {} has no {}", file, entry->line, detail::shown(entry->name), key);
            return found->second;
        };
        const bool variance = values.contains("var");
        if (variance && values.contains("std"))
            fail("{}: line {}: operation {} has both std and var", file, entry->line, detail::shown(entry->name));
        const double count = value("count"), spread = value(variance ? "var" : "std");
        if (count != std::floor(count) || count > 1e15)
            fail("{}: line {}: count {} is no whole number", file, entry->line, count);
        table.operations.emplace(entry->name, OperationTable::Time{static_cast<std::int64_t>(count), value("mean"),
                                                                   variance ? std::sqrt(spread) : spread});
        entry.reset();
    };
    for (std::size_t number = 1; !text.empty(); ++number) {
        const auto end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
        const auto indent = std::min(line.find_first_not_of(' '), line.size());
        const auto body = line.substr(indent);
        if (body.empty() || body[0] == '#' || body == "---") continue;
        const auto bad = [&](std::string_view what) {
            fail("{}: line {}: {}: \"{}\"", file, number, what, detail::shown(body));
        };
        if (indent == 0) {
            finish();
            if (body.back() != ':' || body.size() < 2) bad("an operation's name and a colon are expected");
            if (body.size() > longest_name || std::any_of(body.begin(), body.end(), control))
                bad("an operation's name has at most 200 bytes, none of them a control character");
            entry = Entry{.name = std::string(body.substr(0, body.size() - 1)), .line = number};
            if (table.operations.contains(entry->name)) bad("the operation is in the table already");
            continue;
        }
        const auto colon = body.find(": ");
        if (!entry || colon == std::string_view::npos) bad("count, mean, std or var of an operation is expected");
        const auto key = body.substr(0, colon);
        auto number_text = body.substr(colon + 2);
        number_text.remove_prefix(std::min(number_text.find_first_not_of(' '), number_text.size()));
        double value = 0;
        const auto [stop, error] = std::from_chars(number_text.data(), number_text.data() + number_text.size(), value);
        if (key != "count" && key != "mean" && key != "std" && key != "var")
            bad("count, mean, std or var of an operation is expected");
        if (error != std::errc() || stop != number_text.data() + number_text.size() || !std::isfinite(value) ||
            value < 0)
            bad("a number of at least 0 is expected");
        if (!entry->values.emplace(std::string(key), value).second) bad("stands twice");
    }
    finish();
    if (table.operations.empty()) fail("{}: holds no operations", file);
    return table;
}

/// Reads a table from a YAML file; throws Error naming file, line and reason.
inline OperationTable read_operation_table(const std::filesystem::path& path) {
    return operation_table_from_yaml(read_file(path), path.string());
}

}  // namespace hwnas::io
