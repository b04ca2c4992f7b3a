// SPDX-License-Identifier: MIT
// Without a GPU, or without a CUDA backend, no device is counted, and device() says what to use instead.
#include <hwnas/cuda.hpp>

#include <string>

#include "support/catch.hpp"

namespace core_cuda_unavailable_test {

TEST_CASE("without a CUDA device, device() says why and what to use instead", "[core][cuda]") {
    const int count = hwnas::cuda::device_count();
    if (count > 0) SKIP("this build has a CUDA backend and " << count << " device(s)");
    CHECK(count == 0);
    for (const int index : {0, 1, -1}) {
        std::string message = "no error";
        try {
            hwnas::cuda::device(index);
        } catch (const hwnas::Error& error) {
            message = error.what();
        }
        INFO(message);
        CHECK((message == "cuda::device: this build of hwnas has no CUDA backend; use hwnas::cpu::device()" ||
               message.rfind("cuda::device: no CUDA device can be used here (", 0) == 0));
        CHECK(message.find("use hwnas::cpu::device()") != std::string::npos);
    }
}

}  // namespace core_cuda_unavailable_test
