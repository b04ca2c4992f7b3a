// SPDX-License-Identifier: MIT
// Batch normalisation kernels: one streaming pass for sums, one to apply. Rows are cut into chunks by shape; a chunk
// sums in T about a mean of its own first rows, so that nothing cancels, and chunks merge in double in their order.
// Short rows go several at once: `fold` of them make one long row whose columns fill vectors.
#pragma once

#include <hwnas/cpu/device.hpp>

#include <cmath>

namespace hwnas::cpu {

/// Columns handled at a time: four vectors, which with their sums fit the registers.
template <class T>
inline constexpr std::int64_t norm_width = 4 * lanes<T>;
template <class T>
inline constexpr std::size_t norm_size = static_cast<std::size_t>(norm_width<T>);

/// Rows that make one long row: as many as fit, whole vectors if possible.
template <class T>
inline std::int64_t norm_fold(std::int64_t c) {
    const std::int64_t most = std::max<std::int64_t>(1, norm_width<T> / c);
    for (std::int64_t fold = most; fold > 1; --fold)
        if (fold * c % lanes<T> == 0) return fold;
    return most;
}
/// Rows [begin, end) of columns [column, column + columns), as `count` long rows and the few rows that are left.
template <class T>
struct NormBlock {
    std::int64_t column, columns, begin, end, fold, count, width, left;  ///< left: elements of the incomplete long row
    NormBlock(std::int64_t c, std::int64_t at, std::int64_t first, std::int64_t last)
        : column(at),
          columns(std::min(norm_width<T>, c - at)),
          begin(first),
          end(last),
          fold(norm_fold<T>(c)),
          count((last - first) / fold),
          width(columns * fold),
          left((last - first) % fold * columns) {}
};
/// Calls f(kind, n, j) for strips of the columns [0, width) at j: n = 4 vectors, one vector, or one element; `kind` is
/// a null pointer to what is counted.
template <class T, class F>
[[gnu::always_inline]] inline void norm_strips(std::int64_t width, F&& f) {
    std::int64_t j = 0;
    for (; j + 4 * lanes<T> <= width; j += 4 * lanes<T>)
        f(static_cast<Vec<T>*>(nullptr), std::integral_constant<int, 4>{}, j);
    for (; j + lanes<T> <= width; j += lanes<T>) f(static_cast<Vec<T>*>(nullptr), std::integral_constant<int, 1>{}, j);
    for (; j < width; ++j) f(static_cast<T*>(nullptr), std::integral_constant<int, 1>{}, j);
}
template <class W, class T>
[[gnu::always_inline]] inline void norm_load(W& w, const T* p) {
    __builtin_memcpy(&w, p, sizeof w);
}
template <class W, class T>
[[gnu::always_inline]] inline void norm_store(T* p, const W& w) {
    __builtin_memcpy(p, &w, sizeof w);
}

/// out[0, j], out[1, j] = mean, counted from the very first row so that little is rounded off, and sum of squared
/// deviations of one chunk.
template <class T>
struct NormStatisticsBody {
    [[gnu::always_inline]] static void run(const T* x, T* out, std::int64_t c, std::int64_t at, std::int64_t begin,
                                           std::int64_t end) {
        const NormBlock<T> block(c, at, begin, end);
        const T* p = x + begin * c + at;
        const std::int64_t step = block.fold * c, count = block.count, first = std::min<std::int64_t>(count, 8);
        T origin[norm_size<T>], sum[norm_size<T>], squares[norm_size<T>];
        norm_strips<T>(block.width,
                       [&]([[maybe_unused]] auto kind, auto vectors, std::int64_t j) __attribute__((always_inline)) {
                           using W = std::remove_pointer_t<decltype(kind)>;
                           constexpr int n = vectors;
                           W o[n] = {}, s[n] = {}, q[n] = {}, v;
                           if (count == 0) {
                               for (int i = 0; i < n; ++i)
                                   for (std::int64_t k = 0; k < static_cast<std::int64_t>(sizeof(W) / sizeof(T)); ++k) {
                                       const std::int64_t l = j + i * lanes<T> + k;
                                       origin[l] = p[l < block.left ? l : 0], sum[l] = squares[l] = T(0);
                                   }
                               return;
                           }
                           for (std::int64_t r = 0; r < first; ++r)
                               for (int i = 0; i < n; ++i) norm_load(v, p + r * step + j + i * lanes<T>), o[i] += v;
                           for (int i = 0; i < n; ++i) o[i] *= T(1) / static_cast<T>(first);
                           const T* row = p + j;
                           for (std::int64_t r = 0; r < count; ++r, row += step)
                               for (int i = 0; i < n; ++i) {
                                   norm_load(v, row + i * lanes<T>);
                                   v -= o[i];
                                   s[i] += v;
                                   q[i] += v * v;
                               }
                           for (int i = 0; i < n; ++i) {
                               norm_store(origin + j + i * lanes<T>, o[i]);
                               norm_store(sum + j + i * lanes<T>, s[i]);
                               norm_store(squares + j + i * lanes<T>, q[i]);
                           }
                       });
        for (std::int64_t j = 0; j < block.left; ++j) {
            const T v = p[count * step + j] - origin[j];
            sum[j] += v, squares[j] += v * v;
        }
        const double rows = static_cast<double>(end - begin);
        for (std::int64_t j = 0; j < block.columns; ++j) {  // unfold: equal channels, each about an origin of its own
            const auto size = [&](std::int64_t k) __attribute__((always_inline)) {
                return static_cast<double>(count + (k < block.left ? 1 : 0));
            };
            double mean = 0, deviation = 0;
            for (std::int64_t k = j; k < block.width; k += c)
                if (size(k) > 0) mean += size(k) * static_cast<double>(origin[k]) + static_cast<double>(sum[k]);
            mean /= rows;
            for (std::int64_t k = j; k < block.width; k += c) {
                if (size(k) == 0) continue;
                const double shift = static_cast<double>(origin[k]) - mean, total = static_cast<double>(sum[k]);
                deviation += static_cast<double>(squares[k]) + 2 * shift * total + size(k) * shift * shift;
            }
            out[at + j] = static_cast<T>(mean - static_cast<double>(x[at + j]));
            out[c + at + j] = static_cast<T>(deviation);
        }
    }
};

/// y = (x - mean) gain + shift over one block of columns; gain and shift count from its first column.
template <class T>
[[gnu::always_inline]] inline void norm_apply(const NormBlock<T>& block, T* y, const T* x, const T* mean, const T* gain,
                                              const T* shift, std::int64_t c) {
    T m[norm_size<T>], g[norm_size<T>], b[norm_size<T>];
    for (std::int64_t k = 0, j = 0; k < block.width; ++k, j = j + 1 == block.columns ? 0 : j + 1)
        m[k] = mean[block.column + j], g[k] = gain[j], b[k] = shift[j];
    const std::int64_t step = block.fold * c, offset = block.begin * c + block.column;
    norm_strips<T>(block.width,
                   [&]([[maybe_unused]] auto kind, auto vectors, std::int64_t j) __attribute__((always_inline)) {
                       using W = std::remove_pointer_t<decltype(kind)>;
                       constexpr int n = vectors;
                       W vm[n], vg[n], vb[n], v;
                       for (int i = 0; i < n; ++i) {
                           const std::int64_t k = j + i * lanes<T>;
                           norm_load(vm[i], m + k), norm_load(vg[i], g + k), norm_load(vb[i], b + k);
                       }
                       for (std::int64_t r = 0, k = offset + j; r < block.count; ++r, k += step)
                           for (int i = 0; i < n; ++i) {
                               norm_load(v, x + k + i * lanes<T>);
                               v = (v - vm[i]) * vg[i] + vb[i];
                               norm_store(y + k + i * lanes<T>, v);
                           }
                   });
    for (std::int64_t j = 0, k = offset + block.count * step; j < block.left; ++j, ++k)
        y[k] = (x[k] - m[j]) * g[j] + b[j];
}
/// The second pass of training: gain and shift lie in `partial`.
template <class T>
struct NormApplyBody {
    [[gnu::always_inline]] static void run(const contract::BatchNormForward<T>& s, std::int64_t at, std::int64_t begin,
                                           std::int64_t end) {
        norm_apply<T>(NormBlock<T>(s.c, at, begin, end), s.y, s.x, s.mean, s.partial + at, s.partial + s.c + at, s.c);
    }
};

/// out[0, j], out[1, j] = sums of dy and of dy (x - mean) inv_std over one chunk.
template <class T>
struct NormGradientSumsBody {
    [[gnu::always_inline]] static void run(const T* dy, const T* x, const T* mean, const T* inv_std, T* out,
                                           std::int64_t c, std::int64_t at, std::int64_t begin, std::int64_t end) {
        const NormBlock<T> block(c, at, begin, end);
        T m[norm_size<T>], sum[norm_size<T>], product[norm_size<T>];
        for (std::int64_t k = 0, j = 0; k < block.width; ++k, j = j + 1 == block.columns ? 0 : j + 1)
            m[k] = mean[at + j];
        const std::int64_t step = block.fold * c, offset = begin * c + at;
        norm_strips<T>(block.width,
                       [&]([[maybe_unused]] auto kind, auto vectors, std::int64_t j) __attribute__((always_inline)) {
                           using W = std::remove_pointer_t<decltype(kind)>;
                           constexpr int n = vectors;
                           W vm[n], s[n] = {}, q[n] = {}, v, d;
                           for (int i = 0; i < n; ++i) norm_load(vm[i], m + j + i * lanes<T>);
                           for (std::int64_t r = 0, k = offset + j; r < block.count; ++r, k += step)
                               for (int i = 0; i < n; ++i) {
                                   norm_load(v, x + k + i * lanes<T>);
                                   norm_load(d, dy + k + i * lanes<T>);
                                   s[i] += d;
                                   q[i] += d * (v - vm[i]);
                               }
                           for (int i = 0; i < n; ++i)
                               norm_store(sum + j + i * lanes<T>, s[i]), norm_store(product + j + i * lanes<T>, q[i]);
                       });
        for (std::int64_t j = 0, k = offset + block.count * step; j < block.left; ++j, ++k)
            sum[j] += dy[k], product[j] += dy[k] * (x[k] - m[j]);
        for (std::int64_t j = 0; j < block.columns; ++j) {
            double total = 0, dot = 0;
            for (std::int64_t k = j; k < block.width; k += c)
                total += static_cast<double>(sum[k]), dot += static_cast<double>(product[k]);
            out[at + j] = static_cast<T>(total);
            out[c + at + j] = static_cast<T>(dot * static_cast<double>(inv_std[at + j]));
        }
    }
};

/// dx (+)= gain (dy - means[0] - (x - mean) inv_std means[1]), gain = scale inv_std; with frozen only the first term.
template <class T>
struct NormGradientBody {
    [[gnu::always_inline]] static void run(const contract::BatchNormBackward<T>& s, std::int64_t at, std::int64_t begin,
                                           std::int64_t end) {
        const NormBlock<T> block(s.c, at, begin, end);
        T m[norm_size<T>], g[norm_size<T>];
        T slope[norm_size<T>], base[norm_size<T>];
        for (std::int64_t k = 0, j = at; k < block.width; ++k, j = j + 1 == at + block.columns ? at : j + 1) {
            g[k] = (s.scale ? s.scale[j] : T(1)) * s.inv_std[j];
            m[k] = s.mean[j];
            base[k] = s.frozen ? T(0) : -g[k] * s.partial[j];
            slope[k] = s.frozen ? T(0) : -g[k] * s.inv_std[j] * s.partial[s.c + j];
        }
        const std::int64_t step = block.fold * s.c, offset = begin * s.c + at;
        norm_strips<T>(block.width,
                       [&]([[maybe_unused]] auto kind, auto vectors, std::int64_t j) __attribute__((always_inline)) {
                           using W = std::remove_pointer_t<decltype(kind)>;
                           constexpr int n = vectors;
                           W vm[n], vg[n], vs[n], vb[n], v, d, old;
                           for (int i = 0; i < n; ++i) {
                               norm_load(vm[i], m + j + i * lanes<T>), norm_load(vg[i], g + j + i * lanes<T>);
                               norm_load(vs[i], slope + j + i * lanes<T>), norm_load(vb[i], base + j + i * lanes<T>);
                           }
                           for (std::int64_t r = 0, k = offset + j; r < block.count; ++r, k += step)
                               for (int i = 0; i < n; ++i) {
                                   norm_load(d, s.dy + k + i * lanes<T>);
                                   d *= vg[i];
                                   if (!s.frozen) {
                                       norm_load(v, s.x + k + i * lanes<T>);
                                       d += (v - vm[i]) * vs[i] + vb[i];
                                   }
                                   if (s.accumulate) norm_load(old, s.dx + k + i * lanes<T>), d += old;
                                   norm_store(s.dx + k + i * lanes<T>, d);
                               }
                       });
        for (std::int64_t j = 0, k = offset + block.count * step; j < block.left; ++j, ++k)
            s.dx[k] = (s.accumulate ? s.dx[k] : T(0)) + s.dy[k] * g[j] +
                      (s.frozen ? T(0) : (s.x[k] - m[j]) * slope[j] + base[j]);
    }
};

/// Body over all column blocks of every chunk of rows.
template <class T, class Body, class... Args>
void norm_rows(Context& context, std::int64_t rows, std::int64_t c, std::int64_t chunks, const Args&... args) {
    context.parallel(chunks, [&](std::int64_t chunk) {
        for (std::int64_t at = 0; at < c; at += norm_width<T>)
            dispatch<T, Body>(context.isa, args..., at, rows * chunk / chunks, rows * (chunk + 1) / chunks);
    });
}

template <class T>
struct Kernel<contract::BatchNormForward<T>> {
    static void run(Context& context, const contract::BatchNormForward<T>& s) {
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            for (std::int64_t at = 0; at < s.c; at += norm_width<T>)
                dispatch<T, NormStatisticsBody<T>>(context.isa, s.x, s.partial + chunk * 2 * s.c, s.c, at,
                                                   s.rows * chunk / s.chunks, s.rows * (chunk + 1) / s.chunks);
        });
        context.for_range(s.c, 32, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t j = begin; j < end; ++j) merge(s, j);
        });
        norm_rows<T, NormApplyBody<T>>(context, s.rows, s.c, s.chunks, s);
    }

