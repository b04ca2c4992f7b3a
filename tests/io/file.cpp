// SPDX-License-Identifier: MIT
// Files are whole or absent: what a full disk, a device or a kill leaves behind.
#include <hwnas/io/file.hpp>

#include <sys/resource.h>
#include <sys/syscall.h>

#include <csignal>
#include <string>

#include "io/temporary_directory.hpp"
#include "support/catch.hpp"

namespace {
int interruptions = 0;  // how many of the next fsync() a signal cuts short
}

extern "C" int fsync(int descriptor) {
    if (interruptions > 0) {
        --interruptions;
        errno = EINTR;
        return -1;
    }
    return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

namespace {

using hwnas_test::error_of;
using hwnas_test::TemporaryDirectory;
namespace io = hwnas::io;

/// A disk that is full after `bytes` of one file, as far as this process can tell.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        rlimit limit = before_;
        limit.rlim_cur = bytes;
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }

private:
    void (*handler_)(int);
    rlimit before_{};
};

}  // namespace

TEST_CASE("write_file_atomic then read_file returns the same bytes", "[io][file]") {
    const TemporaryDirectory directory;
    const auto path = directory / "a.bin";
    const std::string content("one\0two\r\n\xff", 10);
    io::write_file_atomic(path, content);
    CHECK(io::read_file(path) == content);
    io::write_file_atomic(path, "");
    CHECK(io::read_file(path).empty());
    const std::string_view parts[] = {"ab", "", "cd"};
    io::write_file_atomic(path, parts);
    CHECK(io::read_file(path) == "abcd");
    CHECK(directory.entries() == 1);
}

TEST_CASE("a signal in the middle of writing does not fail it", "[io][file]") {
    const TemporaryDirectory directory;
    interruptions = 3;
    io::write_file_atomic(directory / "a", "whole");
    CHECK(interruptions == 0);
    CHECK(io::read_file(directory / "a") == "whole");
}

TEST_CASE("read_file names the file and the reason", "[io][file]") {
    const TemporaryDirectory directory;
    directory.put("five", "12345");
    CHECK(error_of(directory, [&] { io::read_file(directory / "none"); }) ==
          "none: cannot be opened (No such file or directory)");
    CHECK(error_of(directory, [&] { io::read_file(directory.path()); }) ==
          ": is not a regular file, give the path of one");
    CHECK(error_of([&] { io::read_file("/dev/zero"); }) == "/dev/zero: is not a regular file, give the path of one");
    CHECK(error_of(directory, [&] { io::read_file(directory / "five", 4); }) ==
          "five: has 5 bytes, at most 4 are read");
    CHECK(io::read_file(directory / "five", 5) == "12345");
}

TEST_CASE("a full disk leaves the old file and no temporary", "[io][file]") {
    const TemporaryDirectory directory;
    const auto path = directory / "weights.bin";
    io::write_file_atomic(path, "old");
    std::string message;
    {
        const FileSizeLimit limit(1000);
        message = error_of(directory, [&] { io::write_file_atomic(path, std::string(5000, 'x')); });
    }
    CHECK(message == "weights.bin: cannot be written (File too large), the previous content is unchanged");
    CHECK(io::read_file(path) == "old");
    CHECK(directory.entries() == 1);
}

TEST_CASE("write_file_atomic refuses places it cannot or must not replace", "[io][file]") {
    const TemporaryDirectory directory;
    CHECK(error_of(directory, [&] { io::write_file_atomic(directory / "no/a", "x"); }) ==
          "no/a: cannot be written (No such file or directory)");
    io::make_directories(directory / "sub");
    CHECK(error_of(directory, [&] { io::write_file_atomic(directory / "sub", "x"); }) ==
          "sub: exists and is not a regular file, choose another name");
    CHECK(error_of([&] { io::write_file_atomic("/dev/full", "x"); }) ==
          "/dev/full: exists and is not a regular file, choose another name");
    CHECK(directory.entries() == 1);
}

TEST_CASE("make_directories makes parents and says why it cannot", "[io][file]") {
    const TemporaryDirectory directory;
    io::make_directories(directory / "a/b/c");
    io::make_directories(directory / "a/b/c");
    CHECK(std::filesystem::is_directory(directory / "a/b/c"));
    directory.put("plain", "");
    CHECK(error_of(directory, [&] { io::make_directories(directory / "plain/sub"); }) ==
          "plain/sub: cannot create the directory (Not a directory)");
}

TEST_CASE("LineWriter appends whole rows that are visible at once", "[io][file]") {
    const TemporaryDirectory directory;
    const auto path = directory / "metrics.csv";
    {
        io::LineWriter rows{path};
        rows.append("epoch,loss");
        CHECK(io::read_file(path) == "epoch,loss\n");
        rows.append("1,2.3");
        CHECK(error_of(directory, [&] { rows.append("2,\n"); }) ==
              "metrics.csv: a row holds a line break, write one row at a time");
    }
    io::LineWriter{path, {.append = true}}.append("2,1.9");
    CHECK(io::read_file(path) == "epoch,loss\n1,2.3\n2,1.9\n");
    io::LineWriter{path}.append("new");
    CHECK(io::read_file(path) == "new\n");
}

TEST_CASE("LineWriter removes a row that a kill cut off", "[io][file]") {
    const TemporaryDirectory directory;
    const std::string first(10'000, 'a');
    for (const std::string& whole : {std::string{}, std::string{"x\n"}, first + "\n"})
        for (const std::string& rest : {std::string{}, std::string{"3,0."}, std::string(5'000, 'b')}) {
            const auto path = directory.put("metrics.csv", whole + rest);
            io::LineWriter{path, {.append = true}}.append("row");
            CHECK(io::read_file(path) == whole + "row\n");
        }
}

TEST_CASE("LineWriter reports a full disk and takes back the half-written row", "[io][file]") {
    const TemporaryDirectory directory;
    io::LineWriter device{"/dev/full"};
    CHECK(error_of([&] { device.append("row"); }) == "/dev/full: a row cannot be written (No space left on device)");

    const auto path = directory / "metrics.csv";
    io::LineWriter rows{path};
    rows.append("one");
    std::string message;
    {
        const FileSizeLimit limit(10);
        message = error_of(directory, [&] { rows.append("a row of more than six bytes"); });
    }
    CHECK(message == "metrics.csv: a row cannot be written (File too large)");
    CHECK(io::read_file(path) == "one\n");
    rows.append("two");
    CHECK(io::read_file(path) == "one\ntwo\n");
    CHECK(error_of(directory, [&] { io::LineWriter{directory / "no/metrics.csv"}; }) ==
          "no/metrics.csv: cannot be opened for writing (No such file or directory)");
}

TEST_CASE("text out of a file stays on one short line", "[io][file]") {
    CHECK(io::detail::shown("plain text") == "plain text");
    CHECK(io::detail::shown("a\nb\x7f\t") == "a?b??");
    CHECK(io::detail::shown(std::string(60, 'x')) == std::string(60, 'x'));
    CHECK(io::detail::shown(std::string(61, 'x')) == fmt::format("{:x<60}...", ""));
}

TEST_CASE("counts are grouped by thousands", "[io][file]") {
    CHECK(io::detail::grouped(0) == "0");
    CHECK(io::detail::grouped(999) == "999");
    CHECK(io::detail::grouped(1000) == "1,000");
    CHECK(io::detail::grouped(47'040'016) == "47,040,016");
}
