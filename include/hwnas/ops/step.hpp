// SPDX-License-Identifier: MIT
// What a recorded step does to its own counters and running sums, and the checks of such 0-d tensors.
#pragma once

#include <hwnas/cpu/step.hpp>
#include <hwnas/tensor/tensor.hpp>

namespace hwnas {

namespace detail {

template <class T>
void require_scalar(const char* op, const char* what, const Tensor<T>& tensor) {
    require(tensor.defined(), "{}: {} has no value", op, what);
    require(tensor.shape().rank() == 0, "{}: {} has shape {}, expected one number, []", op, what, tensor.shape());
}
inline void require_same_device(const char* op, const char* what, const Device& a, const char* other, const Device& b) {
    require(a == b, "{}: {} and {} must be on one device, they are on {} and {}", op, what, other, a.name(), b.name());
}

}  // namespace detail

/// Submits a kernel that does counter += by, for a counter [] on the device.
inline void advance(const Tensor<std::int64_t>& counter, std::int64_t by = 1) {
    detail::require_scalar("advance", "counter", counter);
    submit(counter.device(), contract::Advance{counter.data(), by});
}

/// Submits a kernel that does sum += weight value, in double, for sum [] and value []: the running mean of a loss over
/// an epoch.
template <class T>
void accumulate_scalar(const Tensor<double>& sum, const Tensor<T>& value, double weight) {
    detail::require_scalar("accumulate_scalar", "sum", sum);
    detail::require_scalar("accumulate_scalar", "value", value);
    detail::require_same_device("accumulate_scalar", "sum", sum.device(), "value", value.device());
    submit(sum.device(), contract::ScalarAccumulate<T>{sum.data(), value.data(), weight});
}

}  // namespace hwnas
