// SPDX-License-Identifier: MIT
// A build without CUDA counts no device, and device() says what to use instead.
#include <hwnas/cuda.hpp>

#include <string>

#include "support/catch.hpp"

TEST_CASE("without a CUDA backend device() says what to use instead", "[core][cuda]") {
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
        CHECK(message == "cuda::device: this build of hwnas has no CUDA backend; use hwnas::cpu::device()");
    }
}
