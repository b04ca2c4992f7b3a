// SPDX-License-Identifier: MIT
#include <hwnas/tensor/tensor.hpp>

#include "support/catch.hpp"

#include <numeric>

namespace tensor_test {

using namespace hwnas;

namespace {
Tensor<float> counting(const Shape& shape, const Device& device) {
    std::vector<float> values(static_cast<std::size_t>(shape.elements()));
    std::iota(values.begin(), values.end(), 0.0f);
    return Tensor<float>::from(values, shape, device);
}
}  // namespace

TEST_CASE("tensor: values go to the device and back, for every element type", "[tensor]") {
    const auto device = cpu::device({.threads = 2});
    const std::vector<float> values{1, 2, 3, 4, 5, 6};
    const auto t = Tensor<float>::from(values, {2, 3}, device);
    CHECK(t.defined());
    CHECK(t.shape() == Shape{2, 3});
    CHECK(t.elements() == 6);
    CHECK(t.bytes() == 24);
    CHECK(t.device() == device);
    CHECK(t.to_vector() == values);
    CHECK(reinterpret_cast<std::uintptr_t>(t.data()) % 64 == 0);
    CHECK(Tensor<std::int64_t>::full({2}, std::int64_t{1} << 40, device).to_vector() ==
          std::vector<std::int64_t>(2, std::int64_t{1} << 40));
    CHECK(Tensor<std::uint8_t>::from({1, 255}, {2}, device).to_vector() == std::vector<std::uint8_t>{1, 255});
    CHECK(Tensor<std::int32_t>::scalar(-7, device).item() == -7);
    CHECK(Tensor<double>::scalar(0.5, device).shape() == Shape{});
    CHECK_FALSE(Tensor<float>().defined());
    CHECK(Tensor<float>::full({0, 4}, 1, device).to_vector().empty());
    CHECK(Tensor<float>::full({0, 4}, 1, device).clone().elements() == 0);
}

TEST_CASE("tensor: copies, views and rows share storage, clone does not", "[tensor]") {
    const auto device = cpu::device({.threads = 2});
    const auto t = counting({4, 3}, device);
    const auto same = t, view = t.reshape({3, 4}), row = t.rows(1, 2), other = t.clone();
    CHECK(same.storage() == t.storage());
    CHECK(view.storage() == t.storage());
    CHECK(other.storage() != t.storage());
    CHECK(row.shape() == Shape{2, 3});
    CHECK(row.to_vector() == std::vector<float>{3, 4, 5, 6, 7, 8});
    CHECK(row.rows(1, 1).to_vector() == std::vector<float>{6, 7, 8});
    CHECK(row.reshape({6}).to_vector() == row.to_vector());
    CHECK(t.rows(4, 0).elements() == 0);
    row.assign(std::vector<float>(6, -1));
    CHECK(t.to_vector() == std::vector<float>{0, 1, 2, -1, -1, -1, -1, -1, -1, 9, 10, 11});
    CHECK(view.to_vector() == t.to_vector());
    CHECK(other.to_vector()[3] == 3);
    t.assign(2.0f);
    CHECK(row.to_vector() == std::vector<float>(6, 2));
}

TEST_CASE("storage can move into a block, every tensor on it follows", "[tensor]") {
    const auto device = cpu::device({.threads = 1});
    auto block = std::make_shared<Storage>(device, 1024);
    const auto a = counting({4}, device), view = a.reshape({2, 2});
    a.storage()->rebind(block, 128);
    CHECK(static_cast<void*>(view.data()) == static_cast<char*>(block->address()) + 128);
    a.assign(std::vector<float>{9, 8, 7, 6});
    CHECK(view.to_vector() == std::vector<float>{9, 8, 7, 6});
    a.storage()->rebind(block, 256);
    CHECK(static_cast<void*>(a.data()) == static_cast<char*>(block->address()) + 256);
    a.assign(std::vector<float>{5, 4, 3, 2});
    block.reset();  // its memory stays as long as a tensor lies in it
    CHECK(view.to_vector() == std::vector<float>{5, 4, 3, 2});
}

TEST_CASE("tensor says what clashes", "[tensor]") {
    const auto device = cpu::device({.threads = 1});
    const auto t = counting({4, 3}, device);
    CHECK_THROWS_WITH(Tensor<float>::from({1, 2, 3}, {2, 2}, device), "tensor: 3 values for shape [2, 2]");
    CHECK_THROWS_WITH(t.reshape({5}), "reshape: [4, 3] has 12 elements, [5] has 5");
    CHECK_THROWS_WITH(t.rows(3, 2), "rows: 3 to 5 of a tensor of shape [4, 3]");
    CHECK_THROWS_WITH(t.rows(-1, 2), "rows: -1 to 1 of a tensor of shape [4, 3]");
    CHECK_THROWS_WITH(Tensor<float>::scalar(1, device).rows(0, 1), "rows: 0 to 1 of a tensor of shape []");
    CHECK_THROWS_WITH(t.item(), "tensor: item() of a tensor of shape [4, 3]");
    CHECK_THROWS_WITH(t.assign(std::vector<float>{1}), "tensor: 1 values assigned to shape [4, 3]");
    CHECK_THROWS_WITH(Tensor<float>().to_vector(), "tensor: no value (default-constructed)");
    CHECK_THROWS_WITH(Tensor<float>().item(), "tensor: no value (default-constructed)");
    CHECK_THROWS_WITH(Tensor<float>::empty({2}, Device()),
                      "device: none given; pass hwnas::cpu::device() or hwnas::cuda::device(0)");
}

TEST_CASE("fill and copy: sizes around vectors and pieces, accumulation", "[tensor]") {
    for (const auto isa : {cpu::Isa::portable, cpu::best_isa()})
        for (const std::int64_t n : {0, 1, 7, 8, 9, 16'384, 40'001}) {
            const auto device = cpu::device({.threads = 3, .isa = isa});
            const auto x = counting({n}, device);
            const auto y = Tensor<float>::empty({n}, device);
            submit(device, contract::Fill<float>{y.data(), n, 0.5f});
            CHECK(y.to_vector() == std::vector<float>(static_cast<std::size_t>(n), 0.5f));
            submit(device, contract::Copy<float>{y.data(), x.data(), n, 1});
            auto expected = x.to_vector();
            for (auto& value : expected) value += 0.5f;
            CHECK(y.to_vector() == expected);
            submit(device, contract::Copy<float>{y.data(), x.data(), n, 0});
            CHECK(y.to_vector() == x.to_vector());
        }
}

TEST_CASE("a kernel under a guard runs only while the flag has its value", "[tensor]") {
    const auto device = cpu::device({.threads = 1});
    const auto flag = Tensor<std::int32_t>::scalar(1, device);
    const auto x = Tensor<float>::full({3}, 0, device);
    {
        const GuardScope outer(Guard{flag.data(), 1});
        submit(device, contract::Fill<float>{x.data(), 3, 1.0f});
        CHECK(x.to_vector() == std::vector<float>(3, 1));
        {
            const GuardScope inner(Guard{flag.data(), 2});
            submit(device, contract::Fill<float>{x.data(), 3, 2.0f});
            CHECK(x.to_vector() == std::vector<float>(3, 1));
        }
        CHECK(GuardScope::current() == Guard{flag.data(), 1});
    }
    CHECK(GuardScope::current() == Guard{});
}

}  // namespace tensor_test
