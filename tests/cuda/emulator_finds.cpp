// SPDX-License-Identifier: MIT
// The emulator finds what it is there to find: kernels with a planted bug each, and the same kernel without it.
#include "../../cuda/platform.cuh"
#include "support/catch.hpp"

#include <numeric>

using namespace hwnas;
using emulator::Order;

namespace {

enum class Bug {
    none,
    no_barrier,
    divergent_barrier,
    beyond_shared,
    unwritten_read,
    lane_left,
    copied,
    copy_not_awaited
};

/// Reverses the elements of each block through shared memory.
struct Reverse {
    static constexpr int threads = 64, registers = 32;
    float* y;
    const float* x;
    Bug bug;
    void operator()() const {
        float* const tile = cuda::shared_memory<float>();
        const unsigned i = threadIdx.x;
        const std::size_t first = static_cast<std::size_t>(blockIdx.x) * blockDim.x;
        if (bug == Bug::copied || bug == Bug::copy_not_awaited) {
            cuda::copy_async<1>(tile + i, x + first + i);
            if (bug == Bug::copied) cuda::copies_arrive();
        } else if (bug != Bug::unwritten_read || i != 5)
            tile[bug == Bug::beyond_shared ? i + 1 : i] = x[first + i];
        if (bug == Bug::divergent_barrier && i % 2)
            __syncthreads();
        else if (bug != Bug::no_barrier)
            __syncthreads();
        if (bug == Bug::lane_left && i == 3) return;
        float value = tile[blockDim.x - 1 - i];
        if (bug == Bug::lane_left) value += 0 * __shfl_xor_sync(0xffffffffu, value, 1);
        y[first + i] = value;
    }
};
std::vector<float> run(Bug bug, Order order, std::int64_t blocks = 2, int threads = 64, std::size_t shared = 256) {
    std::vector<float> x(128), y(128, -1.0f);
    std::iota(x.begin(), x.end(), 1.0f);
    emulator::order = order;
    struct Restore {
        ~Restore() { emulator::order = Order::forward; }
    } restore;
    cuda::start(cuda::Stream{}, Reverse{y.data(), x.data(), bug}, blocks, threads, shared);
    return y;
}

}  // namespace

TEST_CASE("emulator: a correct kernel computes the same in both orders", "[emulated]") {
    const auto y = run(Bug::none, Order::forward);
    for (int i = 0; i < 128; ++i)
        CHECK(y[static_cast<std::size_t>(i)] == static_cast<float>(i / 64 * 64 + 64 - i % 64));
    CHECK(y == run(Bug::none, Order::backward));
}
TEST_CASE("emulator: a missing barrier makes the orders differ", "[emulated]") {
    CHECK(run(Bug::no_barrier, Order::forward) != run(Bug::no_barrier, Order::backward));
}
TEST_CASE("emulator: an unwritten read makes the orders differ", "[emulated]") {
    const auto a = run(Bug::unwritten_read, Order::forward), b = run(Bug::unwritten_read, Order::backward);
    CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) != 0);
}
TEST_CASE("emulator: an asynchronous copy is not there before the thread has waited for it", "[emulated]") {
    CHECK(run(Bug::copied, Order::forward) == run(Bug::none, Order::forward));
    CHECK(run(Bug::copy_not_awaited, Order::forward) != run(Bug::none, Order::forward));
}
TEST_CASE("emulator: a divergent barrier is an error that says where", "[emulated]") {
    CHECK_THROWS_WITH(run(Bug::divergent_barrier, Order::forward),
                      Catch::Matchers::ContainsSubstring("divergent barrier") &&
                          Catch::Matchers::ContainsSubstring("emulator_finds.cpp:"));
    CHECK(run(Bug::none, Order::forward) == run(Bug::none, Order::backward));  // and it goes on after it
}
TEST_CASE("emulator: a shuffle with a lane that has left is an error", "[emulated]") {
    CHECK_THROWS_WITH(run(Bug::lane_left, Order::forward),
                      Catch::Matchers::ContainsSubstring("waits for a lane that is not there or has left"));
}
TEST_CASE("emulator: launches over a limit are errors", "[emulated]") {
    CHECK_THROWS_WITH(run(Bug::none, Order::forward, 1, 128), Catch::Matchers::ContainsSubstring("64 are declared"));
    CHECK_THROWS_WITH(run(Bug::none, Order::forward, 1, 64, 100 * 1024),
                      Catch::Matchers::ContainsSubstring("bytes of shared memory"));
}
// Runs only when asked for by name, since AddressSanitizer ends the program: a CTest of its own expects its words.
TEST_CASE("emulator: an access beyond shared memory is found by AddressSanitizer", "[.][beyond_shared]") {
    run(Bug::beyond_shared, Order::forward);
}
