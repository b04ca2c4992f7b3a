// SPDX-License-Identifier: MIT
// safetensors: exact bytes written, everything unsound refused with file and place.
#include <hwnas/io/safetensors.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_safetensors_test {

namespace {

namespace io = hwnas::io;
using hwnas_test::error_of;
using hwnas_test::TemporaryDirectory;

/// A file from its parts, the header length as given or as it is.
std::string file_of(const std::string& header, const std::string& data, std::int64_t length = -1) {
    const std::uint64_t announced = length < 0 ? header.size() : static_cast<std::uint64_t>(length);
    std::string text(8, '\0');
    std::memcpy(text.data(), &announced, 8);
    return text + header + data;
}

io::SafeTensors sample() {
    io::SafeTensors content;
    content.metadata = {{"epoch", "3"}, {"a \"quoted\" key", "text"}};
    content.tensors.push_back(io::safe_tensor<float>("weight", {2, 3}, std::vector<float>{1, -2, 3.5f, 0, -0.0f, 6}));
    content.tensors.push_back(io::safe_tensor<std::uint8_t>("mask", {3}, std::vector<std::uint8_t>{1, 0, 255}));
    content.tensors.push_back(io::safe_tensor<double>("scalar", {}, std::vector<double>{0.1}));
    content.tensors.push_back(io::safe_tensor<std::int32_t>("none", {0, 4}, std::vector<std::int32_t>{}));
    content.tensors.push_back(io::safe_tensor<std::int64_t>("step", {1}, std::vector<std::int64_t>{-5}));
    return content;
}

}  // namespace

TEST_CASE("safetensors are written to the byte as the format says", "[io][safetensors]") {
    const TemporaryDirectory directory;
    io::SafeTensors content;
    content.tensors.push_back(io::safe_tensor<std::uint8_t>("b", {2}, std::vector<std::uint8_t>{7, 8}));
    content.metadata["k"] = "v";
    io::write_safetensors(directory / "a", content);
    const std::string header = R"({"__metadata__":{"k":"v"},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
    const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
    CHECK(io::read_file(directory / "a") == file_of(padded, "\x07\x08"));
}

TEST_CASE("what is written reads back, twice to the same bytes", "[io][safetensors]") {
    const TemporaryDirectory directory;
    const auto content = sample();
    io::write_safetensors(directory / "a", content);
    const auto back = io::read_safetensors(directory / "a");
    CHECK(back.metadata == content.metadata);
    REQUIRE(back.tensors.size() == content.tensors.size());
    for (const auto& tensor : content.tensors) {
        CHECK(back.at(tensor.name).dtype == tensor.dtype);
        CHECK(back.at(tensor.name).shape == tensor.shape);
        CHECK(back.at(tensor.name).data == tensor.data);
    }
    CHECK(io::values<float>(back.at("weight"))[2] == 3.5f);
    CHECK(io::values<double>(back.at("scalar")) == std::vector<double>{0.1});
    CHECK(io::values<std::int64_t>(back.at("step"), std::vector<std::int64_t>{1})[0] == -5);
    CHECK(back.contains("mask"));
    CHECK_FALSE(back.contains("Mask"));
    io::write_safetensors(directory / "b", back);
    io::write_safetensors(directory / "c", content);
    CHECK(io::read_file(directory / "c") == io::read_file(directory / "a"));
    CHECK(io::read_safetensors(directory / "b").tensors.size() == 5);

    io::write_safetensors(directory / "empty", {});
    CHECK(io::read_file(directory / "empty") == file_of("{}      ", ""));
    CHECK(io::read_safetensors(directory / "empty").tensors.empty());
}

TEST_CASE("typed access to tensors is checked", "[io][safetensors]") {
    const auto content = sample();
    CHECK(error_of([&] { content.at("weigth"); }) ==
          "safetensors: no tensor \"weigth\" among the 5 there are (weight, mask, scalar, none, step)");
    CHECK(error_of([&] { io::values<double>(content.at("weight")); }) ==
          "safetensors: tensor \"weight\" is F32, F64 is asked for");
    CHECK(error_of([&] { io::values<float>(content.at("weight"), std::vector<std::int64_t>{3, 2}); }) ==
          "safetensors: tensor \"weight\" has shape [2, 3], [3, 2] is asked for");
    CHECK(error_of([&] { io::safe_tensor<float>("w", {2, 2}, std::vector<float>(3)); }) ==
          "safetensors: tensor \"w\" of shape [2, 2] is given 3 values");
    io::SafeTensor broken = content.at("weight");
    broken.data.pop_back();
    CHECK(error_of([&] { io::values<float>(broken); }) ==
          "safetensors: tensor \"weight\" of shape [2, 3] holds 23 bytes");
    io::SafeTensors many;
    for (int i = 0; i < 9; ++i) many.tensors.push_back(io::safe_tensor<float>(std::string(1, char('a' + i)), {0}, {}));
    CHECK(error_of([&] { many.at("z"); }) ==
          "safetensors: no tensor \"z\" among the 9 there are (a, b, c, d, e, f, g, h, ...)");
}

