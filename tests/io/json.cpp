// SPDX-License-Identifier: MIT
// JSON files: errors name file, line and key; what is written reads back the same.
#include <hwnas/io/json.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_json_test {

namespace io = hwnas::io;
using hwnas_test::error_of;
using hwnas_test::TemporaryDirectory;
using io::Json;

TEST_CASE("write_json keeps key order and every bit of a number", "[io][json]") {
    const TemporaryDirectory directory;
    const auto path = directory / "a.json";
    const Json json = {{"zebra", 1},
                       {"apple", {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0}},
                       {"text", "gr\xc3\xbc\xc3\x9f \"quoted\"\n"},
                       {"big", std::numeric_limits<std::uint64_t>::max()},
                       {"single", 0.2860f}};
    io::write_json(path, json);
    const Json back = io::read_json(path);
    CHECK(back == json);
    CHECK(back.begin().key() == "zebra");
    CHECK(back["single"].get<float>() == 0.2860f);
    CHECK(std::signbit(back["apple"][4].get<double>()));
    io::write_json(path, {{"b", 1}, {"a", {{"c", true}}}});
    CHECK(io::read_file(path) == "{\n  \"b\": 1,\n  \"a\": {\n    \"c\": true\n  }\n}\n");
}

TEST_CASE("write_json refuses what JSON cannot hold", "[io][json]") {
    const TemporaryDirectory directory;
    const auto message = [&](const Json& json) {
        return error_of(directory, [&] { io::write_json(directory / "a.json", json); });
    };
    CHECK(message({{"rows", {1.0, {{"mean", std::numeric_limits<double>::quiet_NaN()}}}}}) ==
          "a.json: the number at /rows/1/mean is nan, JSON holds finite numbers only");
    CHECK(message(std::numeric_limits<double>::infinity()) ==
          "a.json: the number at / is inf, JSON holds finite numbers only");
    CHECK(message({{"text", "\xff"}}) == "a.json: a string is not UTF-8, JSON holds nothing else");
    CHECK(directory.entries() == 0);
}