private:
    /// Channel j of all chunks, then what the second pass needs, in the place of chunk 0: gain and shift. The shift
    /// takes up what rounding the mean to T lost.
    static void merge(const contract::BatchNormForward<T>& s, std::int64_t j) {
        const double rows = static_cast<double>(s.rows);
        const auto size = [&](std::int64_t chunk) {
            return static_cast<double>(s.rows * (chunk + 1) / s.chunks - s.rows * chunk / s.chunks);
        };
        double mean = 0, deviation = 0;
        for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk)
            mean += size(chunk) * static_cast<double>(s.partial[chunk * 2 * s.c + j]);
        mean /= rows;  // still counted from row 0
        for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk) {
            const double shift = static_cast<double>(s.partial[chunk * 2 * s.c + j]) - mean;
            deviation += static_cast<double>(s.partial[(chunk * 2 + 1) * s.c + j]) + size(chunk) * shift * shift;
        }
        mean += static_cast<double>(s.x[j]);
        const double inv_std = 1.0 / std::sqrt(deviation / rows + static_cast<double>(s.epsilon));
        const double gain = inv_std * (s.scale ? static_cast<double>(s.scale[j]) : 1.0);
        s.mean[j] = static_cast<T>(mean);
        s.inv_std[j] = static_cast<T>(inv_std);
        s.partial[j] = static_cast<T>(gain);
        s.partial[s.c + j] = static_cast<T>((s.shift ? static_cast<double>(s.shift[j]) : 0.0) -
                                            (mean - static_cast<double>(s.mean[j])) * gain);
        const auto follow = [&](T* running, double value) {
            if (!running) return;
            const double old = static_cast<double>(running[j]);
            running[j] = static_cast<T>(old + static_cast<double>(*s.momentum) * (value - old));
        };
        follow(s.running_mean, mean);
        follow(s.running_var, deviation / (rows - 1));
    }
};

