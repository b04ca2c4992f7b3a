// SPDX-License-Identifier: MIT
// SHA-256 (FIPS 180-4), to tell the data a result was made from. Portable rounds, and the processor's own where it has
// them, which are over three times as fast.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace hwnas::io {

namespace detail {

inline constexpr std::array<std::uint32_t, 64> sha256_constants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

using Sha256State = std::array<std::uint32_t, 8>;

inline void sha256_blocks_portable(Sha256State& state, const unsigned char* data, std::size_t blocks) {
    for (; blocks > 0; --blocks, data += 64) {
        std::array<std::uint32_t, 64> w{};
        for (std::size_t i = 0; i < 16; ++i)
            w[i] = std::uint32_t{data[4 * i]} << 24 | std::uint32_t{data[4 * i + 1]} << 16 |
                   std::uint32_t{data[4 * i + 2]} << 8 | std::uint32_t{data[4 * i + 3]};
        for (std::size_t i = 16; i < 64; ++i) {
            const std::uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3)) + w[i - 7] +
                   (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10));
        }
        auto [a, b, c, d, e, f, g, h] = state;
        for (std::size_t i = 0; i < 64; ++i) {
            const std::uint32_t first = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                                        ((e & f) ^ (~e & g)) + sha256_constants[i] + w[i];
            const std::uint32_t second =
                (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + first, d = c, c = b, b = a, a = first + second;
        }
        const Sha256State step = {a, b, c, d, e, f, g, h};
        for (std::size_t i = 0; i < 8; ++i) state[i] += step[i];
    }
}

#if defined(__x86_64__)
inline bool sha256_in_hardware() {
    static const bool answer = [] {
        unsigned a = 0, b = 0, c = 0, d = 0;
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b >> 29 & 1u) != 0 &&
               __builtin_cpu_supports("sse4.1") != 0;
    }();
    return answer;
}

using Sha256Lanes [[gnu::vector_size(16)]] = std::uint32_t;

// The instructions hold the state as (f e b a) and (h g d c), lowest lane first. Lanes are moved by
// __builtin_shufflevector, because g++ 12 refuses the intrinsics with immediates at -O0 behind a precompiled header
// that includes fmt.
[[gnu::target("sha,sse4.1")]] inline void sha256_blocks_hardware(Sha256State& state, const unsigned char* data,
                                                                 std::size_t blocks) {
    const auto lanes = [](__m128i value) { return std::bit_cast<Sha256Lanes>(value); };
    const auto whole = [](Sha256Lanes value) { return std::bit_cast<__m128i>(value); };
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    Sha256Lanes low, high;
    std::memcpy(&low, state.data(), 16);
    std::memcpy(&high, state.data() + 4, 16);
    Sha256Lanes feba = __builtin_shufflevector(high, low, 1, 0, 5, 4);
    Sha256Lanes hgdc = __builtin_shufflevector(high, low, 3, 2, 7, 6);
    for (; blocks > 0; --blocks, data += 64) {
        const Sha256Lanes feba_before = feba, hgdc_before = hgdc;
        Sha256Lanes w[4];
        for (int i = 0; i < 4; ++i)
            w[i] = lanes(_mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 16 * i)), swap));
        for (std::size_t i = 0; i < 16; ++i) {
            Sha256Lanes sum;
            std::memcpy(&sum, sha256_constants.data() + 4 * i, 16);
            sum += w[0];
            hgdc = lanes(_mm_sha256rnds2_epu32(whole(hgdc), whole(feba), whole(sum)));
            sum = __builtin_shufflevector(sum, sum, 2, 3, 0, 1);
            feba = lanes(_mm_sha256rnds2_epu32(whole(feba), whole(hgdc), whole(sum)));
            const Sha256Lanes part =
                lanes(_mm_sha256msg1_epu32(whole(w[0]), whole(w[1]))) + __builtin_shufflevector(w[2], w[3], 1, 2, 3, 4);
            const Sha256Lanes next = lanes(_mm_sha256msg2_epu32(whole(part), whole(w[3])));
            w[0] = w[1], w[1] = w[2], w[2] = w[3], w[3] = next;
        }
        feba += feba_before;
        hgdc += hgdc_before;
    }
    low = __builtin_shufflevector(feba, hgdc, 3, 2, 7, 6);
    high = __builtin_shufflevector(feba, hgdc, 1, 0, 5, 4);
    std::memcpy(state.data(), &low, 16);
    std::memcpy(state.data() + 4, &high, 16);
}
#endif

inline void sha256_blocks(Sha256State& state, const unsigned char* data, std::size_t blocks) {
#if defined(__x86_64__)
    if (sha256_in_hardware()) return sha256_blocks_hardware(state, data, blocks);
#endif
    sha256_blocks_portable(state, data, blocks);
}

}  // namespace detail

/// SHA-256 of bytes given in pieces.
class Sha256 {
public:
    /// Appends `size` bytes to the message.
    void update(const void* data, std::size_t size) {
        if (size == 0) return;
        const auto* bytes = static_cast<const unsigned char*>(data);
        length_ += size;
        if (held_ > 0) {
            const std::size_t taken = std::min(size, block_.size() - held_);
            std::memcpy(block_.data() + held_, bytes, taken);
            held_ += taken, bytes += taken, size -= taken;
            if (held_ < block_.size()) return;
            detail::sha256_blocks(state_, block_.data(), 1);
            held_ = 0;
        }
        detail::sha256_blocks(state_, bytes, size / 64);
        held_ = size % 64;
        if (held_ > 0) std::memcpy(block_.data(), bytes + (size - held_), held_);
    }
    /// Appends a text to the message.
    void update(std::string_view text) { update(text.data(), text.size()); }

    /// 64 lower-case hexadecimal digits of the message so far; more may be appended afterwards.
    std::string hex() const {
        Sha256 copy = *this;
        const std::uint64_t bits = length_ * 8;
        std::array<unsigned char, 72> tail{0x80};
        const std::size_t zeros = (held_ < 56 ? 56 : 120) - held_;
        for (std::size_t i = 0; i < 8; ++i) tail[zeros + i] = static_cast<unsigned char>(bits >> (56 - 8 * i));
        copy.update(tail.data(), zeros + 8);
        std::string text;
        for (const std::uint32_t word : copy.state_)
            for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
        return text;
    }

private:
    detail::Sha256State state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<unsigned char, 64> block_{};
    std::size_t held_ = 0;
    std::uint64_t length_ = 0;
};

/// SHA-256 of a text or of any bytes, as 64 hexadecimal digits.
inline std::string sha256(std::string_view bytes) {
    Sha256 digest;
    digest.update(bytes);
    return digest.hex();
}

}  // namespace hwnas::io
