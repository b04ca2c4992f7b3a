// SPDX-License-Identifier: MIT
#pragma once

#include <hwnas/cpu/simplex_sample.hpp>
#include <hwnas/ops/step.hpp>

namespace hwnas {

/// S [k], k >= 1 (else Error), uniform on the simplex (Dirichlet(1, ..., 1)): non-negative with sum 1; a function of
/// (key, step, k) alone, where step [] lies on `device`. No gradient.
template <class T>
Tensor<T> simplex_sample(std::int64_t k, const Tensor<std::int64_t>& step, random::Key key, const Device& device) {
    require(k >= 1, "simplex_sample: {} coordinates asked for, at least 1 is needed", k);
    detail::require_scalar("simplex_sample", "step", step);
    detail::require_same_device("simplex_sample", "step", step.device(), "the sample", device);
    const auto out = Tensor<T>::empty({k}, device);
    submit(device, contract::SimplexSample<T>{out.data(), step.data(), k, key});
    return out;
}

}  // namespace hwnas