TEST_CASE("write_safetensors refuses what no reader would take", "[io][safetensors]") {
    const TemporaryDirectory directory;
    const auto message = [&](auto change) {
        auto content = sample();
        change(content);
        return error_of(directory, [&] { io::write_safetensors(directory / "a", content); });
    };
    CHECK(message([](auto& c) { c.tensors[1].name = "weight"; }) ==
          "a: tensor name \"weight\" is reserved or used twice");
    CHECK(message([](auto& c) { c.tensors[1].name = "__metadata__"; }) ==
          "a: tensor name \"__metadata__\" is reserved or used twice");
    CHECK(message([](auto& c) { c.tensors[0].data.pop_back(); }) ==
          "a: tensor \"weight\" of dtype F32 and shape [2, 3] takes 24 bytes, 23 are given");
    CHECK(message([](auto& c) { c.tensors[0].dtype = "BF16"; }) ==
          "a: tensor \"weight\" has dtype BF16, known are F32 F64 I32 I64 U8");
    CHECK(message([](auto& c) { c.tensors[0].shape = {-2, -3}; }) ==
          "a: tensor \"weight\" has shape [-2, -3], extents cannot be negative");
    CHECK(message([](auto& c) { c.metadata["x"] = "\xff"; }) ==
          "a: a name or metadata text is not UTF-8, safetensors holds nothing else");
    CHECK(directory.entries() == 0);
}

