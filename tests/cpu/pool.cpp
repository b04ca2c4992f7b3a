// SPDX-License-Identifier: MIT
#include <hwnas/cpu/device.hpp>
#include <hwnas/tensor/tensor.hpp>

#include "support/catch.hpp"

#include <atomic>
#include <limits>
#include <numeric>

namespace cpu_pool_test {

using namespace hwnas;

TEST_CASE("the pool runs every chunk exactly once, for any chunk and thread count", "[cpu]") {
    for (const int threads : {1, 2, 3, 5}) {
        cpu::Pool pool(threads);
        CHECK(pool.threads() == threads);
        for (const std::int64_t chunks : {0, 1, 2, 3, 7, 64, 1000}) {
            std::vector<std::atomic<int>> seen(static_cast<std::size_t>(chunks));
            for (int repeat = 0; repeat < 5; ++repeat)
                pool.parallel(chunks, [&](std::int64_t chunk) { ++seen[static_cast<std::size_t>(chunk)]; });
            INFO(threads << " threads, " << chunks << " chunks");
            CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& count) { return count == 5; }));
        }
        pool.parallel(-3, [](std::int64_t) { FAIL("no chunk in a negative count"); });
    }
}

TEST_CASE("what chunks wrote is visible when parallel returns, over many short regions", "[cpu]") {
    cpu::Pool pool(4);
    std::vector<std::int64_t> values(37);
    for (int repeat = 0; repeat < 300; ++repeat) {
        pool.parallel(37, [&](std::int64_t chunk) { values[static_cast<std::size_t>(chunk)] = chunk + repeat; });
        REQUIRE(std::accumulate(values.begin(), values.end(), std::int64_t{0}) == 36 * 37 / 2 + 37 * repeat);
    }
}

TEST_CASE("a pool that has parked wakes up, and one that never worked goes away", "[cpu]") {
    {
        const cpu::Pool idle(4);
    }
    for (int repeat = 0; repeat < 20; ++repeat) {
        cpu::Pool pool(3);
        std::atomic<int> count{0};
        pool.parallel(5, [&](std::int64_t) { ++count; });
        CHECK(count == 5);
    }
    cpu::Pool pool(2);
    std::atomic<int> count{0};
    for (int repeat = 0; repeat < 3; ++repeat) {
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
        pool.parallel(8, [&](std::int64_t) { ++count; });
    }
    CHECK(count == 24);
}

TEST_CASE("two user threads may share a device", "[cpu]") {
    const auto device = cpu::device({.threads = 3});
    const auto work = [&](float first) {
        float sum = 0;
        for (int repeat = 0; repeat < 20; ++repeat) {
            const auto x = Tensor<float>::empty({100'000}, device);
            submit(device, contract::Fill<float>{x.data(), x.elements(), first + static_cast<float>(repeat)});
            const auto y = Tensor<float>::full({100'000}, 1, device);
            submit(device, contract::Copy<float>{y.data(), x.data(), x.elements(), 1});
            const auto values = y.to_vector();
            if (values.front() == values.back() && values[50'000] == values[1]) sum += values[3];
        }
        return sum;
    };
    float other = 0;
    std::thread thread([&] { other = work(1000); });
    const float mine = work(0);
    thread.join();
    CHECK(mine == 19 * 20 / 2 + 20);
    CHECK(other == 19 * 20 / 2 + 20 + 20'000);
}

TEST_CASE("for_range cuts a range by its grain alone, into one piece or an even number of them", "[cpu]") {
    struct {
        std::int64_t n, unit;
        std::vector<std::int64_t> ends;
    } const cases[] = {{0, 1, {}},
                       {1, 1, {1}},
                       {9, 1, {9}},
                       {10, 1, {10}},
                       {11, 1, {6, 11}},
                       {28, 1, {7, 14, 21, 28}},
                       {35, 1, {9, 18, 27, 35}},
                       {18, 8, {16, 18}},
                       {49, 8, {16, 32, 48, 49}}};
    for (const int threads : {1, 3})
        for (const auto& c : cases) {
            INFO(c.n << " in units of " << c.unit << " on " << threads << " threads");
            cpu::Context context(threads, cpu::best_isa());
            std::vector<std::atomic<int>> seen(static_cast<std::size_t>(c.n));
            std::mutex mutex;
            std::vector<std::int64_t> ends;
            context.for_range(
                c.n, 10,
                [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
                    const std::lock_guard lock(mutex);
                    ends.push_back(end);
                },
                c.unit);
            std::sort(ends.begin(), ends.end());
            CHECK(ends == c.ends);
            CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& count) { return count == 1; }));
        }
}

TEST_CASE("denormals are flushed inside chunks on every thread, and as they were outside", "[cpu]") {
#if defined(__x86_64__)
    volatile float tiny = std::numeric_limits<float>::min(), half = 0.5f;
    cpu::Pool pool(4);
    std::vector<float> results(64, -1.0f);
    pool.parallel(64, [&](std::int64_t chunk) { results[static_cast<std::size_t>(chunk)] = tiny * half; });
    CHECK(results == std::vector<float>(64, 0.0f));
    CHECK(tiny * half > 0.0f);
#endif
}

TEST_CASE("the CPU device describes itself and refuses a senseless thread count", "[cpu]") {
    const auto device = cpu::device({.threads = 1, .isa = cpu::Isa::portable});
    CHECK(device.name() == "cpu");
    CHECK(device.backend().description() == "cpu, 1 thread, portable kernels");
    CHECK(cpu::device({.threads = 3, .isa = cpu::Isa::portable}).backend().description() ==
          "cpu, 3 threads, portable kernels");
    CHECK(cpu::device().backend().cpu()->threads() >= 1);
    CHECK_THROWS_WITH(cpu::device({.threads = -1}),
                      "cpu::device: -1 threads asked for, 0 (all cores) to 1024 are possible");
    CHECK_THROWS_WITH(cpu::device({.threads = 1025}),
                      "cpu::device: 1025 threads asked for, 0 (all cores) to 1024 are possible");
    if (cpu::best_isa() < cpu::Isa::avx512)  // as in .ci/run's build for the thread sanitizer
        CHECK_THROWS_WITH(
            cpu::device({.isa = cpu::Isa::avx512}),
            fmt::format("cpu::device: avx512 kernels asked for, here run {} at most", cpu::isa_name(cpu::best_isa())));
    CHECK_THROWS_WITH(Device().name(), "device: none given; pass hwnas::cpu::device() or hwnas::cuda::device(0)");
    CHECK(device == Device(device));
    CHECK_FALSE(device == cpu::device({.threads = 1}));
}

}  // namespace cpu_pool_test
