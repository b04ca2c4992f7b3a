// SPDX-License-Identifier: MIT
// CSV files of measured networks, good and bad.
#include <hwnas/io/latency_csv.hpp>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_latency_csv_test {

using namespace hwnas;
using hwnas_test::TemporaryDirectory;

TEST_CASE("a column of measured networks is read", "[io]") {
    const TemporaryDirectory directory;
    const auto mark = GENERATE(as<std::string>(), "", "\xEF\xBB\xBF");  // as spreadsheets write it
    directory.put("a.csv", mark + "arch,cpu,gpu\r\n421211,1.5,2\r\n\n000000,1,3e1\r\n012340,7,8");
    const auto path = directory / "a.csv";
    CHECK(io::latency_csv_columns(path) == std::vector<std::string>{"cpu", "gpu"});
    const auto samples = io::read_latency_csv(path, CodedSpace::nasbench201(), "gpu");
    CHECK(samples.codes == std::vector<Code>{{4, 2, 1, 2, 1, 1}, {0, 0, 0, 0, 0, 0}, {0, 1, 2, 3, 4, 0}});
    CHECK(samples.ms == std::vector<double>{2, 30, 8});
}

TEST_CASE("errors in such files name file, line and reason", "[io]") {
    const TemporaryDirectory directory;
    const auto path = directory / "a.csv";
    const auto says = [&](const std::string& text, const char* column = "cpu") -> std::string {
        directory.put("a.csv", text);
        try {
            io::read_latency_csv(path, CodedSpace::nasbench201(), column);
        } catch (const Error& error) {
            return std::string(error.what()).substr(path.string().size());
        }
        return "";
    };
    CHECK(says("") == ": line 1 is no header that starts with \"arch\", the file is empty");
    CHECK(says("421211,1\n") == ": line 1 is no header that starts with \"arch\": \"421211\"");
    CHECK(says("arch,cpu\n42\r211,1\n", "cpu") ==
          ": line 2: nasbench201: \"42?211\" has '?' where a digit from 0 to 4 is expected");
    CHECK(says("arch,cpu,gpu\n421211,1,2\n", "tpu") == ": line 1 has no column \"tpu\" (it has cpu, gpu)");
    CHECK(says("arch,cpu,gpu,cpu\n421211,1,2,3\n") == ": line 1 names column \"cpu\" twice; rename one");
    CHECK(says("arch,cpu\n421211,1\n000000,2\n421211,3\n") ==
          ": line 4: network 421211 is that of line 2; keep one, or their mean");
    CHECK(says("arch,cpu\n") == ": no networks follow the header");
    CHECK(says("arch,cpu\n421211,1\n\n000000,fast\n") ==
          ": line 4: \"fast\" in column cpu is no time in milliseconds above 0");
    for (const std::string time : {"", "-1", "0", "nan", "inf", "1.5x", " 1"})
        CHECK(says("arch,cpu\n421211," + time + "\n") ==
              ": line 2: \"" + time + "\" in column cpu is no time in milliseconds above 0");
    CHECK(says("arch,cpu,gpu\n421211,1,2\n421211,1") ==
          ": line 3: 2 fields, the header has 3; the file ends within this line");
    CHECK(says("arch,cpu\n421211,1,2\n") == ": line 2: 3 fields, the header has 2");
    CHECK(says("arch,cpu\n42121,1\n") == ": line 2: nasbench201: \"42121\" has 5 digits, 6 are expected");
    CHECK(says("arch,cpu\n421291,1\n") ==
          ": line 2: nasbench201: \"421291\" has '9' where a digit from 0 to 4 is expected");
}

}  // namespace io_latency_csv_test