template <class T>
struct NormEvalBody {
    [[gnu::always_inline]] static void run(const contract::BatchNormEval<T>& s, std::int64_t at, std::int64_t begin,
                                           std::int64_t end) {
        T gain[norm_size<T>], shift[norm_size<T>];
        const NormBlock<T> block(s.c, at, begin, end);
        for (std::int64_t j = 0; j < block.columns; ++j) {
            gain[j] = s.inv_std[at + j] * (s.scale ? s.scale[at + j] : T(1));
            shift[j] = s.shift ? s.shift[at + j] : T(0);
        }
        norm_apply<T>(block, s.y, s.x, s.mean, gain, shift, s.c);
    }
};
template <class T>
struct Kernel<contract::BatchNormEval<T>> {
    static void run(Context& context, const contract::BatchNormEval<T>& s) {
        const double epsilon = static_cast<double>(s.epsilon);
        for (std::int64_t j = 0; j < s.c; ++j)
            s.inv_std[j] = static_cast<T>(1.0 / std::sqrt(static_cast<double>(s.var[j]) + epsilon));
        norm_rows<T, NormEvalBody<T>>(context, s.rows, s.c,
                                      std::clamp<std::int64_t>(s.rows * s.c / (2 * stream_grain), 1, s.rows), s);
    }
};

