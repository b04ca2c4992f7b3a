// SPDX-License-Identifier: MIT
#include <hwnas/autodiff/program.hpp>
#include <hwnas/ops/gather_batch.hpp>

#include "support/catch.hpp"
#include "support/random_tensor.hpp"

#include <set>

namespace ops_gather_batch_test {

using namespace hwnas;
using namespace hwnas::testing;

namespace {

const random::Key key = Seed{11}.stream("gather test");

/// Byte images whose label is their row number.
Dataset bytes_data(std::int64_t count, std::array<std::int64_t, 3> image) {
    Dataset data;
    data.name = "rows", data.count = count, data.image = image, data.classes = count;
    for (std::int64_t i = 0; i < count * data.image_size(); ++i)
        data.bytes.push_back(static_cast<std::uint8_t>((i * 37 + i / 256) % 256));
    for (std::int64_t i = 0; i < count; ++i) data.labels.push_back(static_cast<std::int32_t>(i));
    return data;
}
Dataset float_data(std::int64_t count, std::int64_t target_size) {
    Dataset data;
    data.name = "floats", data.count = count, data.image = {2, 3, 5}, data.target_size = target_size;
    data.values = random_values<float>(count * 30, 1);
    data.targets = random_values<float>(count * target_size, 2);
    return data;
}

}  // namespace

TEST_CASE("gather_batch takes the rows of its batch and epoch and scales bytes", "[ops]") {
    for (const auto& image : {std::array<std::int64_t, 3>{1, 1, 1}, {3, 3, 1}, {28, 28, 1}, {5, 1, 17}, {2, 4, 12}}) {
        const auto data = bytes_data(29, image);
        const auto size = static_cast<std::size_t>(data.image_size());
        for (const bool shuffle : {false, true}) {
            for (const std::int64_t step : {0, 1, 2, 3, 4, 7, 1'000'000}) {  // three batches of nine in an epoch
                const auto device = test_device(1);
                const GatherOptions options{.batch = 9, .shuffle = shuffle, .key = key};
                const auto batch = gather_batch<float>(DeviceDataset::upload(data, device),
                                                       Tensor<std::int64_t>::scalar(step, device), options);
                const auto labels = batch.labels.to_vector();
                std::vector<float> single;
                std::vector<double> expected;
                for (std::int64_t i = 0; i < 9; ++i) {
                    const std::int64_t position = step % 3 * 9 + i;
                    const std::int64_t row =
                        shuffle ? random::permuted(position, 29, key, static_cast<std::uint64_t>(step / 3)) : position;
                    REQUIRE(labels[static_cast<std::size_t>(i)] == row);
                    for (std::size_t j = 0; j < size; ++j) {
                        const std::uint8_t byte = data.bytes[static_cast<std::size_t>(row) * size + j];
                        single.push_back((static_cast<float>(byte) / 255 - data.mean) * (1.0f / data.std));
                        expected.push_back((byte / 255.0 - static_cast<double>(data.mean)) *
                                           static_cast<double>(1.0f / data.std));
                    }
                }
                CHECK(batch.inputs.shape() == Shape{9, image[0], image[1], image[2]});
                CHECK_FALSE(batch.inputs.requires_grad());
                CHECK_FALSE(batch.targets.defined());
                REQUIRE(relative_error(batch.inputs.value().to_vector(), single) == 0);
                for (const auto& other : {test_device(2), test_device(5, cpu::Isa::portable)})
                    REQUIRE(gather_batch<float>(DeviceDataset::upload(data, other),
                                                Tensor<std::int64_t>::scalar(step, other), options)
                                .inputs.value()
                                .to_vector() == single);
                const auto wide = gather_batch<double>(DeviceDataset::upload(data, device),
                                                       Tensor<std::int64_t>::scalar(step, device), options);
                REQUIRE(relative_error(wide.inputs.value().to_vector(), expected) < 1e-15);
            }
        }
    }
}

TEST_CASE("a shuffled epoch takes no row twice, every row when batches divide it, and another order next time",
          "[ops][property]") {
    const auto device = test_device();
    const auto data = DeviceDataset::upload(bytes_data(40, {1, 1, 1}), device);
    std::vector<std::vector<std::int32_t>> orders;
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        auto& order = orders.emplace_back();
        for (std::int64_t b = 0; b < 5; ++b)
            for (const auto row : gather_batch<float>(data, Tensor<std::int64_t>::scalar(epoch * 5 + b, device),
                                                      {.batch = 8, .shuffle = true, .key = key})
                                      .labels.to_vector())
                order.push_back(row);
        CHECK(std::set<std::int32_t>(order.begin(), order.end()).size() == 40);
    }
    CHECK(orders[0] != orders[1]);
    CHECK(orders[1] != orders[2]);
}

