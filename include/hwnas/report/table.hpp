// SPDX-License-Identifier: MIT
// Text tables: columns as wide as their widest cell, two blanks apart; and the numbers people read in them.
#pragma once

#include <hwnas/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace hwnas {

/// Rows of text cells. The first column is aligned to the left, all others to the right.
class TextTable {
public:
    /// Appends a row; rows may differ in length, an empty one is a blank line.
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    /// All rows, each ending in a newline, none in a blank.
    std::string str() const {
        std::vector<std::size_t> widths;
        for (const auto& row : rows_)
            for (std::size_t i = 0; i < row.size(); ++i) {
                if (i == widths.size()) widths.push_back(0);
                widths[i] = std::max(widths[i], row[i].size());
            }
        std::string text;
        for (const auto& row : rows_) {
            std::string line;
            for (std::size_t i = 0; i < row.size(); ++i) {
                const std::string gap(widths[i] - row[i].size(), ' ');
                line += (i ? "  " : "") + (i ? gap + row[i] : row[i] + gap);
            }
            line.erase(line.find_last_not_of(' ') + 1);
            text += line + '\n';
        }
        return text;
    }

private:
    std::vector<std::vector<std::string>> rows_;
};

/// A share from 0 to 1 in per cent: "87.31 %".
inline std::string percent(double share) {
    return fmt::format("{:.2f} %", 100 * share);
}
/// Seconds in words: "8 s", "4 min 05 s" or "2 h 07 min".
inline std::string duration(double seconds) {
    const auto s = static_cast<std::int64_t>(std::max(0.0, seconds) + 0.5);
    if (s < 60) return fmt::format("{} s", s);
    if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
    return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
}

}  // namespace hwnas
