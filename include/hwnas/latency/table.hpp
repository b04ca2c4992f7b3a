// SPDX-License-Identifier: MIT
// LatencyTable: how long the units of a prepared network take on one device, and how that was found out. Plain data:
// profile() makes one, io/latency_table.hpp stores it, LatencyModel predicts from it.
#pragma once

#include <hwnas/core/shape.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

namespace hwnas {

namespace detail {

/// Levenshtein: letters to insert, delete or replace.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t corner = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j)
            corner = std::exchange(row[j + 1], std::min({row[j + 1] + 1, row[j] + 1, corner + (a[i] != b[j])}));
    }
    return row[b.size()];
}
/// The names of up to three with the smallest numbers.
inline std::vector<std::string> nearest_three(std::vector<std::pair<std::size_t, std::string>> all) {
    const auto shown = std::min<std::size_t>(3, all.size());
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(shown), all.end());
    std::vector<std::string> names;
    for (std::size_t i = 0; i < shown; ++i) names.push_back(std::move(all[i].second));
    return names;
}

}  // namespace detail

/// Times of one unit in milliseconds: "depthwise_conv_3x3" on an input [N, H, W, C] at a stride.
/// A unit is an edge's primitive; "max_pool_3x3/first", a primitive without parameters, paid once per vertex it reads;
/// or a part of the network: "node/transform", "node/sum_of_5", "cell/input_to_32", "network/head_to_10".
struct LatencyRow {
    std::string unit;                                     ///< name of the unit, as above
    std::vector<std::int64_t> input;                      ///< shape of its input, [N, H, W, C]
    int stride = 1;                                       ///< stride of the primitive
    std::int64_t count = 0;                               ///< runs that were timed
    double mean = 0, deviation = 0, median = 0, p90 = 0;  ///< ms; deviation: standard, of one sample
    std::optional<std::array<double, 2>> interval = {};   ///< 95 % confidence interval of the median, ms

    bool operator==(const LatencyRow&) const = default;
    /// What identifies a row in messages: "depthwise_conv_3x3 [1, 28, 28, 16] stride 1".
    std::string key() const { return key(unit, input, stride); }
    /// The key() that a row of this unit, input and stride has.
    static std::string key(std::string_view unit, const std::vector<std::int64_t>& input, int stride) {
        return fmt::format("{} [{}] stride {}", unit, fmt::join(input, ", "), stride);
    }
};

/// How a table was measured and how well its numbers are known. Widths, shares and factors are fractions: 0.02 is 2 %.
struct LatencyQuality {
    std::int64_t rounds = 0;   ///< times that every network was run
    double seconds = 0;        ///< duration of the measurement
    std::int64_t settled = 0;  ///< rows whose median is known: its 95 % confidence interval, from order statistics, is
                               ///< not wider than 2 %, one step of the clock, or a thousandth of the fastest network
    double widest = 0;         ///< widest 95 % interval of any median, over that median
    double drift = 0;  ///< slowest against fastest stretch of the measurement, less 1; the times are corrected for it
    double outliers = 0;  ///< share of samples above the third quartile by more than 3 interquartile ranges
    double factor = 1;    ///< all times were multiplied by this, so that units add up to networks

    bool operator==(const LatencyQuality&) const = default;
};

/// What a table's predictions were worth on the device, on networks it was not made from. Fractions: .02 is 2 %.
struct LatencyCheck {
    std::int64_t networks = 0;  ///< whole networks, measured and predicted
    double spearman = 0;        ///< rank correlation of predicted and measured times
    double mape = 0;            ///< mean of |predicted - measured| / measured
    double error_p95 = 0;       ///< 95 % of these errors are at most this: Family::best keeps it as its margin

    bool operator==(const LatencyCheck&) const = default;
};

