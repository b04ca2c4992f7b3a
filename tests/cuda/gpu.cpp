// SPDX-License-Identifier: MIT
// The device under test is the first GPU. With HWNAS_SMALL_SHAPES in the environment, which gpu_report.sh sets for
// compute-sanitizer, shapes are those of the emulator.
#include "cuda/device_under_test.hpp"

#include <hwnas/cuda.hpp>

#include <cstdlib>

namespace hwnas::testing {

std::optional<Device> device_under_test() {
    if (cuda::device_count() == 0) return std::nullopt;
    static const Device device = cuda::device(0);
    return device;
}
std::optional<Device> narrow_device_under_test() {
    return device_under_test();
}
bool emulated() {
    return std::getenv("HWNAS_SMALL_SHAPES") != nullptr;
}

}  // namespace hwnas::testing
