// SPDX-License-Identifier: MIT
#include <hwnas/core/random.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <vector>

namespace core_random_test {

using namespace hwnas;
using random::Key;
using random::Words;

namespace {
std::vector<std::uint32_t> words(const Words& w) {
    return {w.w[0], w.w[1], w.w[2], w.w[3]};
}
}  // namespace

TEST_CASE("Philox4x32-10 gives the published answers of Random123", "[core]") {
    using List = std::vector<std::uint32_t>;
    CHECK(words(random::philox(Words{{0, 0, 0, 0}}, Key{0, 0})) ==
          List{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    const std::uint32_t ones = 0xffffffff;
    CHECK(words(random::philox(Words{{ones, ones, ones, ones}}, Key{ones, ones})) ==
          List{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(words(random::philox(Words{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, Key{0xa4093822, 0x299f31d0})) ==
          List{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("words_at uses all bits of index and step", "[core]") {
    const Key key{1, 2};
    const auto base = words(random::words_at(key, 5, 7));
    CHECK(base == words(random::words_at(key, 5, 7)));
    CHECK(base != words(random::words_at(key, 6, 7)));
    CHECK(base != words(random::words_at(key, 5 + (std::uint64_t{1} << 32), 7)));
    CHECK(base != words(random::words_at(key, 5, 8)));
    CHECK(base != words(random::words_at(key, 5, 7 + (std::uint64_t{1} << 32))));
    CHECK(base != words(random::words_at(Key{1, 3}, 5, 7)));
    CHECK(words(random::words_at(key, 5 | std::uint64_t{6} << 32, 7)) ==
          words(random::philox(Words{{5, 6, 7, 0}}, key)));
}

TEST_CASE("uniform stays inside (0, 1), its mean is a half", "[core]") {
    CHECK(random::uniform(0) > 0.0f);
    CHECK(random::uniform(0xffffffff) < 1.0f);
    CHECK(random::uniform(0) == 0x1p-24f);
    CHECK(random::uniform(0xffffffff) == 1.0f - 0x1p-24f);
    CHECK(std::isfinite(random::gumbel(0)));
    CHECK(std::isfinite(random::gumbel(0xffffffff)));
    CHECK(random::exponential(0xffffffff) > 0.0);
    double sum = 0, squares = 0, exponential = 0, gumbel = 0, normal = 0, normal_squares = 0;
    const int n = 40'000;
    for (int i = 0; i < n; ++i) {
        const auto w = random::words_at(Key{3, 4}, static_cast<std::uint64_t>(i), 0);
        const double u = static_cast<double>(random::uniform(w.w[0]));
        sum += u, squares += u * u;
        exponential += random::exponential(w.w[1]);
        gumbel += static_cast<double>(random::gumbel(w.w[2]));
        const auto pair = random::normal_pair(w.w[0], w.w[3]);
        normal += pair[0] + pair[1], normal_squares += pair[0] * pair[0] + pair[1] * pair[1];
    }
    CHECK(std::abs(sum / n - 0.5) < 0.01);
    CHECK(std::abs(squares / n - 1.0 / 3) < 0.01);
    CHECK(std::abs(exponential / n - 1) < 0.03);
    CHECK(std::abs(gumbel / n - 0.5772156649) < 0.03);
    CHECK(std::abs(normal / (2 * n)) < 0.02);
    CHECK(std::abs(normal_squares / (2 * n) - 1) < 0.03);
}

TEST_CASE("log is accurate to 1e-15 relative", "[core]") {
    double worst = 0;
    const auto compare = [&](double x) {
        const double expected = std::log(x), error = std::abs(random::log(x) - expected);
        worst = std::max(worst, expected == 0 ? error : error / std::abs(expected));
    };
    for (std::uint32_t i = 0; i < 20'000; ++i) {
        const auto w = random::words_at(Key{5, 6}, i, 0);
        const double u = static_cast<double>(random::uniform(w.w[0]));
        compare(u);
        compare(-std::log(u));
        compare(std::ldexp(1.0 + u, static_cast<int>(w.w[1] % 2000) - 1000));
        compare(1.0 + std::ldexp(u, -static_cast<int>(w.w[2] % 40)));
        compare(1.0 - std::ldexp(u, -1 - static_cast<int>(w.w[2] % 40)));
    }
    for (const double x :
         {1.0, 2.0, 0.5, 1.4142135623730951, 1.4142135623730954, 2.2250738585072014e-308, 1.7976931348623157e308})
        compare(x);
    CHECK(worst < 1e-15);
    CHECK(random::log(1.0) == 0.0);
}

TEST_CASE("permuted is a bijection that differs between epochs and keys", "[core]") {
    const Key key{7, 8};
    for (const std::int64_t n : {1, 2, 3, 10, 1000, 55'000}) {
        const auto order = [&](Key k, std::uint64_t epoch) {
            std::vector<std::int64_t> values(static_cast<std::size_t>(n));
            for (std::int64_t i = 0; i < n; ++i) values[static_cast<std::size_t>(i)] = random::permuted(i, n, k, epoch);
            return values;
        };
        const auto first = order(key, 0);
        auto sorted = first;
        std::sort(sorted.begin(), sorted.end());
        bool bijection = true;
        for (std::int64_t i = 0; i < n; ++i) bijection = bijection && sorted[static_cast<std::size_t>(i)] == i;
        INFO("n = " << n);
        CHECK(bijection);
        CHECK(first == order(key, 0));
        if (n >= 10) {
            CHECK(first != sorted);
            CHECK(first != order(key, 1));
            CHECK(first != order(Key{7, 9}, 0));
        }
    }
}

TEST_CASE("a small permutation takes every order about equally often", "[core]") {
    int counts[6] = {};
    for (std::uint64_t epoch = 0; epoch < 6000; ++epoch) {
        const auto a = random::permuted(0, 3, Key{1, 1}, epoch), b = random::permuted(1, 3, Key{1, 1}, epoch);
        ++counts[a * 2 + (b > a ? b - 1 : b)];
    }
    for (const int count : counts) CHECK(std::abs(count - 1000) < 200);
}

TEST_CASE("named streams differ by name and seed and are stable", "[core]") {
    CHECK(seed(1).stream("a") == seed(1).stream("a"));
    CHECK_FALSE(seed(1).stream("a") == seed(1).stream("b"));
    CHECK_FALSE(seed(1).stream("a") == seed(2).stream("a"));
    CHECK_FALSE(seed(1).stream("") == seed(1).stream("a"));
    CHECK(seed(0).hash("") == 0xcbf29ce484222325ull);
    CHECK(seed(0).hash("a") == 0xaf63dc4c8601ec8cull);  // FNV-1a as published
}

}  // namespace core_random_test
