// SPDX-License-Identifier: MIT
#include <hwnas/ops/linear.hpp>
#include <hwnas/tensor/eigen.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

namespace tensor_eigen_test {

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("tensors and Eigen matrices hold the same rows and columns", "[tensor]") {
    const auto device = test_device();
    const auto tensor = Tensor<float>::from({1, 2, 3, 4, 5, 6}, {2, 3}, device);
    const auto matrix = to_eigen(tensor);
    REQUIRE(matrix.rows() == 2);
    REQUIRE(matrix.cols() == 3);
    CHECK(matrix(0, 2) == 3);
    CHECK(matrix(1, 0) == 4);
    const auto turned = from_eigen(matrix.transpose() * 2.0f, device);
    CHECK(turned.shape() == Shape{3, 2});
    CHECK(turned.to_vector() == std::vector<float>{2, 8, 4, 10, 6, 12});
    CHECK(to_eigen(tensor.reshape({1, 2, 3})).rows() == 2);
    CHECK(to_eigen(Tensor<double>::scalar(7, device))(0, 0) == 7);
    CHECK(from_eigen(Eigen::VectorXd::Constant(4, 1.5), device).shape() == Shape{4, 1});
}

TEST_CASE("linear agrees with Eigen's product", "[tensor]") {
    const auto device = test_device();
    const auto x = random_tensor<double>({37, 29}, 1, device), w = random_tensor<double>({29, 11}, 2, device);
    const EigenMatrix<double> expected = to_eigen(x) * to_eigen(w);
    const auto found = to_eigen(linear(Variable<double>(x), Variable<double>(w)).value());
    CHECK((found - expected).norm() <= 1e-14 * expected.norm());
}

}  // namespace tensor_eigen_test
