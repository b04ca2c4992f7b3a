// SPDX-License-Identifier: MIT
// Builds small IDX and gzip files for the tests of their readers.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "io/temporary_directory.hpp"

namespace hwnas_test {

/// Magic and extents of an IDX file of bytes, followed by content.
inline std::string idx(const std::vector<std::uint32_t>& shape, const std::string& content) {
    std::string text("\0\0\x08", 3);
    text += static_cast<char>(shape.size());
    for (const std::uint32_t extent : shape)
        for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(extent >> shift & 255u);
    return text + content;
}

/// The same with as many bytes as the shape says, each different from its neighbours.
inline std::string idx(const std::vector<std::uint32_t>& shape) {
    std::size_t size = 1;
    for (const std::uint32_t extent : shape) size *= extent;
    std::string content(size, '\0');
    for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 37 + i / 256);
    return idx(shape, content);
}

/// What gzip makes of content.
inline std::string gzip(const TemporaryDirectory& directory, const std::string& content) {
    const std::string path = (directory / "packed").string();
    const gzFile file = ::gzopen(path.c_str(), "wb");
    ::gzwrite(file, content.data(), static_cast<unsigned>(content.size()));
    ::gzclose(file);
    std::ifstream packed(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(packed), std::istreambuf_iterator<char>()};
}

}  // namespace hwnas_test
