// SPDX-License-Identifier: MIT
// operation_table_from_yaml: a table that was read is written and read again as the same; a name it lacks is told in
// one line.
#include "fuzz.hpp"

#include <hwnas/io/operation_table.hpp>

#include <cmath>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return fuzz::run(data, size, 100, [](std::string_view bytes) {
        const auto table = hwnas::io::read_operation_table(fuzz::file_of(bytes));
        std::string yaml;
        for (const auto& [name, time] : table.operations) {
            fuzz::expect(time.count >= 0 && time.mean >= 0 && time.deviation >= 0 && std::isfinite(time.deviation),
                         "a time that is none");
            yaml +=
                fmt::format("{}:\n  count: {}\n  mean: {}\n  std: {}\n", name, time.count, time.mean, time.deviation);
        }
        const auto again = hwnas::io::operation_table_from_yaml(yaml, "again");
        fuzz::expect(again.operations == table.operations, "a table that does not come back");
        (void)table.at(table.operations.begin()->first + "?");
    });
}