TEST_CASE("gather_batch reaches the last, partial batch through first, and copies float rows and targets", "[ops]") {
    const auto device = test_device();
    const auto host = float_data(10, 3);
    const auto data = DeviceDataset::upload(host, device);
    const auto last = gather_batch<double>(data, Tensor<std::int64_t>::scalar(5, device), {.batch = 2, .first = 8});
    CHECK(last.inputs.shape() == Shape{2, 2, 3, 5});
    CHECK(last.targets.shape() == Shape{2, 3});
    CHECK_FALSE(last.labels.defined());
    CHECK(relative_error(last.inputs.value().to_vector(),
                         std::vector<float>(host.values.begin() + 8 * 30, host.values.end())) == 0);
    CHECK(relative_error(last.targets.to_vector(),
                         std::vector<float>(host.targets.begin() + 8 * 3, host.targets.end())) == 0);
    // From row 2 on there are two batches of four.
    const auto second = gather_batch<float>(data, Tensor<std::int64_t>::scalar(3, device), {.batch = 4, .first = 2});
    CHECK(second.targets.to_vector() == std::vector<float>(host.targets.begin() + 6 * 3, host.targets.end()));
}

TEST_CASE("gather_batch in a recorded step follows the step in device memory", "[ops][program]") {
    const auto device = test_device();
    const auto data = DeviceDataset::upload(bytes_data(7, {2, 2, 3}), device);
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    Batch<float> batch;
    const auto program = Program::record(device, [&] {
        batch = gather_batch<float>(data, step, {.batch = 3, .shuffle = true, .key = key});
        advance(step);
    });
    for (std::int64_t i = 0; i < 5; ++i) {
        program.run();
        const auto expected = gather_batch<float>(data, Tensor<std::int64_t>::scalar(i, device),
                                                  {.batch = 3, .shuffle = true, .key = key});
        CHECK(batch.inputs.value().to_vector() == expected.inputs.value().to_vector());
        CHECK(batch.labels.to_vector() == expected.labels.to_vector());
    }
}

TEST_CASE("DeviceDataset::upload checks and copies a dataset", "[tensor]") {
    const auto device = test_device();
    auto host = bytes_data(4, {2, 2, 1});
    const auto data = DeviceDataset::upload(host, device);
    CHECK(data.bytes.to_vector() == host.bytes);
    CHECK(data.bytes.shape() == Shape{4, 2, 2, 1});
    CHECK(data.labels.to_vector() == host.labels);
    CHECK_FALSE(data.values.defined());
    CHECK_FALSE(data.targets.defined());
    CHECK((data.count == 4 && data.classes == 4 && data.target_size == 0 && data.image == host.image));
    CHECK(data.inv_std == 1.0f / host.std);
    host.labels[1] = 9;
    CHECK_THROWS_WITH(DeviceDataset::upload(host, device), "dataset rows: label 9 of row 1 is outside the 4 classes");
    CHECK_THROWS_WITH(DeviceDataset::upload(bytes_data(0, {1, 1, 1}), device),
                      "dataset rows: it has no rows to upload");
}

TEST_CASE("gather_batch says what it cannot take", "[ops]") {
    const auto device = test_device(), other = test_device();
    const auto good = DeviceDataset::upload(bytes_data(10, {2, 2, 1}), device);
    const auto step = Tensor<std::int64_t>::scalar(0, device);
    auto data = good;
    CHECK_THROWS_WITH(gather_batch<float>({}, step, {}),
                      "gather_batch: the data must hold bytes or values (see DeviceDataset::upload)");
    data.count = 11;
    CHECK_THROWS_WITH(gather_batch<float>(data, step, {}),
                      "gather_batch: inputs of shape [10, 2, 2, 1], the data announces [11, 2, 2, 1]");
    data = good, data.labels = {};
    CHECK_THROWS_WITH(gather_batch<float>(data, step, {}),
                      "gather_batch: the data must hold labels or targets (see DeviceDataset::upload)");
    data = good, data.labels = Tensor<std::int32_t>::full({9}, 0, device);
    CHECK_THROWS_WITH(gather_batch<float>(data, step, {}),
                      "gather_batch: labels of shape [9] for inputs [10, 2, 2, 1]");
    data = good, data.labels = {}, data.targets = Tensor<float>::full({10, 2}, 0, device);
    CHECK_THROWS_WITH(gather_batch<float>(data, step, {}),
                      "gather_batch: targets of shape [10, 2] for inputs [10, 2, 2, 1]");
    CHECK_THROWS_WITH(gather_batch<float>(good, {}, {}), "gather_batch: step has no value");
    CHECK_THROWS_WITH(gather_batch<float>(good, Tensor<std::int64_t>::scalar(0, other), {}),
                      "gather_batch: inputs and step must be on one device, they are on cpu and cpu");
    CHECK_THROWS_WITH(gather_batch<float>(good, step, {.batch = 11}),
                      "gather_batch: a batch of 11 rows, the data has 10 from row 0 on");
    CHECK_THROWS_WITH(gather_batch<float>(good, step, {.batch = 0}),
                      "gather_batch: a batch of 0 rows, the data has 10 from row 0 on");
    CHECK_THROWS_WITH(gather_batch<float>(good, step, {.batch = 3, .first = 8}),
                      "gather_batch: a batch of 3 rows, the data has 2 from row 8 on");
    CHECK_THROWS_WITH(gather_batch<float>(good, step, {.batch = 1, .first = 10}),
                      "gather_batch: first row 10 is outside the 10 rows");
    CHECK_THROWS_WITH(gather_batch<float>(good, step, {.batch = 1, .shuffle = true, .first = 1}),
                      "gather_batch: first row 1 with shuffle, a shuffled epoch uses all 10 rows");
}

}  // namespace ops_gather_batch_test
