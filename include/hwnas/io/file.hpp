// SPDX-License-Identifier: MIT
// Files that are either whole or absent: bounded reads, atomic replacement, and rows appended one write at a time.
// POSIX calls, because only they report what the disk said.
#pragma once

#include <hwnas/core/error.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace hwnas::io {

namespace detail {

inline std::string reason(int error) {
    return std::generic_category().message(error);
}

/// 60000 -> "60,000"; file sizes and counts are read by people.
inline std::string grouped(std::uint64_t value) {
    std::string text = std::to_string(value);
    for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
    return text;
}

/// Text out of a file, fit for a one-line message: control characters as ?, no more bytes than `longest`.
inline std::string shown(std::string_view text, std::size_t longest = 60) {
    std::string line{text.substr(0, longest)};
    for (char& c : line)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    return text.size() <= longest ? line : line + "...";
}

/// What a system call that may answer EINTR says when no signal cuts it short: slow file systems (FUSE, NFS) let one.
template <class Call>
int uninterrupted(Call&& call) {
    for (;;)
        if (const int result = call(); result >= 0 || errno != EINTR) return result;
}
inline int open_file(const std::filesystem::path& path, int flags) {
    return uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); });
}

/// Owner of a file descriptor.
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int value) : value_(value) {}
    Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(value_, other.value_);
        return *this;
    }
    ~Descriptor() {
        if (value_ >= 0) ::close(value_);
    }

    int get() const { return value_; }
    /// close() reports delayed write errors (NFS, quotas), so the result counts; 0 or errno. After EINTR it is closed.
    int close() { return ::close(std::exchange(value_, -1)) == 0 || errno == EINTR ? 0 : errno; }

private:
    int value_ = -1;
};

/// Writes everything; 0 or errno.
inline int write_all(int descriptor, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        if (written == 0) return ENOSPC;
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return 0;
}

/// A rename is durable only once its directory is; file systems that cannot sync a directory say EINVAL.
inline int sync_directory(const std::filesystem::path& directory) {
    const Descriptor handle{open_file(directory, O_RDONLY | O_DIRECTORY)};
    if (handle.get() < 0) return errno;
    return uninterrupted([&] { return ::fsync(handle.get()); }) == 0 || errno == EINVAL ? 0 : errno;
}

}  // namespace detail

/// The bytes of an array of plain values, not copied.
template <class T>
std::string_view as_chars(std::span<const T> values) {
    return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

/// Whole content of a regular file of at most max_bytes; throws Error naming the path and the reason.
inline std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes = std::uint64_t{4} << 30) {
    // O_NONBLOCK: opening a named pipe must not wait for a writer before it can be refused.
    const detail::Descriptor file{detail::open_file(path, O_RDONLY | O_NONBLOCK)};
    if (file.get() < 0) fail("{}: cannot be opened ({})", path.string(), detail::reason(errno));
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) fail("{}: cannot be read ({})", path.string(), detail::reason(errno));
    if (!S_ISREG(status.st_mode)) fail("{}: is not a regular file, give the path of one", path.string());
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size > max_bytes)
        fail("{}: has {} bytes, at most {} are read", path.string(), detail::grouped(size), detail::grouped(max_bytes));
    std::string content(size, '\0');
    for (std::size_t done = 0; done < content.size();) {
        const ssize_t got = ::read(file.get(), content.data() + done, content.size() - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail("{}: cannot be read ({})", path.string(), detail::reason(errno));
        if (got == 0)
            fail("{}: ends after {} of {} bytes, another program is changing it", path.string(), detail::grouped(done),
                 detail::grouped(size));
        done += static_cast<std::size_t>(got);
    }
    return content;
}

/// Creates a directory and its parents, silently if it is there; throws Error naming the path and the reason.
inline void make_directories(const std::filesystem::path& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) fail("{}: cannot create the directory ({})", path.string(), error.message());
}

/// Replaces a file by the concatenation of parts: temporary name, fsync, rename, fsync of the directory. One
/// writer a file at a time.
/// Whatever fails, the old file stays as it was, the temporary is removed and Error names the path and the reason.
inline void write_file_atomic(const std::filesystem::path& path, std::span<const std::string_view> parts) {
    struct stat status{};
    // A rename would replace a device by a plain file: fatal for /dev/null when run as root.
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
        fail("{}: exists and is not a regular file, choose another name", path.string());
    const auto directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
    // One name for each file: what a kill left behind is replaced by the next write instead of staying for good.
    const auto temporary = directory / fmt::format(".{}.tmp", path.filename().string());
    const bool before = ::stat(path.c_str(), &status) == 0;
    const auto refuse = [&](int error) {
        fail("{}: cannot be written ({}){}", path.string(), detail::reason(error),
             before ? ", the previous content is unchanged" : "");
    };
    detail::Descriptor file{detail::open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW)};
    if (file.get() < 0) refuse(errno);
    int error = 0;
    for (const auto part : parts)
        if (error == 0) error = detail::write_all(file.get(), part);
    if (error == 0 && detail::uninterrupted([&] { return ::fsync(file.get()); }) != 0) error = errno;
    if (const int closed = file.close(); error == 0) error = closed;
    if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
    if (error != 0) {
        ::unlink(temporary.c_str());
        refuse(error);
    }
    if (const int unsynced = detail::sync_directory(directory); unsynced != 0)
        fail("{}: is written, but its directory cannot be synced ({})", path.string(), detail::reason(unsynced));
}

