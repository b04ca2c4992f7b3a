// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/augment.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <map>

namespace ops_augment_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

const random::Key key = Seed{3}.stream("augment test");

std::vector<float> augmented(const Tensor<float>& x, std::int64_t step, const AugmentOptions& options) {
    return augment(Variable<float>(x), Tensor<std::int64_t>::scalar(step, x.device()), key, options)
        .value()
        .to_vector();
}
/// Images [n, h, w, c] whose values are all different and above 0.
Tensor<float> numbered(const Shape& shape, const Device& device) {
    std::vector<float> values(static_cast<std::size_t>(shape.elements()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i + 1);
    return Tensor<float>::from(values, shape, device);
}

}  // namespace

TEST_CASE("augment: every image is a shift, a mirror image, a hole in it, and nothing else", "[ops]") {
    const std::int64_t n = 200, h = 7, w = 5, c = 2;
    const AugmentOptions options{
        .shift = 2, .flip = true, .erase = 0.5, .erase_size = 0.6, .outside = -1, .erased = -2};
    for (const auto isa : test_isas()) {
        const auto x = numbered({n, h, w, c}, test_device(1, isa));
        const auto in = x.to_vector(), out = augmented(x, 4, options);
        const auto at = [&](std::int64_t i, std::int64_t y, std::int64_t column, std::int64_t channel) {
            return static_cast<std::size_t>(((i * h + y) * w + column) * c + channel);
        };
        std::map<std::pair<std::int64_t, std::int64_t>, int> shifts;
        int flips = 0, holes = 0;
        std::map<std::int64_t, int> heights;
        for (std::int64_t i = 0; i < n; ++i) {
            // The one shift and mirroring that explain every pixel that is not a hole.
            int found = 0;
            for (std::int64_t dy = -2; dy <= 2; ++dy)
                for (std::int64_t dx = -2; dx <= 2; ++dx)
                    for (const bool flip : {false, true}) {
                        bool fits = true;
                        for (std::int64_t y = 0; fits && y < h; ++y)
                            for (std::int64_t column = 0; fits && column < w; ++column)
                                for (std::int64_t channel = 0; channel < c; ++channel) {
                                    const std::int64_t from_y = y - dy, from_x = (flip ? w - 1 - column : column) - dx;
                                    const bool inside = from_y >= 0 && from_y < h && from_x >= 0 && from_x < w;
                                    const float shown = out[at(i, y, column, channel)];
                                    fits = fits && (shown == -2 ||
                                                    shown == (inside ? in[at(i, from_y, from_x, channel)] : -1.0f));
                                }
                        if (fits) ++found, ++shifts[{dy, dx}], flips += flip;
                    }
            CHECK(found == 1);
            // The hole is a rectangle of at most 4 x 3.
            std::int64_t top = h, bottom = -1, left = w, right = -1, count = 0;
            for (std::int64_t y = 0; y < h; ++y)
                for (std::int64_t column = 0; column < w; ++column)
                    if (out[at(i, y, column, 0)] == -2) {
                        CHECK(out[at(i, y, column, 1)] == -2);
                        top = std::min(top, y), bottom = std::max(bottom, y), ++count;
                        left = std::min(left, column), right = std::max(right, column);
                    }
            if (count == 0) continue;
            ++holes, ++heights[bottom - top + 1];
            CHECK(count == (bottom - top + 1) * (right - left + 1));
            CHECK(bottom - top + 1 <= 4);
            CHECK(right - left + 1 <= 3);
        }
        CHECK(shifts.size() == 25);          // all of them occur
        CHECK(std::abs(flips - 100) <= 22);  // three deviations of a fair coin are 21
        CHECK(std::abs(holes - 100) <= 22);
        CHECK(heights.size() == 4);
        CHECK(augmented(x, 4, options) == out);
        CHECK(augmented(x, 5, options) != out);
    }
}

TEST_CASE("augment: each part alone, and none", "[ops]") {
    const auto x = numbered({30, 6, 6, 1}, test_device(2));
    const auto in = x.to_vector();
    CHECK(augmented(x, 0, {}) == in);
    CHECK_FALSE(AugmentOptions{}.any());
    for (const auto& options :
         {AugmentOptions{.shift = 1}, AugmentOptions{.flip = true}, AugmentOptions{.erase = 0.1}}) {
        CHECK(options.any());
        CHECK(augmented(x, 0, options) != in);
    }
    const auto all = augmented(x, 0, {.erase = 1, .erase_size = 1});
    for (std::size_t i = 0; i < 30; ++i)
        CHECK(std::count(all.begin() + static_cast<std::ptrdiff_t>(36 * i),
                         all.begin() + static_cast<std::ptrdiff_t>(36 * (i + 1)), 0.0f) >= 1);
}

TEST_CASE("augment: the same bits at 1, 2 and 5 threads, in double, and recorded", "[ops]") {
    const AugmentOptions options{.shift = 3, .flip = true, .erase = 0.7};
    const auto one = augmented(numbered({65, 28, 28, 1}, test_device(1)), 9, options);
    CHECK((augmented(numbered({65, 28, 28, 1}, test_device(2)), 9, options) == one));
    CHECK((augmented(numbered({65, 28, 28, 1}, test_device(5)), 9, options) == one));
    const auto device = test_device(1);
    const auto in = numbered({65, 28, 28, 1}, device);
    const auto values = in.to_vector();
    const auto wide = Tensor<double>::from(std::vector<double>(values.begin(), values.end()), in.shape(), device);
    const auto step = Tensor<std::int64_t>::scalar(9, device);
    const auto out = augment(Variable<double>(wide), step, key, options).value().to_vector();
    CHECK((std::vector<float>(out.begin(), out.end()) == one));
    Variable<float> recorded;
    const auto program = Program::record(device, [&] {
        recorded = augment(Variable<float>(in), step, key, options);
        advance(step);
    });
    program.run();
    CHECK((recorded.value().to_vector() == one));
    program.run();
    CHECK((recorded.value().to_vector() == augmented(in, 10, options)));
}

TEST_CASE("augment: bad input", "[ops]") {
    const auto device = test_device(1);
    const Variable<float> x(numbered({2, 6, 4, 1}, device));
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    CHECK_THROWS_WITH(augment(Variable<float>(), step, key, {}), "augment: input has no value");
    CHECK_THROWS_WITH(augment(Variable<float>(numbered({2, 6}, device)), step, key, {}),
                      "augment: input has shape [2, 6], expected [N, H, W, C]");
    CHECK_THROWS_WITH(augment(x, step, key, {.shift = 6}), "augment: a shift of up to 6 pixels in images of 6 x 4");
    CHECK_THROWS_WITH(augment(x, step, key, {.shift = -1}), "augment: a shift of up to -1 pixels in images of 6 x 4");
    CHECK_THROWS_WITH(augment(x, step, key, {.erase = 1.5}), "augment: erases 1.5 of the images, a share from 0 to 1");
    CHECK_THROWS_WITH(augment(x, step, key, {.erase_size = 0}),
                      "augment: erases up to 0 of a side, a share above 0 and up to 1");
    CHECK_THROWS_WITH(augment(x, Tensor<std::int64_t>::full({2}, 0, device), key, {}),
                      "augment: step has shape [2], expected one number, []");
}

}  // namespace ops_augment_test
