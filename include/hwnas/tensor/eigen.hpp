// SPDX-License-Identifier: MIT
// Tensors and Eigen matrices: for programs that do their own linear algebra with what a network computes.
#pragma once

#include <hwnas/tensor/tensor.hpp>

#include <Eigen/Core>

namespace hwnas {

/// A matrix as tensors lie in memory: row by row.
template <class T>
using EigenMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Copies a tensor of any device to the host: the last dimension becomes columns, all others rows; a 0-d tensor is 1 x
/// 1.
template <class T>
EigenMatrix<T> to_eigen(const Tensor<T>& tensor) {
    const auto values = tensor.to_vector();
    const std::int64_t columns = tensor.shape().rank() > 0 ? tensor.shape()[-1] : 1;
    const std::int64_t rows = columns > 0 ? tensor.elements() / columns : 0;
    return Eigen::Map<const EigenMatrix<T>>(values.data(), rows, columns);
}

/// Copies a matrix, a vector, or any Eigen expression of numbers T, to a tensor [rows, columns] on a device.
template <class Derived>
Tensor<typename Derived::Scalar> from_eigen(const Eigen::MatrixBase<Derived>& matrix, const Device& device) {
    using T = typename Derived::Scalar;
    const EigenMatrix<T> values = matrix;
    return Tensor<T>::from(std::span<const T>(values.data(), static_cast<std::size_t>(values.size())),
                           {values.rows(), values.cols()}, device);
}

}  // namespace hwnas
