// SPDX-License-Identifier: MIT
// IDX files: what is read, and that every damaged file is refused with its name and place.
#include <hwnas/io/idx.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "io/idx_file.hpp"
#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_idx_test {

namespace io = hwnas::io;
using hwnas_test::error_of;
using hwnas_test::gzip;
using hwnas_test::idx;
using hwnas_test::TemporaryDirectory;

TEST_CASE("read_idx reads 1 to 4 dimensions, plain or gzip by content", "[io][idx]") {
    const TemporaryDirectory directory;
    const std::vector<std::vector<std::uint32_t>> shapes = {{5}, {2, 3},      {2, 3, 4}, {2, 1, 3, 2},
                                                            {0}, {0, 28, 28}, {3, 0}};
    for (const auto& shape : shapes) {
        const std::string content = idx(shape);
        for (const bool packed : {false, true}) {
            // The name says the opposite of the content on purpose.
            const auto path = directory.put(packed ? "a" : "a.gz", packed ? gzip(directory, content) : content);
            io::Sha256 digest;
            const auto array = io::read_idx(path, {.digest = &digest});
            CHECK(array.shape == std::vector<std::int64_t>(shape.begin(), shape.end()));
            CHECK(std::string(array.data.begin(), array.data.end()) == content.substr(4 + 4 * shape.size()));
            CHECK(digest.hex() == io::sha256(content));
        }
    }
}

TEST_CASE("read_idx reads more than its first buffers", "[io][idx]") {
    const TemporaryDirectory directory;
    const std::string content = idx({3, 1000, 1001});
    const auto array = io::read_idx(directory.put("big.gz", gzip(directory, content)));
    CHECK(std::string(array.data.begin(), array.data.end()) == content.substr(16));
}

TEST_CASE("read_idx says what is wrong with a file", "[io][idx]") {
    const TemporaryDirectory directory;
    const auto message = [&](const std::string& content, io::IdxOptions options = {}) {
        return error_of(directory, [&] { io::read_idx(directory.put("f", content), options); });
    };
    CHECK(error_of(directory, [&] { io::read_idx(directory / "none"); }) ==
          "none: cannot be opened (No such file or directory)");
    CHECK(error_of(directory, [&] { io::read_idx(directory.path()); }) ==
          ": is not a regular file, give the path of one");
    CHECK(message("") == "f: ends inside the 4 bytes of the IDX magic (truncated; fetch the file again)");
    CHECK(message("PK\x08\x01") == "f: starts with bytes 50 4b, an IDX file with 00 00 (fetch the file again)");
    CHECK(message(std::string("\0\0\x0d\x01", 4)) == "f: type code 0x0d is not read, only 0x08 (unsigned bytes) is");
    CHECK(message(std::string("\0\0\x08\0", 4)) == "f: 0 dimensions announced, 1 to 4 are read");
    CHECK(message(std::string("\0\0\x08\x05", 4)) == "f: 5 dimensions announced, 1 to 4 are read");
    CHECK(message(idx({2, 3}).substr(0, 11)) ==
          "f: ends inside the extents of its 2 dimensions (truncated; fetch the file again)");
    CHECK(message(idx({10'000}).substr(0, 8 + 9'213), {.items = "labels", .advice = "reinstall it"}) ==
          "f: 10,000 labels announced, file ends after 9,213 (truncated; reinstall it)");
    CHECK(message(idx({7, 5}).substr(0, 12 + 14), {.items = "images"}) ==
          "f: 7 images announced, file ends after 2 (truncated; fetch the file again)");
    CHECK(message(idx({7}) + "x") == "f: 7 items announced, but more bytes follow them (fetch the file again)");
    CHECK(message(gzip(directory, idx({7}) + "x")) ==
          "f: 7 items announced, but more bytes follow them (fetch the file again)");
}

TEST_CASE("read_idx does not allocate what a header merely announces", "[io][idx]") {
    const TemporaryDirectory directory;
    const auto message = [&](const std::string& content) {
        return error_of(directory, [&] { io::read_idx(directory.put("f", content)); });
    };
    CHECK(message(idx({0xffffffff, 0xffffffff, 2}, "abcd")) ==
          "f: 4,294,967,295 x 4,294,967,295 x 2 bytes announced, more than a file can hold (fetch the file again)");
    CHECK(message(idx({0x100000, 0x100000, 0x400}, "abcd")) ==
          "f: 1,048,576 items announced, file ends after 0 (truncated; fetch the file again)");
    CHECK(message(gzip(directory, idx({0x100000, 0x100000}, "abcd"))) ==
          "f: 1,048,576 items announced, file ends after 0 (truncated; fetch the file again)");
}

TEST_CASE("damaged gzip content is an error", "[io][idx]") {
    const TemporaryDirectory directory;
    std::string packed = gzip(directory, idx({50, 3}));
    std::string wrong = packed;
    wrong[wrong.size() - 6] = static_cast<char>(wrong[wrong.size() - 6] ^ 1);  // inside the CRC-32
    CHECK(error_of(directory, [&] { io::read_idx(directory.put("f.gz", wrong)); }) ==
          "f.gz: damaged gzip content (incorrect data check; fetch the file again)");
    wrong = packed;
    wrong[wrong.size() - 2] = static_cast<char>(wrong[wrong.size() - 2] ^ 1);  // inside the length
    CHECK(error_of(directory, [&] { io::read_idx(directory.put("f.gz", wrong)); }) ==
          "f.gz: damaged gzip content (incorrect length check; fetch the file again)");
    packed.resize(packed.size() - 3);
    CHECK(error_of(directory, [&] { io::read_idx(directory.put("f.gz", packed)); }) ==
          "f.gz: the gzip end mark is missing (truncated; fetch the file again)");
}

TEST_CASE("an IDX file cut anywhere is refused", "[io][idx]") {
    const TemporaryDirectory directory;
    const std::string plain = idx({4, 3, 2});
    for (const std::string& content : {plain, gzip(directory, plain)})
        for (std::size_t length = 0; length < content.size(); ++length) {
            INFO("cut to " << length << " of " << content.size() << " bytes");
            REQUIRE_THROWS_AS(io::read_idx(directory.put("f", content.substr(0, length))), hwnas::Error);
        }
}

TEST_CASE("an IDX file with any bit changed is read or refused, never worse", "[io][idx]") {
    const TemporaryDirectory directory;
    const std::string plain = idx({4, 3, 2});
    for (const std::string& content : {plain, gzip(directory, plain)})
        for (std::size_t bit = 0; bit < 8 * content.size(); ++bit) {
            std::string changed = content;
            changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
            const auto path = directory.put("f", changed);
            (void)error_of([&] { io::read_idx(path); });
        }
    SUCCEED();
}

}  // namespace io_idx_test
