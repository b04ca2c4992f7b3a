// SPDX-License-Identifier: MIT
// Fashion-MNIST: the installed data where there is any, and small files of the same form everywhere.
#include <hwnas/io/fashion_mnist.hpp>

#include <stdlib.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/idx_file.hpp"
#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace io_fashion_mnist_test {

namespace {

namespace io = hwnas::io;
using hwnas_test::error_of;
using hwnas_test::gzip;
using hwnas_test::idx;
using hwnas_test::TemporaryDirectory;

/// `rows` labels 0 1 2 ... 9 0 1 ...
std::string labels(std::uint32_t rows) {
    std::string text;
    for (std::uint32_t i = 0; i < rows; ++i) text += static_cast<char>(i % 10);
    return idx({rows}, text);
}

/// 200 training and 20 test images of 3 x 2; the images are gzip files, the labels plain.
void put_small(const TemporaryDirectory& directory) {
    directory.put("train-images-idx3-ubyte.gz", gzip(directory, idx({200, 3, 2})));
    directory.put("train-labels-idx1-ubyte", labels(200));
    directory.put("t10k-images-idx3-ubyte.gz", gzip(directory, idx({20, 3, 2})));
    directory.put("t10k-labels-idx1-ubyte", labels(20));
}

std::vector<std::int64_t> per_class(const hwnas::Dataset& data) {
    std::vector<std::int64_t> counts(10, 0);
    for (const auto label : data.labels) ++counts[static_cast<std::size_t>(label)];
    return counts;
}

bool installed() {
    return !io::detail::fashion_mnist_path(io::detail::fashion_mnist_directory({}), "train-images-idx3-ubyte").empty();
}

}  // namespace

