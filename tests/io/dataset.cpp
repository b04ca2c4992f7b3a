// SPDX-License-Identifier: MIT
// Dataset: subsets, factories, and every inconsistency check() refuses.
#include <hwnas/tensor/dataset.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_dataset_test {

namespace {

using hwnas::Dataset;
using hwnas::dataset_from_tensors;
using hwnas_test::error_of;
using Index = std::vector<std::int64_t>;

/// Four images of 2 x 1 in three classes.
Dataset small() {
    return dataset_from_tensors(std::vector<std::uint8_t>{0, 1, 10, 11, 20, 21, 30, 31},
                                std::vector<std::int32_t>{2, 0, 1, 0}, {.name = "small", .image = {2, 1, 1}});
}

template <class Change>
std::string after(Change change) {
    Dataset data = small();
    change(data);
    return error_of([&] { data.check(); });
}

}  // namespace

TEST_CASE("datasets are made from bytes or floats with labels or targets", "[dataset]") {
    const Dataset images = small();
    CHECK(images.count == 4);
    CHECK(images.classes == 3);
    CHECK(images.image_size() == 2);

    const Dataset floats = dataset_from_tensors(std::vector<float>{1, 2, 3, 4}, std::vector<std::int32_t>{0, 1},
                                                {.image = {1, 1, 2}, .classes = 5});
    CHECK(floats.count == 2);
    CHECK(floats.classes == 5);
    CHECK(floats.bytes.empty());

    const Dataset regression =
        dataset_from_tensors(std::vector<float>{1, 2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}, {.image = {1, 1, 1}});
    CHECK(regression.count == 3);
    CHECK(regression.target_size == 2);
    CHECK(regression.classes == 0);
}

TEST_CASE("subset and first copy rows in the order asked", "[dataset]") {
    const Dataset part = small().subset(Index{3, 0, 3});
    CHECK(part.count == 3);
    CHECK(part.bytes == std::vector<std::uint8_t>{30, 31, 0, 1, 30, 31});
    CHECK(part.labels == std::vector<std::int32_t>{0, 2, 0});
    CHECK(part.classes == 3);
    CHECK(part.name == "small");
    CHECK_NOTHROW(part.check());
    CHECK(small().first(2).bytes == std::vector<std::uint8_t>{0, 1, 10, 11});
    CHECK(small().first(0).count == 0);
    CHECK_NOTHROW(small().first(0).check());

    const Dataset rows =
        dataset_from_tensors(std::vector<float>{1, 2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}, {.image = {1, 1, 1}});
    CHECK(rows.subset(Index{2}).targets == std::vector<float>{5, 6});
    CHECK(rows.subset(Index{2}).values == std::vector<float>{3});

    CHECK(error_of([&] { small().subset(Index{0, 4}); }) == "dataset small: index 4 is outside its 4 rows");
    CHECK(error_of([&] { small().subset(Index{-1}); }) == "dataset small: index -1 is outside its 4 rows");
    CHECK(error_of([&] { small().first(5); }) == "dataset small: the first 5 rows asked for, it has 4");
    CHECK(error_of([&] { small().first(-1); }) == "dataset small: the first -1 rows asked for, it has 4");
}

TEST_CASE("check names what does not fit", "[dataset]") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    CHECK(after([](Dataset&) {}) == "no error");
    CHECK(after([](Dataset& d) { d.image = {2, 0, 1}; }) ==
          "dataset small: an image of 2 x 0 x 1 (height, width, channels) is impossible");
    CHECK(after([](Dataset& d) { d.image = {1 << 20, 1 << 20, 1}; }) ==
          "dataset small: an image of 1048576 x 1048576 x 1 (height, width, channels) is impossible");
    CHECK(after([](Dataset& d) { d.count = -1; }) == "dataset small: count is -1, it cannot be negative");
    CHECK(after([](Dataset& d) { d.target_size = -1; }) == "dataset small: target_size is -1, it cannot be negative");
    CHECK(after([](Dataset& d) { d.count = 5; }) == "dataset small: bytes holds 8 numbers, 5 rows of 2 were announced");
    CHECK(after([](Dataset& d) { d.count = std::numeric_limits<std::int64_t>::max(); }) ==
          "dataset small: bytes holds 8 numbers, 9223372036854775807 rows of 2 were announced");
    CHECK(after([](Dataset& d) { d.bytes.push_back(0); }) ==
          "dataset small: bytes holds 9 numbers, 4 rows of 2 were announced");
    CHECK(after([](Dataset& d) { d.labels.pop_back(); }) ==
          "dataset small: labels holds 3 numbers, 4 rows of 1 were announced");
    CHECK(after([](Dataset& d) { d.values = {1}; }) ==
          "dataset small: both bytes and values are filled, keep one of them");
    CHECK(after([](Dataset& d) { d.targets = {1}; }) ==
          "dataset small: both labels and targets are filled, keep one of them");
    CHECK(after([](Dataset& d) { d.classes = 0; }) == "dataset small: labels are filled, but classes is 0");
    CHECK(after([](Dataset& d) { d.classes = 2; }) == "dataset small: label 2 of row 0 is outside the 2 classes");
    CHECK(after([](Dataset& d) { d.labels[1] = -1; }) == "dataset small: label -1 of row 1 is outside the 3 classes");
    CHECK(after([](Dataset& d) { d.std = 0; }) ==
          "dataset small: mean 0.286 and std 0 cannot scale bytes, std must be positive");
    CHECK(after([&](Dataset& d) {
              d.bytes.clear();
              d.values = {0, 1, 2, 3, 4, nan, 6, 7};
          }) == "dataset small: values[5] is nan, every number must be finite");
    CHECK(after([](Dataset& d) {
              d.labels.clear();
              d.targets = {1, 2, 3, 4};
          }) == "dataset small: targets are filled, but target_size is 0");
    CHECK(after([&](Dataset& d) {
              d.labels.clear();
              d.targets = {1, 2, nan, 4};
              d.target_size = 1;
          }) == "dataset small: targets[2] is nan, every number must be finite");
    CHECK(error_of([] { Dataset{}.check(); }) ==
          "dataset: an image of 0 x 0 x 0 (height, width, channels) is impossible");
}

TEST_CASE("factories refuse what does not fit together", "[dataset]") {
    CHECK(error_of([] {
              dataset_from_tensors(std::vector<std::uint8_t>(5), std::vector<std::int32_t>(2), {.image = {2, 1, 1}});
          }) == "dataset: bytes holds 5 numbers, 2 rows of 2 were announced");
    CHECK(error_of([] {
              dataset_from_tensors(std::vector<float>(4), std::vector<std::int32_t>(3), {.image = {2, 1, 1}});
          }) == "dataset: labels holds 3 numbers, 2 rows of 1 were announced");
    CHECK(error_of([] { dataset_from_tensors(std::vector<float>(4), std::vector<float>(3), {.image = {2, 1, 1}}); }) ==
          "dataset: targets holds 3 numbers, 2 rows of 1 were announced");
    CHECK(error_of([] { dataset_from_tensors(std::vector<float>(4), std::vector<float>(3), {}); }) ==
          "dataset: an image of 0 x 0 x 0 (height, width, channels) is impossible");
}

}  // namespace io_dataset_test
