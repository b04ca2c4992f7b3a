// SPDX-License-Identifier: MIT
#include <hwnas/ops/gather_batch.hpp>

#include "cuda/device_under_test.hpp"

namespace cuda_gather_batch_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

const random::Key key = Seed{11}.stream("gather test");

Dataset bytes_data(std::int64_t count, std::array<std::int64_t, 3> image) {
    Dataset data;
    data.name = "rows", data.count = count, data.image = image, data.classes = count;
    data.mean = 0.2860f, data.std = 0.3530f;
    for (std::int64_t i = 0; i < count * data.image_size(); ++i)
        data.bytes.push_back(static_cast<std::uint8_t>((i * 37 + i / 256) % 256));
    for (std::int64_t i = 0; i < count; ++i) data.labels.push_back(static_cast<std::int32_t>(i));
    return data;
}
Dataset float_data(std::int64_t count, std::array<std::int64_t, 3> image, std::int64_t target_size) {
    Dataset data;
    data.name = "floats", data.count = count, data.image = image, data.target_size = target_size;
    data.values = random_values<float>(count * data.image_size(), 1);
    data.targets = random_values<float>(count * target_size, 2);
    return data;
}
/// The device's batch is the CPU's, bit for bit.
void check_batch(const Dataset& data, std::int64_t step, const GatherOptions& options, const Device& device) {
    struct Found {
        std::vector<float> inputs, targets;
        std::vector<std::int32_t> labels;
        bool operator==(const Found&) const = default;
    };
    const auto on = [&](const Device& where) {
        const auto batch =
            gather_batch<float>(DeviceDataset::upload(data, where), Tensor<std::int64_t>::scalar(step, where), options);
        return Found{batch.inputs.value().to_vector(),
                     batch.targets.defined() ? batch.targets.to_vector() : std::vector<float>{},
                     batch.labels.defined() ? batch.labels.to_vector() : std::vector<std::int32_t>{}};
    };
    CHECK(on(device) == on(test_device()));
}

}  // namespace

TEST_CASE("gather_batch on the device has the CPU's bits: bytes and labels", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto& image :
         {std::array<std::int64_t, 3>{1, 1, 1}, {3, 3, 1}, {28, 28, 1}, {5, 1, 17}, {2, 4, 12}, {20, 20, 15}}) {
        const auto data = bytes_data(29, image);
        for (const bool shuffle : {false, true})
            for (const std::int64_t step : {0, 2, 4, 1'000'000}) {
                CAPTURE(image, shuffle, step);
                check_batch(data, step, {.batch = 9, .shuffle = shuffle, .key = key}, device);
            }
    }
    if (!emulated()) {
        const auto data = bytes_data(60'000, {28, 28, 1});
        for (const std::int64_t step : {0, 233, 234, 5'000})
            check_batch(data, step, {.batch = 256, .shuffle = true, .key = key}, device);
    }
}

TEST_CASE("gather_batch on the device has the CPU's bits: floats and targets", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    for (const auto& image : {std::array<std::int64_t, 3>{2, 3, 5}, {4, 4, 4}, {17, 16, 16}})
        for (const std::int64_t target_size : {1, 3, 300}) {
            CAPTURE(image, target_size);
            const auto data = float_data(10, image, target_size);
            check_batch(data, 3, {.batch = 4, .shuffle = true, .key = key}, device);
            check_batch(data, 3, {.batch = 4, .first = 2}, device);
            check_batch(data, 5, {.batch = 2, .first = 8}, device);
        }
}

TEST_CASE("gather_batch on the device follows the step in its memory in a recorded step", "[cuda]") {
    HWNAS_DEVICE_UNDER_TEST(device);
    const auto data = DeviceDataset::upload(bytes_data(7, {2, 2, 3}), device);
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    const GatherOptions options{.batch = 3, .shuffle = true, .key = key};
    Batch<float> batch;
    const auto program = Program::record(device, [&] {
        batch = gather_batch<float>(data, step, options);
        advance(step);
    });
    for (std::int64_t i = 0; i < 5; ++i) {
        program.run();
        const auto expected = gather_batch<float>(data, Tensor<std::int64_t>::scalar(i, device), options);
        CHECK(batch.inputs.value().to_vector() == expected.inputs.value().to_vector());
        CHECK(batch.labels.to_vector() == expected.labels.to_vector());
    }
}

}  // namespace cuda_gather_batch_test
