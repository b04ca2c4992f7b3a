// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/accuracy.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <limits>

namespace ops_accuracy_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("accuracy counts rows whose first largest logit is the label, NaN is wrong", "[ops]") {
    const auto device = test_device();
    const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
    const auto share = [&](const std::vector<double>& row, std::int32_t label) {
        const auto n = static_cast<std::int64_t>(row.size());
        const auto single =
            accuracy(Variable<float>(Tensor<float>::from(std::vector<float>(row.begin(), row.end()), {1, n}, device)),
                     Tensor<std::int32_t>::full({1}, label, device));
        CHECK(single.shape() == Shape{});
        const auto reference = accuracy(Variable<double>(Tensor<double>::from(row, {1, n}, device)),
                                        Tensor<std::int32_t>::full({1}, label, device));
        CHECK(static_cast<double>(single.item()) == reference.item());
        return reference.item();
    };
    CHECK(share({5}, 0) == 1);
    CHECK(share({1, 3, 2}, 1) == 1);
    CHECK(share({1, 3, 2}, 2) == 0);
    CHECK(share({3, 3, 2}, 0) == 1);
    CHECK(share({3, 3, 2}, 1) == 0);
    CHECK(share({-inf, inf, 2}, 1) == 1);
    for (const std::int32_t label : {0, 1, 2}) CHECK(share({nan, nan, nan}, label) == 0);
    CHECK(share({1, nan, 2}, 2) == 0);
    CHECK(share({nan, 1}, 0) == 0);
    CHECK(share({1, 2}, 7) == 0);
}

TEST_CASE("accuracy equals a plain count, and works in a recorded step", "[ops][program]") {
    const auto device = test_device(3);
    const auto x = random_tensor<float>({257, 10}, 1, device);
    std::vector<std::int32_t> labels(257);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 10);
    const auto expected = [&] {
        int right = 0;
        const auto values = x.to_vector();
        for (std::int64_t n = 0; n < 257; ++n)
            right +=
                std::max_element(values.begin() + n * 10, values.begin() + n * 10 + 10) - values.begin() - n * 10 ==
                n % 10;
        return static_cast<float>(right / 257.0);
    };
    const auto on_device = Tensor<std::int32_t>::from(labels, {257}, device);
    Tensor<float> share;
    const auto program = Program::record(device, [&] { share = accuracy(Variable<float>(x), on_device); });
    for (std::uint64_t run = 0; run < 2; ++run) {
        program.run();
        CHECK(share.item() == expected());
        CHECK(accuracy(Variable<float>(x), on_device).item() == expected());
        x.assign(random_values<float>(2570, 2 + run));
    }
}

TEST_CASE("accuracy says what it cannot take", "[ops]") {
    const auto device = test_device(), other = test_device();
    const auto x = Variable<float>(Tensor<float>::full({2, 3}, 0, device));
    const auto labels = Tensor<std::int32_t>::full({2}, 0, device);
    CHECK_THROWS_WITH(accuracy(Variable<float>(), labels), "accuracy: logits have no value");
    CHECK_THROWS_WITH(accuracy(x, {}), "accuracy: labels have no value");
    CHECK_THROWS_WITH(accuracy(Variable<float>(Tensor<float>::full({2}, 0, device)), labels),
                      "accuracy: logits have shape [2], expected [rows, classes]");
    CHECK_THROWS_WITH(accuracy(x, Tensor<std::int32_t>::full({2, 1}, 0, device)),
                      "accuracy: labels have shape [2, 1], expected [2] for logits [2, 3]");
    CHECK_THROWS_WITH(accuracy(x, Tensor<std::int32_t>::full({2}, 0, other)),
                      "accuracy: logits and labels must be on one device, they are on cpu and cpu");
}

}  // namespace ops_accuracy_test
