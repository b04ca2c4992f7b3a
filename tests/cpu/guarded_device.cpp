// SPDX-License-Identifier: MIT
// The device that the tests of ops run on ends a process that touches what lies beside a tensor.
#include "support/guarded_device.hpp"

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <csignal>

#include <sys/wait.h>

namespace cpu_guarded_device_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

/// Whether a process that runs f comes to its end.
template <class F>
bool survives(F&& f) {
    const auto child = ::fork();
    if (child == 0) {
        std::signal(SIGSEGV, SIG_DFL);  // the test program reports it, which is no news here, and so do sanitizers
        std::signal(SIGBUS, SIG_DFL);
        ::close(STDERR_FILENO);
        f();
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("a guarded device ends what reads or writes beside a tensor", "[cpu]") {
    const auto back = guarded_device(1, cpu::best_isa(), Flush::back),
               front = guarded_device(1, cpu::best_isa(), Flush::front);
    const auto last = Tensor<float>::full({3, 7}, 1, back), first = Tensor<float>::full({3, 7}, 1, front);
    float* const end = last.data() + last.elements();
    float* const begin = first.data();
    CHECK(survives([&] { end[-1] = *begin; }));
    CHECK_FALSE(survives([&] { *end = 1; }));
    CHECK_FALSE(survives([&] { begin[-1] = 1; }));
    CHECK_FALSE(survives([&] { end[-1] = *static_cast<volatile float*>(end); }));
    CHECK_FALSE(survives([&] { *begin = static_cast<volatile float*>(begin)[-1]; }));
    // What a kernel does that writes one element too many.
    CHECK(survives([&] { submit(back, contract::Fill<float>{last.data(), last.elements(), 2}); }));
    CHECK_FALSE(survives([&] { submit(back, contract::Fill<float>{last.data(), last.elements() + 1, 2}); }));
}

}  // namespace cpu_guarded_device_test
