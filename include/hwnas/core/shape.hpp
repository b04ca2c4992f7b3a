// SPDX-License-Identifier: MIT
// Shape: the extents of a tensor, up to six, slowest first. Activations are [N, H, W, C].
#pragma once

#include <hwnas/core/error.hpp>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>

namespace hwnas {

/// Extents of a dense row-major tensor; rank 0 is a scalar with one element.
class Shape {
public:
    /// Most axes a tensor may have.
    static constexpr int max_rank = 6;

    Shape() = default;
    /// Extents, outermost first; throws Error for more than max_rank, or one that is negative.
    Shape(std::initializer_list<std::int64_t> extents)
        : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}
    /// Extents, outermost first; throws Error for more than max_rank, or one that is negative.
    explicit Shape(std::span<const std::int64_t> extents) {
        require(extents.size() <= max_rank, "shape: {} dimensions given, at most {} are supported", extents.size(),
                max_rank);
        std::int64_t total = 1;
        for (const auto extent : extents) {
            require(extent >= 0, "shape: extent {} is negative", extent);
            require(extent == 0 || total <= std::numeric_limits<std::int64_t>::max() / 16 / extent,
                    "shape: more elements than memory can address");
            total *= extent;
            extents_[static_cast<std::size_t>(rank_++)] = extent;
        }
    }

    /// Number of axes; 0 for a scalar.
    int rank() const { return rank_; }
    /// Extent i; negative i counts from the last.
    std::int64_t operator[](int i) const { return extents_[static_cast<std::size_t>(i < 0 ? i + rank_ : i)]; }
    /// Product of the extents; 1 for a scalar.
    std::int64_t elements() const {
        std::int64_t total = 1;
        for (int i = 0; i < rank_; ++i) total *= (*this)[i];
        return total;
    }
    /// Whether rank and extents are equal.
    bool operator==(const Shape& other) const {
        if (rank_ != other.rank_) return false;
        for (int i = 0; i < rank_; ++i)
            if ((*this)[i] != other[i]) return false;
        return true;
    }
    /// As text: "[8, 28, 28, 16]".
    std::string str() const {
        std::string text = "[";
        for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string((*this)[i]);
        return text + "]";
    }

private:
    std::array<std::int64_t, max_rank> extents_{};
    int rank_ = 0;
};

}  // namespace hwnas

template <>
struct fmt::formatter<hwnas::Shape> : fmt::formatter<fmt::string_view> {
    auto format(const hwnas::Shape& shape, fmt::format_context& context) const {
        return fmt::formatter<fmt::string_view>::format(shape.str(), context);
    }
};
