// SPDX-License-Identifier: MIT
// read_latency_table: a table that was read is written and read again as the same.
#include "fuzz.hpp"

#include <hwnas/io/latency_table.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return fuzz::run(data, size, 400, [](std::string_view bytes) {
        const auto table = hwnas::io::read_latency_table(fuzz::file_of(bytes));
        const auto json = hwnas::io::latency_table_to_json(table);
        const auto again = hwnas::io::latency_table_from_json(json, "again");
        fuzz::expect(hwnas::io::latency_table_to_json(again) == json, "a table that does not come back");
        for (const auto& row : table.rows)
            fuzz::expect(row.median >= 0 && row.mean >= 0 && row.count >= 0, "a row with a negative time");
    });
}