template <class T>
struct Kernel<contract::BatchNormBackward<T>> {
    static void run(Context& context, const contract::BatchNormBackward<T>& s) {
        const bool sums = !s.frozen || s.dscale || s.dshift;
        if (sums) {
            context.parallel(s.chunks, [&](std::int64_t chunk) {
                for (std::int64_t at = 0; at < s.c; at += norm_width<T>)
                    dispatch<T, NormGradientSumsBody<T>>(context.isa, s.dy, s.x, s.mean, s.inv_std,
                                                         s.partial + chunk * 2 * s.c, s.c, at,
                                                         s.rows * chunk / s.chunks, s.rows * (chunk + 1) / s.chunks);
            });
            context.for_range(2 * s.c, 64, [&](std::int64_t begin, std::int64_t end) {
                for (std::int64_t j = begin; j < end; ++j) {
                    double sum = 0;
                    for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk)
                        sum += static_cast<double>(s.partial[chunk * 2 * s.c + j]);
                    if (T* out = j < s.c ? s.dshift : s.dscale) out[j % s.c] += static_cast<T>(sum);
                    s.partial[j] = static_cast<T>(sum / static_cast<double>(s.rows));
                }
            });
        }
        if (s.dx) norm_rows<T, NormGradientBody<T>>(context, s.rows, s.c, s.chunks, s);
    }
};

}  // namespace hwnas::cpu
