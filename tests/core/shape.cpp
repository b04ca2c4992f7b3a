// SPDX-License-Identifier: MIT
#include <hwnas/core/shape.hpp>

#include "support/catch.hpp"

namespace core_shape_test {

using namespace hwnas;

TEST_CASE("shape: extents, elements, text, equality", "[core]") {
    const Shape shape{8, 28, 28, 16};
    CHECK(shape.rank() == 4);
    CHECK(shape[0] == 8);
    CHECK(shape[-1] == 16);
    CHECK(shape[-4] == 8);
    CHECK(shape.elements() == 8 * 28 * 28 * 16);
    CHECK(shape.str() == "[8, 28, 28, 16]");
    CHECK(fmt::format("{}", shape) == "[8, 28, 28, 16]");
    CHECK(fmt::format("{:>8}", Shape{3}) == "     [3]");
    CHECK(shape == Shape{8, 28, 28, 16});
    CHECK_FALSE(shape == Shape{8, 28, 28});
    CHECK_FALSE(shape == Shape{8, 28, 28, 17});
    CHECK(Shape{}.elements() == 1);
    CHECK(Shape{}.str() == "[]");
    CHECK(Shape{3, 0, 5}.elements() == 0);
    CHECK(Shape{1, 2, 3, 4, 5, 6}.elements() == 720);
}

TEST_CASE("shape refuses what memory cannot hold", "[core]") {
    CHECK_THROWS_WITH((Shape{1, 2, 3, 4, 5, 6, 7}), "shape: 7 dimensions given, at most 6 are supported");
    CHECK_THROWS_WITH((Shape{2, -1}), "shape: extent -1 is negative");
    const std::int64_t large = std::int64_t{1} << 31;
    CHECK_THROWS_WITH((Shape{large, large}), "shape: more elements than memory can address");
    CHECK((Shape{large, 8}.elements() == large * 8));
    CHECK_THROWS_AS((Shape{2, -1}), Error);
}

}  // namespace core_shape_test
