// SPDX-License-Identifier: MIT
// A directory of its own for each test that writes files, and the text of the Error a call throws.
#pragma once

#include <hwnas/core/error.hpp>

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace hwnas_test {

class TemporaryDirectory {
public:
    TemporaryDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "hwnas-io-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
        path_ = name;
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
    const std::filesystem::path& path() const { return path_; }

    /// Writes a file without the library under test.
    std::filesystem::path put(std::string_view name, std::string_view content) const {
        std::ofstream file(path_ / name, std::ios::binary | std::ios::trunc);
        file.write(content.data(), static_cast<std::streamsize>(content.size()));
        return path_ / name;
    }

    /// How many entries there are; a leftover temporary file would be one more.
    long entries() const {
        return std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator());
    }

private:
    std::filesystem::path path_;
};

/// what() of the Error that call throws, with the directory of the test cut out; "no error" when it returns.
template <class Call>
std::string error_of(const TemporaryDirectory& directory, Call&& call) {
    try {
        call();
    } catch (const hwnas::Error& error) {
        std::string text = error.what();
        const std::string prefix = directory.path().string();
        for (auto at = text.find(prefix); at != std::string::npos; at = text.find(prefix))
            text.erase(at, prefix.size() + (text.substr(at + prefix.size(), 1) == "/" ? 1 : 0));
        return text;
    }
    return "no error";
}

template <class Call>
std::string error_of(Call&& call) {
    try {
        call();
    } catch (const hwnas::Error& error) {
        return error.what();
    }
    return "no error";
}

}  // namespace hwnas_test
