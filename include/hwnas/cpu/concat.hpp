// SPDX-License-Identifier: MIT
// Concatenation along the last axis and its gradient: rows cut into pieces, copied operand by operand.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

/// to[r] (+)= from[r] for `rows` rows of `count` elements that lie `to_stride` and `from_stride` apart.
template <class T>
[[gnu::always_inline]] inline void copy_rows(T* to, std::int64_t to_stride, const T* from, std::int64_t from_stride,
                                             std::int64_t rows, std::int64_t count, bool accumulate) {
    for (std::int64_t r = 0; r < rows; ++r, to += to_stride, from += from_stride) {
        std::int64_t i = 0;
        for (; i + lanes<T> <= count; i += lanes<T>) {
            Vec<T> u, v;
            load<T>(u, from + i);
            if (accumulate) {
                load<T>(v, to + i);
                u += v;
            }
            store<T>(to + i, u);
        }
        for (; i < count; ++i) to[i] = accumulate ? to[i] + from[i] : from[i];
    }
}

template <class T>
struct ConcatForwardBody {
    [[gnu::always_inline]] static void run(const contract::ConcatForward<T>& s, std::int64_t total, std::int64_t begin,
                                           std::int64_t end) {
        std::int64_t offset = 0;
        for (int j = 0; j < s.count; ++j) {
            const std::int64_t c = s.channels[j];
            copy_rows<T>(s.y + begin * total + offset, total, s.x[j] + begin * c, c, end - begin, c, false);
            offset += c;
        }
    }
};
template <class T>
struct ConcatBackwardBody {
    [[gnu::always_inline]] static void run(const contract::ConcatBackward<T>& s, std::int64_t total, std::int64_t begin,
                                           std::int64_t end) {
        std::int64_t offset = 0;
        for (int j = 0; j < s.count; ++j) {
            const std::int64_t c = s.channels[j];
            if (s.dx[j] != nullptr) {
                T* const dx = s.dx[j] + begin * c;
                const T* const dy = s.dy + begin * total + offset;
                if (s.accumulate >> j & 1u)
                    copy_rows<T>(dx, c, dy, total, end - begin, c, true);
                else
                    copy_rows<T>(dx, c, dy, total, end - begin, c, false);
            }
            offset += c;
        }
    }
};

template <class T, class Body, class S>
void run_by_rows(Context& context, const S& s) {
    std::int64_t total = 0;
    for (int j = 0; j < s.count; ++j) total += s.channels[j];
    const std::int64_t grain = std::max<std::int64_t>(1, stream_grain / std::max<std::int64_t>(1, total));
    context.for_range(s.rows, grain, [&](std::int64_t begin, std::int64_t end) {
        dispatch<T, Body>(context.isa, s, total, begin, end);
    });
}
template <class T>
struct Kernel<contract::ConcatForward<T>> {
    static void run(Context& context, const contract::ConcatForward<T>& s) {
        run_by_rows<T, ConcatForwardBody<T>>(context, s);
    }
};
template <class T>
struct Kernel<contract::ConcatBackward<T>> {
    static void run(Context& context, const contract::ConcatBackward<T>& s) {
        run_by_rows<T, ConcatBackwardBody<T>>(context, s);
    }
};

}  // namespace hwnas::cpu
