// SPDX-License-Identifier: MIT
// What <hwnas/cuda.hpp> declares, for builds without CUDA: no device, and an error that says so.
#include <hwnas/cuda.hpp>

namespace hwnas::cuda {

int device_count() noexcept {
    return 0;
}

Device device(int) {
    fail("cuda::device: this build of hwnas has no CUDA backend; use hwnas::cpu::device()");
}

}  // namespace hwnas::cuda
