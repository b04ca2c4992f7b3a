// SPDX-License-Identifier: MIT
// IDX files, the container of MNIST and its relatives: two zero bytes, a type code, a rank, big-endian extents, values.
// Plain or gzip, told apart by content. What a header announces is never trusted with memory: a buffer grows with the
// bytes that are really there.
#pragma once

#include <hwnas/core/error.hpp>
#include <hwnas/io/file.hpp>
#include <hwnas/io/sha256.hpp>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hwnas::io {

/// Content of an IDX file of bytes, row-major; shape[0] counts the items.
struct IdxArray {
    std::vector<std::int64_t> shape;  ///< extents, as the header of the file has them
    std::vector<std::uint8_t> data;   ///< values, row by row
};

/// What read_idx() accepts.
struct IdxOptions {
    std::string_view items = "items";                  ///< what shape[0] counts, for messages
    std::string_view advice = "fetch the file again";  ///< the way out of a damaged file, for messages
    Sha256* digest = nullptr;                          ///< takes the decompressed bytes, header included
};

namespace detail {

/// A plain or gzip file read in order; every error names the file.
class GzipReader {
public:
    GzipReader(const std::filesystem::path& path, std::string_view advice) : path_(path.string()), advice_(advice) {
        std::error_code error;
        const auto status = std::filesystem::status(path, error);
        if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
            fail("{}: is not a regular file, give the path of one", path_);
        errno = 0;
        file_.reset(::gzopen(path.c_str(), "rb"));
        if (!file_) fail("{}: cannot be opened ({})", path_, reason(errno == 0 ? ENOMEM : errno));
        ::gzbuffer(file_.get(), 1u << 18);
    }

    /// Up to size bytes; fewer only where the content ends.
    std::size_t read(std::uint8_t* to, std::size_t size) {
        std::size_t done = 0;
        while (done < size) {
            const auto step = static_cast<unsigned>(std::min(size - done, std::size_t{1} << 30));
            const int got = ::gzread(file_.get(), to + done, step);
            // A gzip stream that just stops is a short read with Z_BUF_ERROR: end of content, not a failure of reading.
            if (got < 0) refuse();
            if (got == 0) break;
            done += static_cast<std::size_t>(got);
        }
        return done;
    }

    /// True when the gzip stream stopped before its end mark and checksum.
    bool cut_short() const {
        int code = Z_OK;
        ::gzerror(file_.get(), &code);
        return code == Z_BUF_ERROR;
    }

private:
    struct Close {
        void operator()(gzFile file) const { ::gzclose(file); }
    };

    [[noreturn]] void refuse() const {
        int code = Z_OK;
        const std::string_view text = ::gzerror(file_.get(), &code);
        if (code == Z_ERRNO) fail("{}: cannot be read ({})", path_, reason(errno));
        const auto colon = text.rfind(": ");
        fail("{}: damaged gzip content ({}; {})", path_,
             colon == std::string_view::npos ? text : text.substr(colon + 2), advice_);
    }

    std::string path_;
    std::string advice_;
    std::unique_ptr<std::remove_pointer_t<gzFile>, Close> file_;
};

}  // namespace detail

/// Reads an IDX file of unsigned bytes (type 0x08) with 1 to 4 dimensions, plain or gzip.
/// Throws Error for a wrong magic, a short or an overlong file, an impossible shape or damaged gzip content.
inline IdxArray read_idx(const std::filesystem::path& path, const IdxOptions& options = {}) {
    const std::string name = path.string();
    detail::GzipReader file{path, options.advice};
    std::array<std::uint8_t, 20> header{};
    std::size_t got = file.read(header.data(), 4);
    if (got < 4) fail("{}: ends inside the 4 bytes of the IDX magic (truncated; {})", name, options.advice);
    if (header[0] != 0 || header[1] != 0)
        fail("{}: starts with bytes {:02x} {:02x}, an IDX file with 00 00 ({})", name, header[0], header[1],
             options.advice);
    if (header[2] != 0x08) fail("{}: type code 0x{:02x} is not read, only 0x08 (unsigned bytes) is", name, header[2]);
    const std::size_t rank = header[3];
    if (rank < 1 || rank > 4) fail("{}: {} dimensions announced, 1 to 4 are read", name, rank);
    got = file.read(header.data() + 4, 4 * rank);
    if (got < 4 * rank)
        fail("{}: ends inside the extents of its {} dimensions (truncated; {})", name, rank, options.advice);
    if (options.digest) options.digest->update(header.data(), 4 + 4 * rank);

    IdxArray array;
    std::string extents;
    bool possible = true;
    std::uint64_t announced = 1, item = 1;
    for (std::size_t i = 0; i < rank; ++i) {
        const std::uint8_t* at = header.data() + 4 + 4 * i;
        const std::uint64_t extent =
            std::uint64_t{at[0]} << 24 | std::uint64_t{at[1]} << 16 | std::uint64_t{at[2]} << 8 | at[3];
        array.shape.push_back(static_cast<std::int64_t>(extent));
        extents += (i > 0 ? " x " : "") + detail::grouped(extent);
        possible = possible && (extent == 0 || announced <= std::numeric_limits<std::uint64_t>::max() / 2 / extent);
        announced *= extent;
        if (i > 0) item *= extent;
    }
    if (!possible) fail("{}: {} bytes announced, more than a file can hold ({})", name, extents, options.advice);

    // Growth by doubling: at most twice what the file really held, whatever the header announces.
    std::size_t filled = 0;
    while (filled < announced) {
        const std::uint64_t room = std::min<std::uint64_t>(announced, std::max<std::uint64_t>(1u << 16, 2 * filled));
        array.data.resize(static_cast<std::size_t>(room));
        // Small pieces are hashed while they are still in cache.
        for (bool more = true; more && filled < room;) {
            const std::size_t step =
                std::min<std::size_t>(static_cast<std::size_t>(room) - filled, std::size_t{1} << 19);
            got = file.read(array.data.data() + filled, step);
            if (options.digest) options.digest->update(array.data.data() + filled, got);
            filled += got;
            more = got == step;
        }
        if (filled < room)
            fail("{}: {} {} announced, file ends after {} (truncated; {})", name,
                 detail::grouped(static_cast<std::uint64_t>(array.shape[0])), options.items,
                 detail::grouped(filled / item), options.advice);
    }
    std::uint8_t extra = 0;
    // Asking for one byte more also makes zlib read and compare the checksum at the end.
    if (file.read(&extra, 1) != 0)
        fail("{}: {} {} announced, but more bytes follow them ({})", name,
             detail::grouped(static_cast<std::uint64_t>(array.shape[0])), options.items, options.advice);
    if (file.cut_short()) fail("{}: the gzip end mark is missing (truncated; {})", name, options.advice);
    return array;
}

}  // namespace hwnas::io