TEST_CASE("read_json names the place of a mistake", "[io][json]") {
    const TemporaryDirectory directory;
    const auto message = [&](const std::string& text) {
        return error_of(directory, [&] { io::read_json(directory.put("a.json", text)); });
    };
    CHECK(error_of(directory, [&] { io::read_json(directory / "none.json"); }) ==
          "none.json: cannot be opened (No such file or directory)");
    CHECK(message("") ==
          "a.json: not JSON at line 1, column 1 (byte 1): while parsing value - unexpected end of input; "
          "expected '[', '{', or a literal");
    CHECK(message("{\n  \"a\": 1,\n  \"b\": nope\n}") ==
          "a.json: not JSON at line 3, column 9 (byte 21): while parsing value - invalid literal");
    CHECK(message("{\"a\": 1} x") ==
          "a.json: not JSON at line 1, column 10 (byte 10): while parsing value - invalid literal");
    CHECK(message("[1e999]") == "a.json: not JSON: number overflow parsing '1e999'");
    CHECK(message("{\"a\": {\"b\": 1}, \"c\": {\"b\": 1}}") == "no error");
    CHECK(message("{\"a\": 1, \"b\": [{\"a\": 2}], \"a\": 3}") == "a.json: key \"a\" appears twice in one object");
    // A mistake in a megabyte of text is not answered with a megabyte.
    CHECK(message("\"" + std::string(1'000'000, 'x')).size() < 200);
    CHECK(message("[" + std::string(1'000'000, '9') + "]").size() < 200);
    CHECK(message("{\"a\\n\": 1, \"a\\n\": 1}") == "a.json: key \"a?\" appears twice in one object");
    CHECK(message(std::string(300'000, '[')) == "a.json: is nested more than 64 deep");
    CHECK(message(std::string(65, '[') + std::string(65, ']')) == "a.json: is nested more than 64 deep");
    CHECK(message(std::string(64, '[') + std::string(64, ']')) == "no error");
}

TEST_CASE("a JSON file cut anywhere is refused", "[io][json]") {
    const TemporaryDirectory directory;
    const std::string text = "{\"a\": [1, 2.5e-3, \"x\\u00e9\", true, null], \"b\": {\"c\": -1}}";
    for (std::size_t length = 0; length < text.size(); ++length)
        REQUIRE_THROWS_AS(io::read_json(directory.put("a.json", text.substr(0, length))), hwnas::Error);
}

TEST_CASE("require converts nothing silently", "[io][json]") {
    const Json json = {{"flag", true},      {"whole", 300},      {"half", 1.5},
                       {"minus", -1},       {"text", "abc"},     {"huge", 1e300},
                       {"rows", {1, 2, 3}}, {"mixed", {1, "x"}}, {"nested", {{1.0, 2.0}, {3.0}}}};
    CHECK(io::require<bool>(json, "flag", "f"));
    CHECK(io::require<int>(json, "whole", "f") == 300);
    CHECK(io::require<double>(json, "whole", "f") == 300.0);
    CHECK(io::require<float>(json, "half", "f") == 1.5f);
    CHECK(io::require<std::string>(json, "text", "f") == "abc");
    CHECK(io::require<std::vector<std::int64_t>>(json, "rows", "f") == std::vector<std::int64_t>{1, 2, 3});
    CHECK(io::require<std::vector<std::vector<double>>>(json, "nested", "f")[1][0] == 3.0);
    CHECK(io::require<Json>(json, "rows", "f").size() == 3);
    CHECK(io::value_or<int>(json, "absent", 7, "f") == 7);
    CHECK(io::value_or<int>(json, "whole", 7, "f") == 300);

    const auto message = [&](auto type, const char* key) {
        return error_of([&] { io::require<decltype(type)>(json, key, "f.json"); });
    };
    CHECK(message(0, "absent") == "f.json: key \"absent\" is missing");
    CHECK(message(0, "text") == "f.json: key \"text\" has the wrong type (string, integer expected)");
    CHECK(message(0, "half") == "f.json: key \"half\" has the wrong type (number, integer expected)");
    CHECK(message(0, "flag") == "f.json: key \"flag\" has the wrong type (boolean, integer expected)");
    CHECK(message(0.0, "flag") == "f.json: key \"flag\" has the wrong type (boolean, number expected)");
    CHECK(message(false, "whole") == "f.json: key \"whole\" has the wrong type (number, boolean expected)");
    CHECK(message(std::string{}, "whole") == "f.json: key \"whole\" has the wrong type (number, string expected)");
    CHECK(message(std::vector<int>{}, "whole") == "f.json: key \"whole\" has the wrong type (number, array expected)");
    CHECK(message(std::vector<int>{}, "mixed") ==
          "f.json: key \"mixed[1]\" has the wrong type (string, integer expected)");
    CHECK(message(std::uint8_t{}, "whole") == "f.json: key \"whole\" is 300, out of range");
    CHECK(message(0u, "minus") == "f.json: key \"minus\" is -1, out of range");
    CHECK(message(0.0f, "huge") == "f.json: key \"huge\" is 1e+300, out of range");
    CHECK(error_of([&] { io::require<int>(json["rows"], "a", "f.json"); }) ==
          "f.json: array where an object with key \"a\" is expected");
    CHECK(error_of([&] { io::value_or<int>(json, "text", 7, "f.json"); }) ==
          "f.json: key \"text\" has the wrong type (string, integer expected)");
}

TEST_CASE("check_schema tells a foreign file from another version", "[io][json]") {
    const auto message = [](const Json& json) {
        return error_of([&] { io::check_schema(json, "hwnas-latency/1", "t.json"); });
    };
    CHECK(message({{"schema", "hwnas-latency/1"}}) == "no error");
    CHECK(
        message({{"schema", "hwnas-latency/2"}}) ==
        "t.json: schema version \"hwnas-latency/2\" is unknown, this library reads \"hwnas-latency/1\" (write the file "
        "again, or use its version)");
    CHECK(message({{"schema", "hwnas-genotype/1"}}) ==
          "t.json: schema \"hwnas-genotype/1\" is another kind of file, \"hwnas-latency/1\" is expected");
    CHECK(message({{"rows", 1}}) == "t.json: key \"schema\" is missing");
    CHECK(message({{"schema", 1}}) == "t.json: key \"schema\" has the wrong type (number, string expected)");
    CHECK(message(Json::array()) == "t.json: array where an object with key \"schema\" is expected");
}

}  // namespace io_json_test
