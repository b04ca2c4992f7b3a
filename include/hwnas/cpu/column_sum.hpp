// SPDX-License-Identifier: MIT
// Sums over the leading dimensions: of one array (column_sum) or of a product (multiply_reduce in multiply.hpp). Work
// is a grid of row pieces and blocks of columns; sums run in double, and pieces are added in their order.
#pragma once

#include <hwnas/cpu/device.hpp>

namespace hwnas::cpu {

inline constexpr std::int64_t column_block = 64;   ///< columns of one piece
inline constexpr std::int64_t column_pieces = 32;  ///< aim for so many pieces: enough for any sensible thread count

inline std::int64_t column_blocks(std::int64_t period) {
    return (period + column_block - 1) / column_block;
}

/// Rows of ColumnSum's `partial`: into how many pieces the rows are cut. A function of the shape alone.
inline std::int64_t column_sum_chunks(std::int64_t n, std::int64_t period) {
    if (n <= 0 || period <= 0) return 1;
    return std::max<std::int64_t>(1, std::min(n / stream_grain, column_pieces / column_blocks(period)));
}

template <class T>
struct QuadOf {
    typedef T type __attribute__((vector_size(4 * sizeof(T))));
};

/// Sums a[r, j] (or a[r, j] b[r, j] when `product`) over rows [row, row_end) for columns [column, column_end), at most
/// column_block of them, into `out`, which counts from `column`.
template <class T, bool product>
struct ColumnSumBody {
    using Quad = typename QuadOf<T>::type;
    using Sum = Vec<double>;

    [[gnu::always_inline]] static void add(Sum& sum, const T* a, const T* b, std::int64_t i) {
        Quad quad;
        __builtin_memcpy(&quad, a + i, sizeof quad);
        Sum value = __builtin_convertvector(quad, Sum);
        if constexpr (product) {
            __builtin_memcpy(&quad, b + i, sizeof quad);
            value *= __builtin_convertvector(quad, Sum);
        }
        sum += value;
    }
    [[gnu::always_inline]] static double at(const T* a, const T* b, std::int64_t i) {
        if constexpr (product)
            return static_cast<double>(a[i]) * static_cast<double>(b[i]);
        else
            return static_cast<double>(a[i]);
    }
    [[gnu::always_inline]] static void columns(const T* a, const T* b, std::int64_t rows, std::int64_t stride,
                                               std::int64_t count, double* out) {
        std::int64_t j = 0;
        for (; j + 16 <= count; j += 16) {
            Sum s0{}, s1{}, s2{}, s3{};
            for (std::int64_t i = j, r = 0; r < rows; ++r, i += stride) {
                add(s0, a, b, i), add(s1, a, b, i + 4);
                add(s2, a, b, i + 8), add(s3, a, b, i + 12);
            }
            store<double>(out + j, s0), store<double>(out + j + 4, s1);
            store<double>(out + j + 8, s2), store<double>(out + j + 12, s3);
        }
        for (; j + 4 <= count; j += 4) {
            Sum sum{};
            for (std::int64_t i = j, r = 0; r < rows; ++r, i += stride) add(sum, a, b, i);
            store<double>(out + j, sum);
        }
        for (; j < count; ++j) {
            double sum = 0;
            for (std::int64_t i = j, r = 0; r < rows; ++r, i += stride) sum += at(a, b, i);
            out[j] = sum;
        }
    }
    [[gnu::always_inline]] static void run(const T* a, const T* b, std::int64_t period, std::int64_t row,
                                           std::int64_t row_end, std::int64_t column, std::int64_t column_end,
                                           double* out) {
        const std::int64_t count = column_end - column, offset = row * period + column;
        const T* const second = product ? b + offset : nullptr;
        if (period >= column_block) return columns(a + offset, second, row_end - row, period, count, out);
        // Short rows: several of them make one long row whose columns fill vectors; then fold.
        const std::int64_t together = column_block / period, wide = together * period,
                           wide_rows = (row_end - row) / together;
        double sums[column_block];
        columns(a + offset, second, wide_rows, wide, wide, sums);
        for (std::int64_t j = 0; j < period; ++j) {
            out[j] = 0;
            for (std::int64_t i = j; i < wide; i += period) out[j] += sums[i];
            for (std::int64_t i = wide_rows * wide + j; i < (row_end - row) * period; i += period)
                out[j] += at(a + offset, second, i);
        }
    }
};

/// Cuts the grid and calls f(chunk, column, column_end, sums) for every piece; sums count from `column`.
template <class T, bool product, class F>
void column_sums(Context& context, const T* a, const T* b, std::int64_t rows, std::int64_t period, std::int64_t chunks,
                 F&& f) {
    const std::int64_t blocks = column_blocks(period);
    context.parallel(chunks * blocks, [&](std::int64_t piece) {
        const std::int64_t chunk = piece / blocks, column = piece % blocks * column_block,
                           column_end = std::min(period, column + column_block);
        double sums[column_block];
        dispatch<T, ColumnSumBody<T, product>>(context.isa, a, b, period, rows * chunk / chunks,
                                               rows * (chunk + 1) / chunks, column, column_end,
                                               static_cast<double*>(sums));
        f(chunk, column, column_end, sums);
    });
}

template <class T>
struct Kernel<contract::ColumnSum<T>> {
    static void run(Context& context, const contract::ColumnSum<T>& s) {
        if (s.period <= 0) return;
        const std::int64_t chunks = column_sum_chunks(s.n, s.period);
        const auto finish = [&](std::int64_t j, double sum) {
            s.out[j] = static_cast<T>(static_cast<double>(s.factor) * sum) + (s.accumulate ? s.out[j] : T(0));
        };
        column_sums<T, false>(
            context, s.x, nullptr, s.n / s.period, s.period, chunks,
            [&](std::int64_t chunk, std::int64_t column, std::int64_t column_end, const double* sums) {
                for (std::int64_t j = column; j < column_end; ++j) {
                    if (chunks == 1)
                        finish(j, sums[j - column]);
                    else
                        s.partial[chunk * s.period + j] = static_cast<T>(sums[j - column]);
                }
            });
        if (chunks == 1) return;
        for (std::int64_t j = 0; j < s.period; ++j) {
            double sum = 0;
            for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
                sum += static_cast<double>(s.partial[chunk * s.period + j]);
            finish(j, sum);
        }
    }
};

}  // namespace hwnas::cpu
