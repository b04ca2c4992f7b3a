// SPDX-License-Identifier: MIT
// Measured networks of a CodedSpace as CSV: a header "arch,NAME,...", then one network a line: its digits, then one
// time in milliseconds a column.
#pragma once

#include <hwnas/io/file.hpp>
#include <hwnas/latency/coded_model.hpp>

#include <charconv>
#include <cmath>
#include <map>

namespace hwnas::io {

namespace detail {

inline std::vector<std::string_view> csv_fields(std::string_view line) {
    std::vector<std::string_view> fields;
    for (;;) {
        const auto comma = line.find(',');
        fields.push_back(line.substr(0, comma));
        if (comma == std::string_view::npos) return fields;
        line.remove_prefix(comma + 1);
    }
}

/// f(line without its end, number from 1, whether it ends) for every line that is not empty.
template <class F>
void for_each_line(std::string_view text, F&& f) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";  // spreadsheets begin files with it
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    for (std::size_t number = 1; !text.empty(); ++number) {
        const auto end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        if (!line.empty()) f(line, number, end != std::string_view::npos);
    }
}

}  // namespace detail

/// Names of the columns of times, from the header of a CSV file; throws Error naming file and line where there is none.
inline std::vector<std::string> latency_csv_columns(const std::filesystem::path& path) {
    std::vector<std::string> names;
    detail::for_each_line(read_file(path), [&](std::string_view line, std::size_t, bool) {
        if (!names.empty()) return;
        for (const auto field : detail::csv_fields(line)) names.emplace_back(field);
    });
    if (names.empty() || names[0] != "arch")
        fail("{}: line 1 is no header that starts with \"arch\"{}", path.string(),
             names.empty() ? ", the file is empty" : ": \"" + detail::shown(names[0]) + "\"");
    names.erase(names.begin());
    for (auto name = names.begin(); name != names.end(); ++name)
        if (std::find(names.begin(), name, *name) != name)
            fail("{}: line 1 names column \"{}\" twice; rename one", path.string(), detail::shown(*name));
    return names;
}

/// The networks of a CSV file with one of its columns of times; throws Error naming file, line and reason.
inline CodedSamples read_latency_csv(const std::filesystem::path& path, const CodedSpace& space,
                                     std::string_view column) {
    const auto names = latency_csv_columns(path);
    const auto found = std::find(names.begin(), names.end(), column);
    if (found == names.end())
        fail("{}: line 1 has no column \"{}\" (it has {})", path.string(), detail::shown(column),
             detail::shown(fmt::format("{}", fmt::join(names, ", ")), 500));
    const auto at = 1 + static_cast<std::size_t>(found - names.begin());
    CodedSamples samples;
    std::map<Code, std::size_t> lines;
    bool header = true;
    detail::for_each_line(read_file(path), [&](std::string_view line, std::size_t number, bool ends) {
        if (std::exchange(header, false)) return;
        const auto bad = [&](const std::string& what) { fail("{}: line {}: {}", path.string(), number, what); };
        const auto fields = detail::csv_fields(line);
        if (fields.size() != names.size() + 1)
            bad(fmt::format("{} fields, the header has {}{}", fields.size(), names.size() + 1,
                            ends ? "" : "; the file ends within this line"));
        try {
            samples.codes.push_back(space.parse(fields[0]));
        } catch (const Error& error) {
            bad(detail::shown(error.what(), 200));  // it quotes the field
        }
        // A network on both sides of a split would be tested by what it was fitted to.
        if (const auto [known, added] = lines.emplace(samples.codes.back(), number); !added)
            bad(fmt::format("network {} is that of line {}; keep one, or their mean", detail::shown(fields[0]),
                            known->second));
        double ms = 0;
        const auto text = fields[at];
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
        if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(ms) || ms <= 0)
            bad(fmt::format("\"{}\" in column {} is no time in milliseconds above 0", detail::shown(text),
                            detail::shown(column)));
        samples.ms.push_back(ms);
    });
    if (samples.size() == 0) fail("{}: no networks follow the header", path.string());
    return samples;
}

}  // namespace hwnas::io
