// SPDX-License-Identifier: MIT
#include <hwnas/ops/concat.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_concat_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

auto concatenate() {
    return [](const auto& v) { return concat(v); };
}
/// Element (row, column) of the operands side by side, and where it stands in its operand.
struct Place {
    std::size_t operand, at;
};
std::vector<Place> places(std::int64_t rows, const std::vector<std::int64_t>& channels) {
    std::vector<Place> all;
    for (std::int64_t row = 0; row < rows; ++row)
        for (std::size_t j = 0; j < channels.size(); ++j)
            for (std::int64_t c = 0; c < channels[j]; ++c)
                all.push_back({j, static_cast<std::size_t>(row * channels[j] + c)});
    return all;
}

}  // namespace

TEST_CASE("concat on the device and its gradients are copies", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    std::vector<std::vector<std::int64_t>> cases{{1, 3, 8, 12, 17}, {16, 16, 16, 16}, {5, 0, 2},
                                                 {4, 132, 8},       {520, 4},         {70, 301}};
    cases.emplace_back(19, 2);  // more than a call takes
    cases.emplace_back(40, 1);
    for (const auto& channels : cases)
        for (const std::int64_t rows : {1, 7, 75}) {
            if (emulated() && rows > 7 && channels[0] > 16) continue;
            INFO(channels.size() << " operands from " << channels[0] << " channels on, " << rows << " rows");
            std::vector<std::vector<double>> inputs;
            std::vector<Shape> shapes;
            for (std::size_t j = 0; j < channels.size(); ++j) {
                shapes.push_back({rows, channels[j]});
                inputs.push_back(random_values<double>(shapes.back().elements(), j));
            }
            const auto found = run_op<float>(concatenate(), inputs, shapes, device);
            const auto order = places(rows, channels);
            const auto dy = random_values<float>(static_cast<std::int64_t>(order.size()), 77);
            REQUIRE(found.y.size() == order.size());
            REQUIRE(found.gradients.size() == channels.size());
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < order.size(); ++i) {
                const auto [operand, at] = order[i];
                wrong += found.y[i] != static_cast<float>(inputs[operand][at]);
                wrong += found.gradients[operand][at] != dy[i];
            }
            CHECK(wrong == 0);
            CHECK(run_op<float>(concatenate(), inputs, shapes, device, 1, true) == found);  // as a recorded step
        }
}

TEST_CASE("concat on the device: many rows", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const std::int64_t n = emulated() ? 9 : 256;
    const Shape shape{n, 28, 28, 16};
    std::vector<std::vector<double>> inputs;
    for (std::uint64_t j = 0; j < 4; ++j) inputs.push_back(random_values<double>(shape.elements(), j));
    const std::vector<Shape> shapes(4, shape);
    const auto found = run_op<float>(concatenate(), inputs, shapes, device);
    CHECK(found == run_op<float>(concatenate(), inputs, shapes, test_device()));
    // Gradients of two uses add up: twice those of one, without rounding.
    auto doubled = found;
    for (auto& gradient : doubled.gradients)
        for (float& v : gradient) v *= 2;
    CHECK(run_op<float>(concatenate(), inputs, shapes, device, 2) == doubled);
}

TEST_CASE("concat on the device: a value that stands in the list twice, a constant between", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto twice = [](const auto& v) {
        using V = typename std::decay_t<decltype(v)>::value_type;
        return concat(std::vector<V>{v[0], v[1], v[1].detach(), v[0]});
    };
    for (const std::int64_t c : {3, 8}) {
        INFO(c << " channels");
        const std::vector<std::vector<double>> inputs{random_values<double>(33 * c, 1),
                                                      random_values<double>(33 * 5, 2)};
        const std::vector<Shape> shapes{{33, c}, {33, 5}};
        const auto found = run_op<float>(twice, inputs, shapes, device),
                   expected = run_op<float>(twice, inputs, shapes, test_device());
        CHECK(found.y == expected.y);
        REQUIRE(found.gradients.size() == 2);
        CHECK(relative_error(found.gradients[0], expected.gradients[0]) <= 1e-7);  // a sum of two
        CHECK(found.gradients[1] == expected.gradients[1]);                        // from one of its two places: a copy
    }
}

TEST_CASE("concat on the device copies NaN and infinity", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const std::int64_t c : {5, 8})
        check_specials(device, concatenate(),
                       {with_specials(random_values<float>(21 * c, 1)), with_specials(random_values<float>(21 * 4, 2))},
                       {{21, c}, {21, 4}}, with_specials(random_values<float>(21 * (c + 4), 3)));
}

}  // namespace cuda_concat_test
