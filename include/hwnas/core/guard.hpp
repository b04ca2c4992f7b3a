// SPDX-License-Identifier: MIT
// Guard: a condition on device memory under which recorded kernels run. Std only; compiles under nvcc.
#pragma once

#include <cstdint>

namespace hwnas {

/// Kernels submitted while a guard stands run only if *flag == value, decided on the device at run time. The caller
/// keeps the flag alive. Without a flag they always run.
struct Guard {
    /// Address on the device; null: always run.
    const std::int32_t* flag = nullptr;
    std::int32_t value = 0;  ///< value of the flag at which kernels run
    bool operator==(const Guard&) const = default;
};

}  // namespace hwnas
