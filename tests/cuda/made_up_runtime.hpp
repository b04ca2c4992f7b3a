// SPDX-License-Identifier: MIT
// What the tests of the CUDA device on a made-up runtime share.
#pragma once

#include <fake_cuda.hpp>
#include <functional>
#include <string>

namespace hwnas::testing {

/// Every test case begins and ends with nothing there.
struct Clean {
    Clean() { fake_cuda::reset(); }
    ~Clean() { fake_cuda::reset(); }
};
inline std::string message_of(const std::function<void()>& f) {
    try {
        f();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "";
}

}  // namespace hwnas::testing
