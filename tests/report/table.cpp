// SPDX-License-Identifier: MIT
#include <hwnas/report/table.hpp>

#include "support/catch.hpp"

namespace report_table_test {

TEST_CASE("a text table aligns the first column left and the others right, without trailing blanks",
          "[report][table]") {
    hwnas::TextTable table;
    table.add({"name", "A", "B"});
    table.add({"parameters", "58,810", "7"});
    table.add({});
    table.add({"edges"});
    table.add({"  pool", "-", "12"});
    CHECK(table.str() ==
          "name             A   B\n"
          "parameters  58,810   7\n"
          "\n"
          "edges\n"
          "  pool           -  12\n");
    CHECK(hwnas::TextTable().str().empty());
}

TEST_CASE("numbers as people read them", "[report][table]") {
    CHECK(hwnas::with_commas(0) == "0");
    CHECK(hwnas::with_commas(999) == "999");
    CHECK(hwnas::with_commas(1'000) == "1,000");
    CHECK(hwnas::with_commas(1'234'567) == "1,234,567");
    CHECK(hwnas::with_commas(-999) == "-999");
    CHECK(hwnas::with_commas(-1'000) == "-1,000");
    CHECK(hwnas::percent(0.87314) == "87.31 %");
    CHECK(hwnas::duration(-1) == "0 s");
    CHECK(hwnas::duration(7.6) == "8 s");
    CHECK(hwnas::duration(59.6) == "1 min 00 s");
    CHECK(hwnas::duration(245) == "4 min 05 s");
    CHECK(hwnas::duration(7'620) == "2 h 07 min");
}

}  // namespace report_table_test
