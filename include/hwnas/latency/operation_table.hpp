// SPDX-License-Identifier: MIT
// OperationTable: times of single operations that another system measured, by its own names of them: ProxylessNAS' and
// Once-for-All's "expanded_conv-input:7x7x192-output:7x7x320-expand:6-kernel:5-stride:1-idskip:0".
#pragma once

#include <hwnas/latency/table.hpp>

#include <map>

namespace hwnas {

/// Times of operations by name, as other projects publish them.
struct OperationTable {
    /// Statistics of one operation.
    struct Time {
        std::int64_t count = 0;          ///< measurements behind them
        double mean = 0, deviation = 0;  ///< mean and standard deviation, ms
        bool operator==(const Time&) const = default;
    };
    std::string source;                                        ///< file the table was read from, for messages
    std::map<std::string, Time, std::less<>> operations = {};  ///< statistics by name of the operation

    /// Statistics of an operation; throws Error with its name and the three names nearest to it where there are none.
    const Time& at(std::string_view key) const {
        const auto found = operations.find(key);
        if (found != operations.end()) return found->second;
        std::vector<std::pair<std::size_t, std::string>> all;
        for (const auto& [name, time] : operations) all.emplace_back(detail::edit_distance(name, key), name);
        const auto near = detail::nearest_three(std::move(all));
        fail("{}: no operation {} among {}{}{}", source, key, operations.size(),
             near.empty() ? "" : "; nearest: ", fmt::join(near, "; "));
    }
    /// Milliseconds of a network, the sum of the means of its operations; throws Error like at().
    double predict(const std::vector<std::string>& keys) const {
        double total = 0;
        for (const auto& key : keys) total += at(key).mean;
        return total;
    }
};

/// The parts of an operation's name by key: {"", "expanded_conv"}, {"input", "7x7x192"}, {"kernel", "5"}, ... Throws
/// Error for a part that is no attribute.
inline std::map<std::string, std::string, std::less<>> operation_attributes(std::string_view key) {
    std::map<std::string, std::string, std::less<>> found;
    for (bool first = true; !key.empty(); first = false) {
        const auto end = key.find('-');
        const auto part = key.substr(0, end);
        const auto colon = part.find(':');
        require(first == (colon == std::string_view::npos), "operation: \"{}\" is no {}", part.substr(0, 60),
                first ? "name" : "attribute such as kernel:5");
        found[first ? std::string() : std::string(part.substr(0, colon))] =
            std::string(first ? part : part.substr(colon + 1));
        key.remove_prefix(end == std::string_view::npos ? key.size() : end + 1);
    }
    return found;
}

}  // namespace hwnas
