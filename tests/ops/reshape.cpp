// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/reshape.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace ops_reshape_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("reshape keeps the values, shares storage and passes the gradient on", "[ops][gradcheck]") {
    const auto device = test_device();
    const auto x = Variable<double>::leaf(random_tensor<double>({2, 3, 4}, 1, device));
    const auto y = reshape(x, {6, 4});
    CHECK(y.shape() == Shape{6, 4});
    CHECK(y.value().storage() == x.value().storage());
    CHECK(reshape(reshape(x, {24}), {2, 3, 4}).value().to_vector() == x.value().to_vector());
    const auto result =
        gradcheck([](const auto& v) { return reshape(v[0], {4, 6}) * reshape(v[0], {4, 6}) + reshape(v[0], {4, 6}); },
                  {x.value()});
    INFO(result.message);
    CHECK(result.passed);
}

TEST_CASE("reshape says what clashes", "[ops]") {
    const Variable<float> x(Tensor<float>::full({2, 3}, 1, test_device()));
    CHECK_THROWS_WITH(reshape(x, {7}), "reshape: [2, 3] has 6 elements, [7] has 7");
    CHECK_THROWS_WITH(reshape(Variable<float>(), {7}), "reshape: input has no value");
}

TEST_CASE("reshape in a recorded step equals eager", "[ops][program]") {
    const auto device = test_device();
    const auto x = Variable<float>::leaf(random_tensor<float>({2, 6}, 1, device));
    x.set_grad(Tensor<float>::full({2, 6}, 0, device));
    const auto seed = random_tensor<float>({3, 4}, 2, device);
    Variable<float> kept;
    const auto program = Program::record(device, [&] { kept = reshape(x * x, {3, 4}), backward(kept, seed); });
    const auto values = x.value().to_vector(), s = seed.to_vector();
    for (int i = 0; i < 2; ++i) {
        x.grad().assign(0);
        program.run();
        const auto y = kept.value().to_vector(), dx = x.grad().to_vector();
        for (std::size_t k = 0; k < y.size(); ++k) {
            CHECK(y[k] == values[k] * values[k]);
            CHECK(dx[k] == s[k] * values[k] + s[k] * values[k]);
        }
    }
}

}  // namespace ops_reshape_test