/// What a table must hold to be used; whatever is not set may be anything.
struct LatencyRequirements {
    std::optional<std::string> space = {};        ///< name of the space whose units the table must hold
    std::optional<std::string> device_kind = {};  ///< where it was measured: "cpu", "cuda"
    std::optional<std::int64_t> batch = {};       ///< N of every input: images a run
    std::optional<int> threads = {};              ///< CPU threads of the runs
    std::string dtype = "float32";                ///< type of weights and images
};

/// Times of the units of a space on one device, and how they were taken. Plain data: print it, edit it, make your own.
struct LatencyTable {
    std::string space = {};                      ///< name of the space whose units these are
    std::string device = {};                     ///< the processor, in its own words
    std::string backend = "cpu";                 ///< kind and number of the device: "cpu", "cuda:0"
    std::string isa = {};                        ///< kernels in use: "avx512", "avx2+fma", "portable"
    int threads = 1;                             ///< CPU threads of a run
    std::int64_t batch = 1;                      ///< images of a run: N of every input
    std::string dtype = "float32";               ///< type of weights and images
    std::string compiler = {};                   ///< name and version of the compiler
    std::string build = {};                      ///< "optimized" or "not optimized"
    std::string library = {};                    ///< version of hwnas that measured
    std::string date = {};                       ///< when it was measured, UTC: "2026-11-23T12:00:00Z"
    std::string method = {};                     ///< how the times were taken, in a sentence
    double clock_resolution_ns = 0;              ///< smallest difference between two clock readings, ns
    std::vector<LatencyRow> rows = {};           ///< one per unit, input shape and stride
    std::optional<LatencyQuality> quality = {};  ///< of a table that profile() made
    std::optional<LatencyCheck> checked = {};    ///< against whole networks; profile() does so

    bool operator==(const LatencyTable&) const = default;
    /// "cpu", "cuda": the backend without the number of the device.
    std::string device_kind() const { return backend.substr(0, backend.find(':')); }
    /// Throws where this table does not hold what is asked for, naming both; `who` opens the message.
    void check(const LatencyRequirements& wanted, std::string_view who = "latency table") const {
        const auto same = [&](const char* what, const auto& held, const auto& asked) {
            require(held == asked, "{}: holds times of {} {}, {} is asked for (profile that, or pass its table)", who,
                    what, held, asked);
        };
        same("dtype", dtype, wanted.dtype);
        if (wanted.space) same("space", space, *wanted.space);
        if (wanted.device_kind) same("device kind", device_kind(), *wanted.device_kind);
        if (wanted.batch) same("batch", batch, *wanted.batch);
        if (wanted.threads) same("thread count", threads, *wanted.threads);
    }
    /// The row of a unit with this input and stride, or null.
    const LatencyRow* find(std::string_view unit, const std::vector<std::int64_t>& input, int stride) const {
        for (const auto& row : rows)
            if (row.stride == stride && row.unit == unit && row.input == input) return &row;
        return nullptr;
    }
    /// The row of a unit with this input and stride; throws Error where there is none, listing the nearest.
    const LatencyRow& at(std::string_view unit, const std::vector<std::int64_t>& input, int stride) const {
        const LatencyRow* row = find(unit, input, stride);
        if (row) return *row;
        const std::string key = LatencyRow::key(unit, input, stride);
        require(!rows.empty(), "latency table: no row for {}, the table is empty (profile the space, or read a table)",
                key);
        fail("latency table: no row for {} among {}; nearest: {} (profile this space at this batch)", key, rows.size(),
             fmt::join(nearest(unit, key), "; "));
    }

private:
    /// Up to three keys: those of the unit where it has any, else of the units whose names differ by the fewest
    /// letters.
    std::vector<std::string> nearest(std::string_view unit, const std::string& key) const {
        std::vector<std::pair<std::size_t, std::string>> all;
        const bool known = std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row.unit == unit; });
        for (const auto& row : rows)
            if (!known || row.unit == unit)
                all.emplace_back(1'000 * detail::edit_distance(row.unit, unit) + detail::edit_distance(row.key(), key),
                                 row.key());
        return detail::nearest_three(std::move(all));
    }
};

}  // namespace hwnas
