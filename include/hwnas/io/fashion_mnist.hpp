// SPDX-License-Identifier: MIT
// Fashion-MNIST: 70,000 grey images of 28 x 28 in 10 classes (Xiao, Rasul, Vollgraf, 2017), as Debian's package
// dataset-fashion-mnist installs it. The validation images are taken out of the training set, as many of every class.
#pragma once

#include <hwnas/core/error.hpp>
#include <hwnas/core/random.hpp>
#include <hwnas/io/file.hpp>
#include <hwnas/io/idx.hpp>
#include <hwnas/io/sha256.hpp>
#include <hwnas/tensor/dataset.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

namespace hwnas::io {

/// Where the files of Fashion-MNIST are, and how they are split.
struct FashionMnistOptions {
    std::filesystem::path directory = {};  ///< empty: $HWNAS_DATA, what run.sh unpacked, or the installed package
    std::int64_t validation = 5'000;       ///< images taken out of the training set, a multiple of 10 below 60,000
    std::uint64_t seed = 42;               ///< decides which images are taken out
    bool verify = true;                    ///< compare the SHA-256 of the content; false for data of the same form
};

/// Training, validation and test set; no image is in two.
struct FashionMnist {
    Dataset train, validation, test;  ///< 55,000, 5,000 and 10,000 images [28, 28, 1] unless options say otherwise
};

namespace detail {

inline constexpr std::string_view fashion_mnist_advice = "reinstall dataset-fashion-mnist or pass --data DIR";

struct FashionMnistFile {
    std::string_view stem, items, sha256;
};

inline constexpr FashionMnistFile fashion_mnist_train_images{
    "train-images-idx3-ubyte", "images", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"};
inline constexpr FashionMnistFile fashion_mnist_train_labels{
    "train-labels-idx1-ubyte", "labels", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"};
inline constexpr FashionMnistFile fashion_mnist_test_images{
    "t10k-images-idx3-ubyte", "images", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"};
inline constexpr FashionMnistFile fashion_mnist_test_labels{
    "t10k-labels-idx1-ubyte", "labels", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"};

/// DIR/stem or DIR/stem.gz; an empty path when neither is there.
inline std::filesystem::path fashion_mnist_path(const std::filesystem::path& directory, std::string_view stem) {
    std::error_code error;
    for (const std::string_view suffix : {"", ".gz"}) {
        auto path = directory / (std::string{stem} + std::string{suffix});
        if (std::filesystem::exists(path, error)) return path;
    }
    return {};
}

inline std::filesystem::path fashion_mnist_directory(const std::filesystem::path& asked) {
    if (!asked.empty()) return asked;
    if (const char* named = std::getenv("HWNAS_DATA"); named != nullptr && *named != '\0') return named;
    const std::filesystem::path installed = "/usr/share/datasets/fashion-mnist";
    const auto unpacked = "build/deps" / installed.relative_path();
    return fashion_mnist_path(unpacked, fashion_mnist_train_images.stem).empty() ? installed : unpacked;
}

inline IdxArray read_fashion_mnist(const std::filesystem::path& directory, const FashionMnistFile& file, bool verify,
                                   std::size_t rank) {
    const auto path = fashion_mnist_path(directory, file.stem);
    if (path.empty()) {
        std::error_code error;
        std::size_t found = 0;
        for (const auto& part : {fashion_mnist_train_images, fashion_mnist_train_labels, fashion_mnist_test_images,
                                 fashion_mnist_test_labels})
            found += !fashion_mnist_path(directory, part.stem).empty();
        if (found == 0)
            fail("no Fashion-MNIST at {}: apt-get install dataset-fashion-mnist, or --data DIR", directory.string());
        fail("{}: {} is missing, packed or not ({})", directory.string(), file.stem, fashion_mnist_advice);
    }
    Sha256 digest;
    IdxArray array = read_idx(path, {file.items, fashion_mnist_advice, verify ? &digest : nullptr});
    if (array.shape.size() != rank)
        fail("{}: {} dimensions, {} must have {} ({})", path.string(), array.shape.size(), file.items, rank,
             fashion_mnist_advice);
    if (const std::string hex = verify ? digest.hex() : std::string{file.sha256}; hex != file.sha256)
        fail("{}: SHA-256 {}... instead of {}..., this is not Fashion-MNIST ({})", path.string(), hex.substr(0, 16),
             file.sha256.substr(0, 16), fashion_mnist_advice);
    return array;
}

inline Dataset fashion_mnist_part(const std::filesystem::path& directory, const FashionMnistFile& images,
                                  const FashionMnistFile& labels, bool verify, std::string name) {
    IdxArray classes = read_fashion_mnist(directory, labels, verify, 1);
    IdxArray pixels = read_fashion_mnist(directory, images, verify, 3);
    if (pixels.shape[0] != classes.shape[0])
        fail("{}: {} has {} images, {} has {} labels ({})", directory.string(), images.stem,
             grouped(static_cast<std::uint64_t>(pixels.shape[0])), labels.stem,
             grouped(static_cast<std::uint64_t>(classes.shape[0])), fashion_mnist_advice);
    return dataset_from_tensors(
        std::move(pixels.data), std::vector<std::int32_t>(classes.data.begin(), classes.data.end()),
        {.name = std::move(name), .image = {pixels.shape[1], pixels.shape[2], 1}, .classes = 10});
}

}  // namespace detail

/// Splits a classified dataset into {rest, chosen}: chosen holds total / classes rows of every class, drawn by seed;
/// both keep the order of data. Throws Error when total does not divide or a class has too few rows.
inline std::pair<Dataset, Dataset> stratified_split(const Dataset& data, std::int64_t total, std::uint64_t seed) {
    data.check();
    if (data.labels.empty()) fail("{}: has no labels, a stratified split needs classes", data.name);
    if (total < 0 || (total > 0 && total >= data.count))
        fail("{}: {} validation images asked for, choose 0 or more and fewer than {}", data.name, total,
             detail::grouped(static_cast<std::uint64_t>(data.count)));
    if (total % data.classes != 0)
        fail("{}: {} validation images do not divide into {} classes, choose a multiple of {}", data.name, total,
             data.classes, data.classes);
    const std::int64_t share = total / data.classes;
    std::vector<std::int64_t> taken(static_cast<std::size_t>(data.classes), 0);
    std::vector<bool> chosen(static_cast<std::size_t>(data.count), false);
    const auto key = Seed{seed}.stream("validation");
    for (std::int64_t i = 0; i < data.count && total > 0; ++i) {
        const auto row = static_cast<std::size_t>(random::permuted(i, data.count, key, 0));
        auto& have = taken[static_cast<std::size_t>(data.labels[row])];
        if (have == share) continue;
        ++have;
        chosen[row] = true;
    }
    for (std::size_t c = 0; c < taken.size(); ++c)
        if (taken[c] < share)
            fail("{}: class {} has {} images, {} are asked for validation", data.name, c, taken[c], share);
    std::vector<std::int64_t> rest, picked;
    for (std::int64_t i = 0; i < data.count; ++i) (chosen[static_cast<std::size_t>(i)] ? picked : rest).push_back(i);
    return {data.subset(rest), data.subset(picked)};
}

/// Reads, verifies and splits Fashion-MNIST; throws Error naming the file, what is wrong and the way out.
inline FashionMnist fashion_mnist(const FashionMnistOptions& options = {}) {
    const auto directory = detail::fashion_mnist_directory(options.directory);
    FashionMnist data;
    data.test = detail::fashion_mnist_part(directory, detail::fashion_mnist_test_images,
                                           detail::fashion_mnist_test_labels, options.verify, "fashion-mnist test");
    Dataset all = detail::fashion_mnist_part(directory, detail::fashion_mnist_train_images,
                                             detail::fashion_mnist_train_labels, options.verify, "fashion-mnist train");
    if (all.image != data.test.image)
        fail("{}: training images are {} x {}, test images {} x {} ({})", directory.string(), all.image[0],
             all.image[1], data.test.image[0], data.test.image[1], detail::fashion_mnist_advice);
    std::tie(data.train, data.validation) = stratified_split(all, options.validation, options.seed);
    data.validation.name = "fashion-mnist validation";
    return data;
}

}  // namespace hwnas::io
