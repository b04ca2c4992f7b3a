// SPDX-License-Identifier: MIT
// Which cards the CUDA device can be had on, and what memory they have, on a runtime that only writes down what is
// asked of it.
#include <hwnas/cuda.hpp>

#include <hwnas/hwnas.hpp>

#include "cuda/made_up_runtime.hpp"
#include "support/catch.hpp"

using namespace hwnas;
using hwnas::testing::Clean;
using hwnas::testing::message_of;

TEST_CASE("cuda runtime: memory that is not there is an error that says how much there is", "[runtime]") {
    const Clean clean;
    const auto device = cuda::device(0);
    const auto kept = Tensor<float>::full({100'000}, 0.0f, device);
    CHECK(message_of([&] { Tensor<float>::empty({250'000}, device); }) ==
          "cuda:0: 1.0 MB do not fit, 0.6 of 1.0 MB are free; use a smaller batch or fewer channels");
    CHECK(fake_cuda::last_error() == cudaSuccess);
    CHECK(Tensor<float>::empty({1'000}, device).elements() == 1'000);
}
TEST_CASE("cuda runtime: a card too old or without code says so, with the way out", "[runtime]") {
    const Clean clean;
    auto& cards = fake_cuda::state().cards;
    cards = {{.name = "New"}, {.name = "Old", .major = 7, .minor = 0}, {.name = "Behind"}};
    CHECK(cuda::device_count() == 1);
    CHECK(message_of([] { cuda::device(1); }) ==
          "cuda::device: cuda:1, Old with compute capability 7.0, cannot be used, kernels need 7.5 or newer; use "
          "another or hwnas::cpu::device()");
    CHECK(message_of([] { cuda::device(2); }) == "");
    cards = {{.name = "Other", .major = 8, .minor = 6, .has_code = false}};
    CHECK(message_of([] { cuda::device(0); }) ==
          "cuda::device: cuda:0, Other with compute capability 8.6, cannot be used: this build has code for 90, 100, "
          "-DCMAKE_CUDA_ARCHITECTURES=86 builds hwnas for it; use hwnas::cpu::device()");
    CHECK(cuda::device_count() == 0);  // so that nobody takes it unasked
    CHECK(fake_cuda::last_error() == cudaSuccess);
    cards = {{.name = "New"}, {.name = "Other", .major = 8, .minor = 6, .has_code = false}, {.name = "Behind"}};
    CHECK(cuda::device_count() == 1);
    CHECK(fake_cuda::current_device() == 0);
    cards = {{.name = "Virtual", .has_pools = false}};
    CHECK(cuda::device_count() == 0);
    CHECK(message_of([] { cuda::device(0); }) ==
          "cuda::device: cuda:0, Virtual with compute capability 9.0, cannot be used, its driver has no memory pools "
          "(some virtual GPUs have none); use another or hwnas::cpu::device()");
    CHECK(fake_cuda::last_error() == cudaSuccess);
    CHECK(fake_cuda::state().alive() == 0);
    cards = {};
    CHECK(cuda::device_count() == 0);
    CHECK(message_of([] { cuda::device(0); }) ==
          "cuda::device: no CUDA device can be used here (made up); use hwnas::cpu::device()");
    CHECK(fake_cuda::last_error() == cudaSuccess);
}
TEST_CASE("cuda runtime: devices are counted with a context on one card of a kind", "[runtime]") {
    const Clean clean;
    fake_cuda::state().cards = {
        {.name = "A"}, {.name = "A"}, {.name = "B", .major = 8, .minor = 0}, {.name = "B", .major = 8}};
    fake_cuda::current_device() = 1;
    CHECK(cuda::device_count() == 4);
    const auto& calls = fake_cuda::state().calls;
    CHECK(std::count(calls.begin(), calls.end(), "cudaFuncGetAttributes") == 2);
    CHECK(fake_cuda::current_device() == 1);
}
