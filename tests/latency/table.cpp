// SPDX-License-Identifier: MIT
// LatencyTable: finding rows, and what a missing one says.
#include <hwnas/latency/table.hpp>

#include "support/catch.hpp"

namespace latency_table_test {

using namespace hwnas;

namespace {
LatencyTable three_rows() {
    LatencyTable table;
    table.rows = {{"depthwise_conv_3x3", {1, 28, 28, 16}, 1, 9, 0.2, 0.01, 0.1, 0.3},
                  {"depthwise_conv_3x3", {1, 14, 14, 32}, 1, 9, 0.2, 0.01, 0.2, 0.3},
                  {"max_pool_3x3/first", {1, 28, 28, 16}, 1, 9, 0.2, 0.01, 0.3, 0.4},
                  {"network/head_to_10", {1, 7, 7, 256}, 1, 9, 0.2, 0.01, 0.4, 0.5}};
    return table;
}
}  // namespace

TEST_CASE("a latency table finds rows by unit, input and stride", "[latency]") {
    const auto table = three_rows();
    CHECK(table.at("depthwise_conv_3x3", {1, 14, 14, 32}, 1).median == 0.2);
    CHECK(table.at("max_pool_3x3/first", {1, 28, 28, 16}, 1).median == 0.3);
    CHECK(table.find("depthwise_conv_3x3", {1, 14, 14, 32}, 2) == nullptr);
    CHECK(table.find("depthwise_conv_3x3", {1, 14, 14}, 1) == nullptr);
    CHECK(table == three_rows());
    auto other = table;
    other.rows[1].p90 += 1e-9;
    CHECK_FALSE(other == table);
    other = table;
    other.threads = 2;
    CHECK_FALSE(other == table);
}

TEST_CASE("a missing row is named, with the nearest ones", "[latency]") {
    const auto table = three_rows();
    const auto message = [&](const char* unit, const std::vector<std::int64_t>& input) {
        try {
            table.at(unit, input, 1);
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string("no error");
    };
    CHECK(message("depthwise_conv_3x3", {1, 14, 14, 16}) ==
          "latency table: no row for depthwise_conv_3x3 [1, 14, 14, 16] stride 1 among 4; nearest: "
          "depthwise_conv_3x3 [1, 14, 14, 32] stride 1; depthwise_conv_3x3 [1, 28, 28, 16] stride 1 (profile this "
          "space at this batch)");
    CHECK(message("max_pool_3x3", {1, 28, 28, 16}) ==
          "latency table: no row for max_pool_3x3 [1, 28, 28, 16] stride 1 among 4; nearest: max_pool_3x3/first [1, "
          "28, 28, 16] stride 1; "
          "depthwise_conv_3x3 [1, 28, 28, 16] stride 1; depthwise_conv_3x3 [1, 14, 14, 32] stride 1 (profile this "
          "space at this batch)");
    CHECK_THROWS_WITH(LatencyTable{}.at("identity", {1, 2, 2, 1}, 2),
                      "latency table: no row for identity [1, 2, 2, 1] stride 2, the table is empty (profile the "
                      "space, or read a table)");
}

TEST_CASE("a table of something else is refused", "[latency]") {
    LatencyTable table{.space = "pointwise", .backend = "cuda:0", .threads = 1, .batch = 64};
    CHECK(table.device_kind() == "cuda");
    CHECK_NOTHROW(table.check({}));
    CHECK_NOTHROW(table.check({.space = "pointwise", .device_kind = "cuda", .batch = 64, .threads = 1}));
    CHECK_THROWS_WITH(table.check({.space = "paper"}),
                      "latency table: holds times of space pointwise, paper is asked "
                      "for (profile that, or pass its table)");
    CHECK_THROWS_WITH(
        table.check({.device_kind = "cpu"}, "phone.json"),
        "phone.json: holds times of device kind cuda, cpu is asked for (profile that, or pass its table)");
    CHECK_THROWS_WITH(table.check({.batch = 1}),
                      "latency table: holds times of batch 64, 1 is asked for (profile "
                      "that, or pass its table)");
    CHECK_THROWS_WITH(table.check({.threads = 2}),
                      "latency table: holds times of thread count 1, 2 is asked for "
                      "(profile that, or pass its table)");
    table.dtype = "int8";
    CHECK_THROWS_WITH(table.check({}),
                      "latency table: holds times of dtype int8, float32 is asked for (profile that, "
                      "or pass its table)");
}

}  // namespace latency_table_test
