// SPDX-License-Identifier: MIT
// Test data: seeded random tensors on the CPU device, and norms to compare with.
#pragma once

#include <hwnas/autodiff/gradcheck.hpp>

#include <algorithm>
#include <cmath>

namespace hwnas::testing {

inline Device test_device(int threads = 2, cpu::Isa isa = cpu::best_isa()) {
    return cpu::device({.threads = threads, .isa = isa});
}

/// Every kernel entry that this machine runs: portable, AVX2, AVX-512.
inline std::vector<cpu::Isa> test_isas() {
    std::vector<cpu::Isa> all;
    for (const auto isa : {cpu::Isa::portable, cpu::Isa::avx2, cpu::Isa::avx512})
        if (isa <= cpu::best_isa()) all.push_back(isa);
    return all;
}

/// Uniform in [low, high).
template <class T>
std::vector<T> random_values(std::int64_t n, std::uint64_t seed, double low = -1.0, double high = 1.0) {
    std::vector<T> values(static_cast<std::size_t>(n));
    const auto key = Seed{seed}.stream("test");
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] =
            static_cast<T>(low + (high - low) * static_cast<double>(random::uniform(random::words_at(key, i, 0).w[0])));
    return values;
}
template <class T>
Tensor<T> random_tensor(const Shape& shape, std::uint64_t seed, const Device& device, double low = -1.0,
                        double high = 1.0) {
    return Tensor<T>::from(random_values<T>(shape.elements(), seed, low, high), shape, device);
}
/// Values at least `gap` from each other and from 0, in random order: no ties and no kinks for finite differences.
template <class T>
Tensor<T> distinct_tensor(const Shape& shape, std::uint64_t seed, const Device& device, double gap = 0.01) {
    const auto n = shape.elements();
    std::vector<T> values(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i)
        values[static_cast<std::size_t>(i)] =
            static_cast<T>((static_cast<double>(random::permuted(i, n, Seed{seed}.stream("distinct"), 0)) -
                            static_cast<double>(n) / 2 + 0.25) *
                           gap);
    return Tensor<T>::from(values, shape, device);
}
/// |a - b| / |b|, Euclidean norms; infinity where sizes differ or something is not finite.
template <class A, class B>
double relative_error(const std::vector<A>& a, const std::vector<B>& b) {
    if (a.size() != b.size()) return HUGE_VAL;
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
        difference += (x - y) * (x - y);
        norm += y * y;
    }
    const double error = std::sqrt(difference) / std::max(std::sqrt(norm), 1e-30);
    return difference == 0 ? 0 : std::isfinite(error) ? error : HUGE_VAL;
}

}  // namespace hwnas::testing