TEST_CASE("read_safetensors names file and place of every fault", "[io][safetensors]") {
    const TemporaryDirectory directory;
    const auto raw = [&](const std::string& content) {
        return error_of(directory, [&] { io::read_safetensors(directory.put("f", content)); });
    };
    const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
        return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
    };
    const auto one = [&](const std::string& value, std::size_t data = 8) {
        return raw(file_of(R"({"w":)" + value + "}", std::string(data, 'x')));
    };
    const auto two = [&](const std::string& a, const std::string& b, std::size_t data) {
        return raw(file_of(R"({"a":)" + a + R"(,"b":)" + b + "}", std::string(data, 'x')));
    };
    CHECK(error_of(directory, [&] { io::read_safetensors(directory / "none"); }) ==
          "none: cannot be opened (No such file or directory)");
    CHECK(raw("1234567") == "f: 7 bytes, too short for the 8 of the header length (truncated)");
    CHECK(raw(file_of("{}", "", 3)) == "f: header length 3, but 2 bytes follow (truncated)");
    CHECK(raw(file_of("{}", "", 100'000'001)) ==
          "f: header length 100,000,001 is over 100,000,000, not a safetensors file");
    CHECK(raw("{\"schema\": \"hwnas-genotype/1\"}") ==
          "f: is JSON, weights are in a file of safetensors (an architecture is given by itself)");
    CHECK(raw(file_of("", "")) == "f: the header does not start with '{', not a safetensors file");
    CHECK(raw(file_of("[1]", "")) == "f: the header does not start with '{', not a safetensors file");
    CHECK(raw(file_of("{\"a\":}", "")) ==
          "f: header: not JSON at line 1, column 6 (byte 6): while parsing value - unexpected '}'; expected '[', '{', "
          "or a "
          "literal");
    CHECK(raw(file_of(R"({"w":)" + entry("U8", "[1]", "[0,1]") + R"(,"w":)" + entry("U8", "[1]", "[1,2]") + "}",
                      "xx")) == "f: header: key \"w\" appears twice in one object");
    CHECK(raw(file_of(R"({"__metadata__":1})", "")) == "f: __metadata__ is number, an object is expected");
    CHECK(raw(file_of(R"({"__metadata__":{"k":1}})", "")) ==
          "f: __metadata__: key \"k\" has the wrong type (number, string expected)");

    CHECK(raw(file_of(R"({"w\n)" + std::string(70, 'w') + R"(":1})", "")) ==
          "f: tensor \"w?" + std::string(58, 'w') + "...\": number where an object with key \"dtype\" is expected");
    CHECK(one("1") == "f: tensor \"w\": number where an object with key \"dtype\" is expected");
    CHECK(one(R"({"dtype":"F32","shape":[2]})") == "f: tensor \"w\": key \"data_offsets\" is missing");
    CHECK(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})") ==
          "f: tensor \"w\": has 4 keys, dtype, shape and data_offsets are all there may be");
    CHECK(one(entry("F32", "[2]", "[0,4,8]")) == "f: tensor \"w\": has 3 data_offsets, begin and end are expected");
    CHECK(one(entry("F32", "[2]", "[-1,7]")) == "f: tensor \"w\": key \"data_offsets[0]\" is -1, out of range");
    CHECK(one(entry("F32", "[2.0]", "[0,8]")) ==
          "f: tensor \"w\": key \"shape[0]\" has the wrong type (number, integer expected)");
    CHECK(one(entry("Q4", "[2]", "[0,8]")) == "f: tensor \"w\" has dtype Q4, known are F32 F64 I32 I64 U8");
    CHECK(one(entry("F32", "[-2]", "[0,8]")) == "f: tensor \"w\" has shape [-2], extents cannot be negative");
    CHECK(one(entry("F32", "[4611686018427387904,4]", "[0,8]")) ==
          "f: tensor \"w\" has shape [4611686018427387904, 4], more than a file can hold");
    CHECK(one(entry("F32", "[3]", "[0,8]")) == "f: tensor \"w\": F32 [3] takes 12 bytes, data_offsets [0, 8] hold 8");
    CHECK(one(entry("F32", "[3]", "[0,12]")) ==
          "f: tensor \"w\": data_offsets [0, 12] lie outside the 8 bytes of data");
    CHECK(one(entry("F32", "[0]", "[8,4]")) == "f: tensor \"w\": data_offsets [8, 4] lie outside the 8 bytes of data");
    CHECK(one(entry("F32", "[1]", "[0,4]")) == "f: 8 bytes of data, the tensors describe 4");
    CHECK(one(entry("F32", "[1]", "[4,8]")) == "f: tensor \"w\" begins at data byte 4, after a hole from byte 0");
    CHECK(two(entry("U8", "[4]", "[0,4]"), entry("U8", "[4]", "[2,6]"), 6) ==
          "f: tensor \"b\" begins at data byte 2, inside a tensor that ends at byte 4");
    CHECK(two(entry("U8", "[4]", "[0,4]"), entry("U8", "[1]", "[5,6]"), 6) ==
          "f: tensor \"b\" begins at data byte 5, after a hole from byte 4");
    CHECK(two(entry("U8", "[4]", "[2,6]"), entry("U8", "[2]", "[0,2]"), 6) == "no error");
}

TEST_CASE("a safetensors file cut anywhere is refused", "[io][safetensors]") {
    const TemporaryDirectory directory;
    io::write_safetensors(directory / "whole", sample());
    const std::string whole = io::read_file(directory / "whole");
    for (std::size_t length = 0; length < whole.size(); ++length) {
        INFO("cut to " << length << " of " << whole.size() << " bytes");
        REQUIRE_THROWS_AS(io::read_safetensors(directory.put("f", whole.substr(0, length))), hwnas::Error);
    }
    REQUIRE_THROWS_AS(io::read_safetensors(directory.put("f", whole + "x")), hwnas::Error);
}

TEST_CASE("a safetensors file with any byte changed is read or refused, never worse", "[io][safetensors]") {
    const TemporaryDirectory directory;
    io::write_safetensors(directory / "whole", sample());
    const std::string whole = io::read_file(directory / "whole");
    for (std::size_t at = 0; at < whole.size(); ++at)
        for (const char value : {'\0', '\xff', '"', '9', '-', '}', '[', static_cast<char>(whole[at] ^ 1)}) {
            std::string changed = whole;
            changed[at] = value;
            const auto path = directory.put("f", changed);
            (void)error_of([&] { io::read_safetensors(path); });
        }
    SUCCEED();
}

}  // namespace io_safetensors_test
