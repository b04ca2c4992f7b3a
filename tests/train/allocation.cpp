// SPDX-License-Identifier: MIT
// A warm recorded step allocates nothing: every way to get memory is counted, in all threads, by taking the place of
// the C library's functions in this executable (operator new ends in malloc or aligned_alloc). Sanitizers do that
// themselves.
#include "support/sanitized.hpp"
#include "train/tiny.hpp"

#include <atomic>

#if defined(__GLIBC__) && !defined(HWNAS_TEST_SANITIZED)
#define HWNAS_TEST_COUNTS 1
#endif

#if defined(HWNAS_TEST_COUNTS)

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cerrno>

namespace {

std::atomic<bool> counting{false};
std::atomic<long> allocations{0};
void count() {
    if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t bytes) {
    return count(), __libc_malloc(bytes);
}
void* calloc(std::size_t items, std::size_t bytes) {
    return count(), __libc_calloc(items, bytes);
}
void* realloc(void* pointer, std::size_t bytes) {
    return count(), __libc_realloc(pointer, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
    return count(), __libc_memalign(alignment, bytes);
}
int posix_memalign(void** pointer, std::size_t alignment, std::size_t bytes) {
    count();
    *pointer = __libc_memalign(alignment, bytes);
    return *pointer ? 0 : ENOMEM;
}
void* mmap(void* address, std::size_t bytes, int protection, int flags, int file, off_t offset) noexcept {
    count();
    return reinterpret_cast<void*>(syscall(SYS_mmap, address, bytes, protection, flags, file, offset));
}
}

#endif

using namespace hwnas;
using namespace hwnas::testing;

TEST_CASE("trainer: a warm step allocates nothing in any thread", "[train]") {
#if !defined(HWNAS_TEST_COUNTS)
    SKIP("memory functions belong to the sanitizer, or the C library is not glibc");
#else
    const auto counted = [](auto&& work) {
        allocations = 0, counting = true;
        work();
        counting = false;
        return allocations.load();
    };
    // The counter counts: each way once, and in another thread.
    void* volatile pointer = nullptr;
    CHECK(counted([&] { pointer = std::malloc(100); }) == 1);
    CHECK(counted([&] { pointer = std::realloc(pointer, 200); }) == 1);
    std::free(pointer);
    CHECK(counted([&] { pointer = std::calloc(10, 10); }) == 1);
    std::free(pointer);
    CHECK(counted([&] { pointer = std::aligned_alloc(64, 128); }) == 1);
    std::free(pointer);
    void* aligned = nullptr;
    CHECK(counted([&] { REQUIRE(posix_memalign(&aligned, 64, 128) == 0); }) >= 1);
    std::free(aligned);
    CHECK(counted([&] { pointer = ::operator new(100); }) == 1);
    ::operator delete(pointer);
    CHECK(counted([&] { pointer = ::operator new(128, std::align_val_t{64}); }) == 1);
    ::operator delete(pointer, std::align_val_t{64});
    CHECK(counted([&] { pointer = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }) == 1);
    munmap(pointer, 4096);
    const auto device = cpu::device({.threads = 3});
    std::atomic<long> made{0};
    CHECK(counted([&] {
              device.backend().cpu()->parallel(300, [&](std::int64_t) {
                  void* volatile own = std::malloc(8);
                  std::free(own);
                  made.fetch_add(1);
              });
          }) == 300);
    CHECK(made == 300);

    const auto space = tiny_space();
    const auto data = shades(64, 1, 10);
    for (const auto mode : {SearchMode::relaxed, SearchMode::straight_through, SearchMode::single_path}) {
        INFO(search_mode_name(mode));
        auto trainer = tiny_trainer(space, device, {.epochs = 4, .batch = 32, .mode = mode}, made_up_table(space));
        trainer.begin(data);
        trainer.program().run();
        CHECK(counted([&] {
                  for (int i = 0; i < 3; ++i) trainer.program().run();
              }) == 0);
        CHECK(trainer.steps_done() == 4);
    }

    // Kernels for the widths of real searches, their cells as a whole and norms at the end of primitives.
    for (const char* name : {"pointwise", "paper", "separable"}) {
        INFO(name);
        const auto wide = SearchSpace::named(name, {.image = {8, 8, 1}, .classes = 4, .channels = 16});
        auto trainer = tiny_trainer(wide, device, {.epochs = 4, .batch = 32}, made_up_table(wide));
        trainer.begin(data);
        trainer.program().run();
        CHECK(counted([&] {
                  for (int i = 0; i < 3; ++i) trainer.program().run();
              }) == 0);
    }

    // A step of fit(), from one call of on_step to the next within an epoch, and a prepared network.
    const Network network(space, random_genotype(space.architecture(), seed(1).stream("test"), 0), device, seed(1));
    FitOptions options{.epochs = 1, .batch = 4};
    long calls = 0, found = -1;
    options.on_step = [&](const TrainingProgress&) {
        if (++calls == 6) allocations = 0, counting = true;
        if (calls == 11) counting = false, found = allocations.load();
        return true;
    };
    fit(network, data, options);
    CHECK(calls == 16);
    CHECK(found == 0);
    const Prepared prepared(network, 8);
    prepared.run();
    CHECK(counted([&] {
              for (int i = 0; i < 3; ++i) prepared.run();
          }) == 0);
#endif
}