TEST_CASE("Fashion-MNIST is read, verified and split", "[io][fashion_mnist]") {
    if (!installed()) SKIP("Fashion-MNIST is not installed (apt-get install dataset-fashion-mnist)");
    const auto data = io::fashion_mnist();
    CHECK(data.train.count == 55'000);
    CHECK(data.validation.count == 5'000);
    CHECK(data.test.count == 10'000);
    CHECK(data.train.image == std::array<std::int64_t, 3>{28, 28, 1});
    CHECK(data.train.name == "fashion-mnist train");
    CHECK(data.validation.name == "fashion-mnist validation");
    CHECK(data.test.name == "fashion-mnist test");
    CHECK(per_class(data.train) == std::vector<std::int64_t>(10, 5'500));
    CHECK(per_class(data.validation) == std::vector<std::int64_t>(10, 500));
    CHECK(per_class(data.test) == std::vector<std::int64_t>(10, 1'000));
    for (const auto* part : {&data.train, &data.validation, &data.test}) CHECK_NOTHROW(part->check());
    double sum = 0, squares = 0;
    for (const auto* part : {&data.train, &data.validation})
        for (const auto byte : part->bytes) {
            sum += byte / 255.0;
            squares += byte / 255.0 * (byte / 255.0);
        }
    const double mean = sum / (60'000.0 * 784), deviation = std::sqrt(squares / (60'000.0 * 784) - mean * mean);
    CHECK(std::abs(mean - data.train.mean) < 5e-5);
    CHECK(std::abs(deviation - data.train.std) < 5e-5);
}

TEST_CASE("data of the same form is split by class and seed, in its order", "[io][fashion_mnist]") {
    const TemporaryDirectory directory;
    put_small(directory);
    const auto read = [&](std::uint64_t seed, std::int64_t validation) {
        return io::fashion_mnist(
            {.directory = directory.path(), .validation = validation, .seed = seed, .verify = false});
    };
    const auto data = read(42, 50);
    CHECK(data.train.count == 150);
    CHECK(data.validation.count == 50);
    CHECK(data.test.count == 20);
    CHECK(per_class(data.validation) == std::vector<std::int64_t>(10, 5));
    CHECK(data.train.image == std::array<std::int64_t, 3>{3, 2, 1});

    // Together the parts are the file, each in the file's order.
    std::string whole = idx({200, 3, 2}).substr(16);
    std::size_t train = 0, validation = 0;
    for (std::size_t row = 0; row < 200; ++row) {
        const auto same = [&](const hwnas::Dataset& part, std::size_t at) {
            return at < static_cast<std::size_t>(part.count) && part.labels[at] == static_cast<int>(row % 10) &&
                   std::equal(
                       whole.begin() + static_cast<long>(6 * row), whole.begin() + static_cast<long>(6 * row + 6),
                       part.bytes.begin() + static_cast<long>(6 * at),
                       [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
        };
        if (same(data.train, train))
            ++train;
        else if (same(data.validation, validation))
            ++validation;
    }
    CHECK(train == 150);
    CHECK(validation == 50);

    CHECK(read(42, 50).validation.bytes == data.validation.bytes);
    CHECK(read(43, 50).validation.bytes != data.validation.bytes);
    CHECK(read(42, 0).train.count == 200);
    CHECK(read(42, 0).validation.count == 0);
    CHECK(read(42, 190).train.count == 10);
}

TEST_CASE("a validation size that cannot be is refused", "[io][fashion_mnist]") {
    const TemporaryDirectory directory;
    put_small(directory);
    const auto message = [&](std::int64_t validation) {
        return error_of(
            [&] { io::fashion_mnist({.directory = directory.path(), .validation = validation, .verify = false}); });
    };
    CHECK(message(-10) == "fashion-mnist train: -10 validation images asked for, choose 0 or more and fewer than 200");
    CHECK(message(200) == "fashion-mnist train: 200 validation images asked for, choose 0 or more and fewer than 200");
    CHECK(message(55) ==
          "fashion-mnist train: 55 validation images do not divide into 10 classes, choose a multiple of 10");

    hwnas::Dataset uneven;
    uneven.name = "uneven";
    uneven.count = 6;
    uneven.image = {1, 1, 1};
    uneven.bytes.resize(6);
    uneven.classes = 2;
    uneven.labels = {0, 1, 0, 0, 0, 0};
    CHECK(error_of([&] { io::stratified_split(uneven, 4, 1); }) ==
          "uneven: class 1 has 1 images, 2 are asked for validation");
    CHECK(io::stratified_split(uneven, 2, 1).second.count == 2);
    uneven.labels.clear();
    uneven.targets.resize(6);
    uneven.target_size = 1;
    CHECK(error_of([&] { io::stratified_split(uneven, 2, 1); }) ==
          "uneven: has no labels, a stratified split needs classes");
}

TEST_CASE("missing, foreign and damaged Fashion-MNIST files are named", "[io][fashion_mnist]") {
    const TemporaryDirectory directory;
    const auto message = [&](bool verify) {
        return error_of(
            directory, [&] { io::fashion_mnist({.directory = directory.path(), .validation = 50, .verify = verify}); });
    };
    CHECK(error_of([&] { io::fashion_mnist({.directory = "nowhere"}); }) ==
          "no Fashion-MNIST at nowhere: apt-get install dataset-fashion-mnist, or --data DIR");
    put_small(directory);
    CHECK(message(false) == "no error");
    CHECK(message(true) == "t10k-labels-idx1-ubyte: SHA-256 " + io::sha256(labels(20)).substr(0, 16) +
                               "... instead of 0402a96d92fd2663..., this is not Fashion-MNIST (reinstall "
                               "dataset-fashion-mnist or pass --data DIR)");

    directory.put("train-labels-idx1-ubyte", labels(200).substr(0, 150));
    CHECK(message(false) ==
          "train-labels-idx1-ubyte: 200 labels announced, file ends after 142 (truncated; reinstall "
          "dataset-fashion-mnist or pass --data DIR)");
    directory.put("train-labels-idx1-ubyte", labels(190));
    CHECK(message(false) ==
          ": train-images-idx3-ubyte has 200 images, train-labels-idx1-ubyte has 190 labels "
          "(reinstall dataset-fashion-mnist or pass --data DIR)");
    directory.put("train-labels-idx1-ubyte", idx({20, 10}));
    CHECK(message(false) ==
          "train-labels-idx1-ubyte: 2 dimensions, labels must have 1 (reinstall "
          "dataset-fashion-mnist or pass --data DIR)");
    directory.put("train-labels-idx1-ubyte", idx({200}));
    CHECK(message(false) == "dataset fashion-mnist train: label 37 of row 1 is outside the 10 classes");
    put_small(directory);
    directory.put("t10k-images-idx3-ubyte.gz", gzip(directory, idx({20, 2, 3})));
    CHECK(message(false) ==
          ": training images are 3 x 2, test images 2 x 3 (reinstall dataset-fashion-mnist or pass "
          "--data DIR)");
}

TEST_CASE("$HWNAS_DATA names the directory when none is given", "[io][fashion_mnist]") {
    const char* before = ::getenv("HWNAS_DATA");
    const std::string kept = before == nullptr ? "" : before;
    ::setenv("HWNAS_DATA", "from-the-environment", 1);
    CHECK(error_of([&] { io::fashion_mnist(); }) ==
          "no Fashion-MNIST at from-the-environment: apt-get install dataset-fashion-mnist, or --data DIR");
    ::unsetenv("HWNAS_DATA");
    CHECK(io::detail::fashion_mnist_directory({}).generic_string().ends_with("usr/share/datasets/fashion-mnist"));
    if (before != nullptr) ::setenv("HWNAS_DATA", kept.c_str(), 1);
}

}  // namespace io_fashion_mnist_test
