// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/concat.hpp>
#include <hwnas/ops/multiply.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace ops_concat_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("concat and its gradient are copies, for any channel counts, kernel entry and thread count", "[ops]") {
    const std::vector<std::vector<std::int64_t>> cases{{1, 3, 8, 12, 17},
                                                       {16, 16, 16, 16},
                                                       {5, 0, 2},
                                                       std::vector<std::int64_t>(19, 2),
                                                       std::vector<std::int64_t>(40, 1)};
    for (const auto& channels : cases)
        for (const auto& [threads, isa] :
             {std::pair{1, cpu::Isa::portable}, {2, cpu::best_isa()}, {5, cpu::best_isa()}}) {
            const auto device = test_device(threads, isa);
            const std::int64_t rows = 2 * 9 * 70;
            std::vector<Variable<float>> xs;
            std::size_t total = 0;
            for (std::size_t j = 0; j < channels.size(); ++j) {
                xs.push_back(Variable<float>::leaf(random_tensor<float>({2, 9, 70, channels[j]}, j, device)));
                total += static_cast<std::size_t>(channels[j]);
            }
            const auto y = concat(xs);
            REQUIRE(y.shape() == Shape{2, 9, 70, static_cast<std::int64_t>(total)});
            const auto dy = random_tensor<float>(y.shape(), 99, device);
            backward(y, dy);
            backward(concat(xs), dy);  // added to the first
            const auto out = y.value().to_vector(), back = dy.to_vector();
            bool equal = true;
            std::size_t offset = 0;
            for (std::size_t j = 0; j < xs.size(); ++j) {
                const auto x = xs[j].value().to_vector(), dx = xs[j].grad().to_vector();
                const auto c = static_cast<std::size_t>(channels[j]);
                for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r)
                    for (std::size_t i = 0; i < c; ++i)
                        equal = equal && out[r * total + offset + i] == x[r * c + i] &&
                                dx[r * c + i] == 2 * back[r * total + offset + i];
                offset += c;
            }
            CHECK(equal);
        }
}

TEST_CASE("concat: gradients agree with finite differences, also of a value that stands in the list twice",
          "[ops][gradcheck]") {
    const auto device = test_device();
    const auto result = gradcheck(
        [](const auto& v) {
            const auto square = v[0] * v[0];
            return concat<double>({v[0], square, v[1], square, square, v[0]});
        },
        {random_tensor<double>({2, 3, 4}, 1, device), random_tensor<double>({2, 3, 1}, 2, device)});
    INFO(result.message);
    CHECK(result.passed);
}

TEST_CASE("concat: constants get no gradient, one input comes back", "[ops]") {
    const auto device = test_device();
    const auto x = Variable<float>::leaf(Tensor<float>::full({2, 3}, 1, device));
    const Variable<float> c(Tensor<float>::full({2, 2}, 1, device));
    CHECK(concat<float>({x}).value().storage() == x.value().storage());
    backward(concat<float>({c, x, c}), random_tensor<float>({2, 7}, 1, device));
    CHECK(x.grad().shape() == Shape{2, 3});
    CHECK_FALSE(concat<float>({c, c}).requires_grad());
}

TEST_CASE("concat says what clashes", "[ops]") {
    const auto device = test_device();
    const auto value = [&](const Shape& shape) { return Variable<float>(Tensor<float>::full(shape, 1, device)); };
    CHECK_THROWS_WITH(concat(std::vector<Variable<float>>{}), "concat: no inputs");
    CHECK_THROWS_WITH(concat<float>({value({2, 3}), Variable<float>()}), "concat: input 1 has no value");
    CHECK_THROWS_WITH(concat<float>({Variable<float>()}), "concat: input 0 has no value");
    CHECK_THROWS_WITH(concat<float>({value({}), value({})}), "concat: input 0 has shape [], expected [..., C]");
    CHECK_THROWS_WITH(concat<float>({value({2, 3}), value({3, 3})}),
                      "concat: input 1 has shape [3, 3], input 0 has [2, 3]; they may differ in the last extent only");
    CHECK_THROWS_WITH(concat<float>({value({2, 3}), value({2})}),
                      "concat: input 1 has shape [2], input 0 has [2, 3]; they may differ in the last extent only");
}

TEST_CASE("concat in a recorded step equals eager", "[ops][program]") {
    const auto device = test_device();
    const auto x = Variable<float>::leaf(random_tensor<float>({6, 5}, 1, device));
    const auto seed = random_tensor<float>({6, 15}, 3, device);
    const auto step = [&] { return concat<float>({x, x * x, x}); };
    const auto eager = step();
    backward(eager, seed);
    const auto dx = x.grad().to_vector();
    x.set_grad(Tensor<float>::full({6, 5}, 0, device));
    Variable<float> kept;
    const auto program = Program::record(device, [&] { kept = step(), backward(kept, seed); });
    for (int i = 0; i < 2; ++i) {
        x.grad().assign(0);
        program.run();
        CHECK(kept.value().to_vector() == eager.value().to_vector());
        CHECK(x.grad().to_vector() == dx);
    }
}

}  // namespace ops_concat_test
