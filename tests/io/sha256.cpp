// SPDX-License-Identifier: MIT
// SHA-256 against published answers, in one piece and in many, portable and hardware rounds alike.
#include <hwnas/io/sha256.hpp>

#include <string>

#include "support/catch.hpp"

namespace io_sha256_test {

namespace io = hwnas::io;

TEST_CASE("SHA-256 gives the published answers", "[io][sha256]") {
    CHECK(io::sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(io::sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(io::sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(io::sha256(std::string(1'000'000, 'a')) ==
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how the message is cut", "[io][sha256]") {
    std::string message;
    for (int i = 0; i < 300; ++i) message += static_cast<char>(i * 7);
    for (std::size_t length = 0; length <= message.size(); ++length) {
        const auto whole = std::string_view(message).substr(0, length);
        const std::string answer = io::sha256(whole);
        io::Sha256 pieces;
        for (std::size_t at = 0, step = 1; at < length; at += step, step = step % 71 + 13)
            pieces.update(whole.substr(at, step));
        REQUIRE(pieces.hex() == answer);
    }
}

TEST_CASE("hex() leaves the digest open", "[io][sha256]") {
    io::Sha256 digest;
    digest.update("ab");
    (void)digest.hex();
    digest.update("c");
    CHECK(digest.hex() == io::sha256("abc"));
}

TEST_CASE("portable and dispatched SHA-256 rounds agree", "[io][sha256]") {
    std::string message;
    for (int i = 0; i < 64 * 9; ++i) message += static_cast<char>(i * i + 3 * i);
    const auto* bytes = reinterpret_cast<const unsigned char*>(message.data());
    io::detail::Sha256State portable{1, 2, 3, 4, 5, 6, 7, 8}, dispatched = portable;
    io::detail::sha256_blocks_portable(portable, bytes, 9);
    io::detail::sha256_blocks(dispatched, bytes, 9);
    CHECK(portable == dispatched);
}

}  // namespace io_sha256_test