/// Replaces a file by `bytes`, atomically.
inline void write_file_atomic(const std::filesystem::path& path, std::string_view bytes) {
    write_file_atomic(path, std::span<const std::string_view>(&bytes, 1));
}

/// Throws Error where write_file_atomic() would not be able to write this file: before hours of work, not after.
inline void check_writable(const std::filesystem::path& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
        fail("{}: exists and is not a regular file, choose another name", path.string());
    const auto directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
    const auto temporary = directory / fmt::format(".{}.tmp", path.filename().string());
    const detail::Descriptor file{detail::open_file(temporary, O_WRONLY | O_CREAT | O_NOFOLLOW)};
    if (file.get() < 0) fail("{}: cannot be written ({})", path.string(), detail::reason(errno));
    ::unlink(temporary.c_str());
}

/// Keeps other processes that take one out of a directory, as long as it lives; the system frees it when a process
/// ends.
class DirectoryLock {
public:
    /// Throws Error if another process holds it. File systems that know no locks let everybody in.
    explicit DirectoryLock(const std::filesystem::path& directory)
        : directory_(detail::open_file(directory, O_RDONLY | O_DIRECTORY)) {
        if (directory_.get() < 0) fail("{}: cannot be opened ({})", directory.string(), detail::reason(errno));
        const int locked = detail::uninterrupted([&] { return ::flock(directory_.get(), LOCK_EX | LOCK_NB); });
        if (locked != 0 && errno == EWOULDBLOCK)
            fail("{}: another process is at work there; wait for it, or choose another directory", directory.string());
    }

private:
    detail::Descriptor directory_;
};

/// How a LineWriter treats a file that is there.
struct LineWriterOptions {
    bool append = false;  ///< keep the rows there are; a last row cut off by a kill is removed
};

/// Appends whole rows to a text file, each with one write, so that a reader or a kill sees complete rows only.
class LineWriter {
public:
    /// Opens or creates the file; throws Error naming the path and the reason.
    explicit LineWriter(std::filesystem::path path, const LineWriterOptions& options = {}) : path_(std::move(path)) {
        const int start = options.append ? 0 : O_TRUNC;
        file_ = detail::Descriptor{detail::open_file(path_, O_RDWR | O_CREAT | O_APPEND | start)};
        if (file_.get() < 0) fail("{}: cannot be opened for writing ({})", path_.string(), detail::reason(errno));
        struct stat status{};
        if (::fstat(file_.get(), &status) != 0) refuse(errno);
        regular_ = S_ISREG(status.st_mode);
        if (regular_) cut(end_of_last_row(status.st_size), status.st_size);
    }

    /// Writes text and a newline; throws Error when the disk refuses, having taken back a half-written row.
    void append(std::string_view text) {
        if (text.find('\n') != std::string_view::npos)
            fail("{}: a row holds a line break, write one row at a time", path_.string());
        std::string row{text};
        row += '\n';
        if (const int error = detail::write_all(file_.get(), row); error != 0) {
            if (regular_ && ::ftruncate(file_.get(), size_) != 0)
                fail("{}: a row is half written and cannot be taken back ({})", path_.string(), detail::reason(error));
            refuse(error);
        }
        size_ += static_cast<off_t>(row.size());
    }

    /// The file it writes.
    const std::filesystem::path& path() const { return path_; }

private:
    [[noreturn]] void refuse(int error) const {
        fail("{}: a row cannot be written ({})", path_.string(), detail::reason(error));
    }

    off_t end_of_last_row(off_t size) const {
        std::array<char, 4096> block{};
        while (size > 0) {
            const off_t start = std::max<off_t>(0, size - static_cast<off_t>(block.size()));
            const ssize_t got = ::pread(file_.get(), block.data(), static_cast<std::size_t>(size - start), start);
            if (got != size - start)
                fail("{}: cannot be read ({})", path_.string(), detail::reason(got < 0 ? errno : EIO));
            const auto at = std::string_view(block.data(), static_cast<std::size_t>(got)).rfind('\n');
            if (at != std::string_view::npos) return start + static_cast<off_t>(at) + 1;
            size = start;
        }
        return 0;
    }

    void cut(off_t whole, off_t size) {
        if (whole != size && ::ftruncate(file_.get(), whole) != 0) refuse(errno);
        size_ = whole;
    }

    std::filesystem::path path_;
    detail::Descriptor file_;
    off_t size_ = 0;
    bool regular_ = false;
};

}  // namespace hwnas::io
