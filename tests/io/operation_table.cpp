// SPDX-License-Identifier: MIT
// Tables in the form of ProxylessNAS and Once-for-All, good and bad.
#include <hwnas/io/operation_table.hpp>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_operation_table_test {

using namespace hwnas;
using hwnas_test::error_of;
using hwnas_test::TemporaryDirectory;

namespace {

const std::string text =
    "Conv-input:32x32x3-output:16x16x8:\n  count: 10\n  mean: 1.5\n  var: 0.25\n"
    "# a comment\n"
    "expanded_conv-input:16x16x8-output:16x16x8-expand:6-kernel:3-stride:1-idskip:1:\r\n"
    "  count: 20\r\n  mean: 2.5e-1\r\n  std: 0.125\r\n"
    "expanded_conv-input:16x16x8-output:16x16x8-expand:6-kernel:5-stride:1-idskip:1:\n"
    "  mean: 0.75\n  std: 0\n  count: 30";

}  // namespace

TEST_CASE("a table of operations is read", "[io][latency]") {
    const TemporaryDirectory directory;
    const auto table = io::read_operation_table(directory.put("lut.yaml", text));
    CHECK(table.operations.size() == 3);
    CHECK(table.at("Conv-input:32x32x3-output:16x16x8") == OperationTable::Time{10, 1.5, 0.5});
    const std::string block = "expanded_conv-input:16x16x8-output:16x16x8-expand:6-kernel:3-stride:1-idskip:1";
    CHECK(table.at(block) == OperationTable::Time{20, 0.25, 0.125});
    CHECK(table.predict({"Conv-input:32x32x3-output:16x16x8", block, block}) == 2);
    CHECK(table.predict({}) == 0);
    auto attributes = operation_attributes(block);
    CHECK(attributes[""] == "expanded_conv");
    CHECK(attributes["input"] == "16x16x8");
    CHECK(attributes["kernel"] == "3");
    CHECK(attributes.size() == 7);
    CHECK_THROWS_WITH(operation_attributes("conv-kernel"), "operation: \"kernel\" is no attribute such as kernel:5");
}

TEST_CASE("a missing operation names itself and its nearest", "[io][latency]") {
    const auto table = io::operation_table_from_yaml(text, "lut.yaml");
    CHECK(
        error_of([&] { table.at("expanded_conv-input:16x16x8-output:16x16x8-expand:6-kernel:7-stride:1-idskip:1"); }) ==
        "lut.yaml: no operation expanded_conv-input:16x16x8-output:16x16x8-expand:6-kernel:7-stride:1-idskip:1 among "
        "3; nearest: expanded_conv-input:16x16x8-output:16x16x8-expand:6-kernel:3-stride:1-idskip:1; "
        "expanded_conv-input:16x16x8-output:16x16x8-expand:6-kernel:5-stride:1-idskip:1; "
        "Conv-input:32x32x3-output:16x16x8");
}

TEST_CASE("what is no such table is refused with its line", "[io][latency]") {
    const auto says = [](const std::string& yaml) {
        return error_of([&] { io::operation_table_from_yaml(yaml, "t"); });
    };
    CHECK(says("") == "t: holds no operations");
    CHECK(says("{\"a\": 1}\n") == "t: line 1: an operation's name and a colon are expected: \"{\"a\": 1}\"");
    CHECK(says("  count: 1\n") == "t: line 1: count, mean, std or var of an operation is expected: \"count: 1\"");
    CHECK(says("a:\n  count: 1\n  mean: 2\n") == "t: line 1: operation a has no std");
    CHECK(says("a:\n  count: 1\n  std: 2\n") == "t: line 1: operation a has no mean");
    CHECK(says("a:\n  count: 1\n  mean: 2\n  std: 1\n  var: 1\n") == "t: line 1: operation a has both std and var");
    CHECK(says("a:\n  count: 1.5\n  mean: 2\n  std: 1\n") == "t: line 1: count 1.5 is no whole number");
    for (const std::string value : {"fast", "-1", "nan", "1 2", ""})
        CHECK(says("a:\n  mean: " + value + "x\n") ==
              "t: line 2: a number of at least 0 is expected: \"mean: " + value + "x\"");
    CHECK(says("a:\n  speed: 1\n") == "t: line 2: count, mean, std or var of an operation is expected: \"speed: 1\"");
    CHECK(says("a:\n  mean: 1\n  mean: 2\n") == "t: line 3: stands twice: \"mean: 2\"");
    for (const std::string& name : {std::string(201, 'n'), std::string("a\tb")})
        CHECK(says(name + ":\n")
                  .rfind("t: line 1: an operation's name has at most 200 bytes, none of them a control "
                         "character: \"",
                         0) == 0);
    CHECK(says(std::string(200, 'n') + ":\n") == "t: line 1: operation " + std::string(60, 'n') + "... has no count");
    const std::string whole = "a:\n  count: 1\n  mean: 2\n  std: 1\n";
    CHECK(says(whole) == "no error");
    CHECK(says(whole + whole) == "t: line 5: the operation is in the table already: \"a:\"");
}

}  // namespace io_operation_table_test
