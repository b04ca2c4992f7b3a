// SPDX-License-Identifier: MIT
// What all fuzz targets share. A reader gets bytes from outside: it returns, or throws an Error of one short line, and
// asks for no more memory than the bytes justify. Anything else ends the program, which libFuzzer reports with the
// input.
#pragma once

#include <hwnas/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <unistd.h>

namespace fuzz {

/// Bytes that operator new has given and not got back, and the most of them since reset_peak().
std::size_t peak();
void reset_peak();

inline void expect(bool right, const char* what) {
    if (right) return;
    std::fprintf(stderr, "fuzz: %s\n", what);
    std::abort();
}

/// The bytes as a file that a reader can open; the same file each time.
inline std::filesystem::path file_of(std::string_view bytes) {
    static const int memory = ::memfd_create("fuzz", 0);
    expect(memory >= 0 && ::ftruncate(memory, 0) == 0, "no file in memory");
    for (std::size_t done = 0; done < bytes.size();) {
        const auto wrote = ::pwrite(memory, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
        expect(wrote > 0, "the file in memory cannot be written");
        done += static_cast<std::size_t>(wrote);
    }
    return "/proc/self/fd/" + std::to_string(memory);
}

/// Runs a reader on the input. It may take `factor` times its size and a megabyte of memory.
template <class F>
int run(const std::uint8_t* data, std::size_t size, std::size_t factor, F&& reader) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    reset_peak();
    try {
        reader(bytes);
    } catch (const hwnas::Error& error) {
        const std::string_view text = error.what();
        expect(!text.empty() && text.find_first_of("\r\n") == std::string_view::npos, "the message is not one line");
        expect(text.size() < 1'000, "the message is longer than 1000 characters");
    }
    expect(peak() <= factor * size + (std::size_t{1} << 20), "more memory than the size of the input justifies");
    return 0;
}

}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
