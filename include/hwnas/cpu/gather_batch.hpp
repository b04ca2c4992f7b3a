// SPDX-License-Identifier: MIT
// Batch assembly: picks rows by number and turns bytes into normalised values, eight at a time.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

template <class T>
struct ByteVecOf {
    typedef std::uint8_t type __attribute__((vector_size(32 / sizeof(T))));
};

/// One row of bytes; the division is exact, so that every entry gives the same bits.
template <class T>
struct GatherBytesBody {
    [[gnu::always_inline]] static void run(const contract::GatherBatch<T>& s, std::int64_t from, std::int64_t to) {
        const std::uint8_t* in = s.bytes + from * s.row;
        T* out = s.out + to * s.row;
        const T mean = static_cast<T>(s.mean), inv_std = static_cast<T>(s.inv_std);
        Vec<T> means, inv_stds, full;
        splat<T>(means, mean);
        splat<T>(inv_stds, inv_std);
        splat<T>(full, T(255));
        std::int64_t i = 0;
        for (; i + lanes<T> <= s.row; i += lanes<T>) {
            typename ByteVecOf<T>::type b;
            __builtin_memcpy(&b, in + i, sizeof b);
            const Vec<T> x = (__builtin_convertvector(b, Vec<T>) / full - means) * inv_stds;
            store<T>(out + i, x);
        }
        for (; i < s.row; ++i) out[i] = (static_cast<T>(in[i]) / T(255) - mean) * inv_std;
    }
};

template <class T>
struct Kernel<contract::GatherBatch<T>> {
    static void run(Context& context, const contract::GatherBatch<T>& s) {
        const std::int64_t batch = *s.step % s.batches, epoch = *s.step / s.batches;
        context.for_range(
            s.n, std::max<std::int64_t>(1, stream_grain / s.row), [&](std::int64_t begin, std::int64_t end) {
                for (std::int64_t i = begin; i < end; ++i) {
                    const std::int64_t position = batch * s.n + i;
                    row(context, s,
                        s.shuffle ? random::permuted(position, s.count, s.key, static_cast<std::uint64_t>(epoch))
                                  : s.first + position,
                        i);
                }
            });
    }

private:
    static void row(Context& context, const contract::GatherBatch<T>& s, std::int64_t from, std::int64_t to) {
        if (s.bytes)
            dispatch<T, GatherBytesBody<T>>(context.isa, s, from, to);
        else
            std::copy(s.values + from * s.row, s.values + (from + 1) * s.row, s.out + to * s.row);
        if (s.labels_out) s.labels_out[to] = s.labels[from];
        if (s.targets_out)
            for (std::int64_t i = 0; i < s.target_row; ++i)
                s.targets_out[to * s.target_row + i] = static_cast<T>(s.targets[from * s.target_row + i]);
    }
};

}  // namespace hwnas::cpu
