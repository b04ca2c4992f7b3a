// SPDX-License-Identifier: MIT
#include <hwnas/cpu/copy.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_copy_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

std::vector<std::int64_t> lengths() {
    std::vector<std::int64_t> all{1, 3, 4, 31, 257, 1'000, 4'100};
    if (!emulated()) all.insert(all.end(), {10'000'000, 10'000'001});
    return all;
}
/// n elements that begin `offset` into their tensor.
Tensor<float> part(std::int64_t n, std::int64_t offset, std::uint64_t seed, const Device& device) {
    return random_tensor<float>({n + offset + 1}, seed, device).rows(offset, n);
}

}  // namespace

TEST_CASE("fill on the device sets n elements and no others", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto n : lengths())
        for (const std::int64_t offset : {0, 1, 4}) {
            CAPTURE(n, offset);
            const auto whole = Tensor<float>::from(std::vector<float>(static_cast<std::size_t>(n + offset + 1), 2.0f),
                                                   {n + offset + 1}, device);
            submit(device, contract::Fill<float>{whole.data() + offset, n, -0.5f});
            const auto found = whole.to_vector();
            std::vector<float> expected(found.size(), 2.0f);
            std::fill_n(expected.begin() + offset, n, -0.5f);
            CHECK(found == expected);
        }
}

TEST_CASE("copy on the device copies or adds", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto n : lengths())
        for (const std::int64_t offset : {0, 1})
            for (const std::int32_t accumulate : {0, 1}) {
                CAPTURE(n, offset, accumulate);
                const auto run = [&](const Device& where) {
                    const auto in = part(n, offset, 1, where), out = random_tensor<float>({n + 1}, 2, where);
                    submit(where, contract::Copy<float>{out.data(), in.data(), n, accumulate});
                    return out.to_vector();
                };
                CHECK(run(device) == run(test_device()));
            }
}

TEST_CASE("copy on the device keeps NaN and infinity", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto x = with_specials(random_values<float>(100, 1));
    const auto in = Tensor<float>::from(x, {100}, device), out = Tensor<float>::full({100}, 0.0f, device);
    submit(device, contract::Copy<float>{out.data(), in.data(), 100, 0});
    CHECK(same_values(out.to_vector(), x));
    submit(device, contract::Copy<float>{out.data(), in.data(), 100, 1});
    auto doubled = x;
    for (auto& v : doubled) v += v;
    CHECK(same_values(out.to_vector(), doubled));
}

}  // namespace cuda_copy_test
