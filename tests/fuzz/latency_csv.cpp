// SPDX-License-Identifier: MIT
// read_latency_csv: every column that is named is read or refused; as many times as networks, all of them of the space.
#include "fuzz.hpp"

#include <hwnas/io/latency_csv.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    return fuzz::run(data, size, 100, [](std::string_view bytes) {
        static const auto space = hwnas::CodedSpace::nasbench201();
        const auto file = fuzz::file_of(bytes);
        const auto columns = hwnas::io::latency_csv_columns(file);
        const auto samples = hwnas::io::read_latency_csv(file, space, columns.empty() ? "none" : columns.back());
        fuzz::expect(samples.size() > 0 && samples.codes.size() == samples.ms.size(), "times without networks");
        for (const auto& code : samples.codes) space.check(code);
        for (const double ms : samples.ms) fuzz::expect(ms >= 0, "a negative time");
        (void)hwnas::io::read_latency_csv(file, space, "no such column");
    });
}
