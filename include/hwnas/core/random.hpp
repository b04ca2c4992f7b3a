// SPDX-License-Identifier: MIT
// Counter-based randomness: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11).
// A draw is a pure function of (key, counter), so that any thread, device or resumed run computes the same words; the
// logarithm is our own, written in explicit fused steps, so that Gumbel noise has the same bits everywhere too.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#if defined(__CUDACC__)
#define HWNAS_HD __host__ __device__
#else
#define HWNAS_HD
#endif

namespace hwnas::random {

/// Which stream of random numbers: 64 bits.
struct Key {
    std::uint32_t low = 0, high = 0;  ///< halves of the 64 bits
    bool operator==(const Key&) const = default;
};

/// The 128 random bits of one counter.
struct Words {
    std::uint32_t w[4];  ///< four words of 32 bits
};

/// Philox4x32-10: four random words from a 128-bit counter and a 64-bit key.
HWNAS_HD inline Words philox(Words counter, Key key) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter.w[0];
        const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter.w[2];
        counter =
            Words{{static_cast<std::uint32_t>(p1 >> 32) ^ counter.w[1] ^ key.low, static_cast<std::uint32_t>(p1),
                   static_cast<std::uint32_t>(p0 >> 32) ^ counter.w[3] ^ key.high, static_cast<std::uint32_t>(p0)}};
        key.low += 0x9E3779B9u;
        key.high += 0xBB67AE85u;
    }
    return counter;
}

/// The four words at position (index, step) of a stream.
HWNAS_HD inline Words words_at(Key key, std::uint64_t index, std::uint64_t step) {
    return philox(Words{{static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                         static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32)}},
                  key);
}

/// Uniform in the open interval (0, 1): 23 bits at interval centres, exact in fp32, so that log never meets 0 or 1.
HWNAS_HD inline float uniform(std::uint32_t word) {
    return (static_cast<float>(word >> 9) + 0.5f) * 0x1p-23f;
}

/// Natural logarithm of a positive normal double, the same bits on every compiler and device; error below 1e-15
/// relative.
HWNAS_HD inline double log(double x) {
    // The builtin: nvcc takes std::bit_cast in device code only with an option.
    const std::uint64_t bits = __builtin_bit_cast(std::uint64_t, x);
    std::int64_t exponent = static_cast<std::int64_t>(bits >> 52) - 1023;
    double mantissa = __builtin_bit_cast(double, (bits & 0x000FFFFFFFFFFFFFull) | 0x3FF0000000000000ull);  // [1, 2)
    if (mantissa > 1.4142135623730951) {
        mantissa = mantissa * 0.5;
        exponent = exponent + 1;
    }
    // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.1716: the series to s^23 is below 1e-18.
    const double numerator = mantissa - 1.0, denominator = mantissa + 1.0;
    const double s = numerator / denominator;
    const double z = s * s;
    double series = 1.0 / 23.0;
    for (int k = 21; k >= 3; k -= 2) series = std::fma(series, z, 1.0 / k);
    const double tail = series * z;
    const double atanh2 = std::fma(tail, s, s);
    return std::fma(static_cast<double>(exponent), 0.6931471805599453, atanh2 * 2.0);
}

/// A standard exponential number, -log u, from a random word.
HWNAS_HD inline double exponential(std::uint32_t word) {
    return -log(static_cast<double>(uniform(word)));
}

/// A standard Gumbel number, -log(-log u), from a random word; the same bits on every device.
HWNAS_HD inline float gumbel(std::uint32_t word) {
    return static_cast<float>(-log(exponential(word)));
}

/// Position of element `index` in a random permutation of [0, n): a Feistel network over the next power of four with
/// cycle walking. Needs no table and no state, so a data order is a function of (key, epoch).
HWNAS_HD inline std::int64_t permuted(std::int64_t index, std::int64_t n, Key key, std::uint64_t epoch) {
    int half = 1;
    while ((std::int64_t{1} << (2 * half)) < n) ++half;
    const std::uint32_t mask = static_cast<std::uint32_t>((std::uint64_t{1} << half) - 1);
    std::uint64_t value = static_cast<std::uint64_t>(index);
    do {
        std::uint32_t left = static_cast<std::uint32_t>(value >> half) & mask,
                      right = static_cast<std::uint32_t>(value) & mask;
        for (std::uint32_t round = 0; round < 6; ++round) {
            const std::uint32_t mixed = words_at(key, (std::uint64_t{round + 1} << 32) | right, epoch).w[0];
            const std::uint32_t next = left ^ (mixed & mask);
            left = right;
            right = next;
        }
        value = (std::uint64_t{left} << half) | right;
    } while (value >= static_cast<std::uint64_t>(n));
    return static_cast<std::int64_t>(value);
}

/// Two standard normals from two words (Box-Muller). Host only: cos and sin come from the C library.
inline std::array<double, 2> normal_pair(std::uint32_t a, std::uint32_t b) {
    const double radius = std::sqrt(2.0 * exponential(a)), angle = 6.283185307179586 * static_cast<double>(uniform(b));
    return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace hwnas::random

namespace hwnas {

/// A seed from which every object takes its own named stream, so that one number fixes a whole run.
struct Seed {
    std::uint64_t value = 0;  ///< the one number a user writes

    /// The stream of that name: FNV-1a of the name mixed with the seed through one Philox block.
    constexpr std::uint64_t hash(std::string_view name) const {
        std::uint64_t h = 0xcbf29ce484222325ull;
        for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
        return h;
    }
    /// The key of the random stream of that name.
    random::Key stream(std::string_view name) const {
        const std::uint64_t h = hash(name);
        const auto mixed =
            random::words_at({static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32)}, h, 0);
        return {mixed.w[0], mixed.w[1]};
    }
    /// The seed of a named part: streams of equal names in different parts differ.
    Seed in(std::string_view name) const {
        const auto key = stream(name);
        return {(std::uint64_t{key.high} << 32) | key.low};
    }
};

/// seed(42): the argument that constructors with random state take.
constexpr Seed seed(std::uint64_t value) {
    return Seed{value};
}

}  // namespace hwnas
