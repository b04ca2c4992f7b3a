// SPDX-License-Identifier: MIT
// Batch normalisation kernels: one streaming pass for sums, one to apply. Rows are cut into chunks by shape; a chunk
// sums in T about a mean of its own first rows, so that nothing cancels, and chunks merge in double in their order.
#pragma once

#include <hwnas/cpu/norm_block.hpp>

#include <cmath>

namespace hwnas::cpu {

/// out [3, c] = origin, sum and sum of squares about it, of the rows [begin, end); `resume` adds to what is there.
template <class T, int B>
struct NormStatisticsBody {
    [[gnu::always_inline]] static void run(const T* x, T* out, std::int64_t c, std::int64_t at, std::int64_t begin,
                                           std::int64_t end, bool resume) {
        const std::int64_t columns = std::min(norm_columns_at_once<T, B>(c), c - at);
        if (!resume) {
            // Rows from all over, since a corner of the first image may be unlike the rest.
            const std::int64_t rows = std::min<std::int64_t>(end - begin, 8), apart = (end - begin) / rows;
            for (std::int64_t j = at; j < at + columns; ++j) out[j] = 0;
            for (std::int64_t r = 0; r < rows; ++r)
                for (std::int64_t j = at; j < at + columns; ++j) out[j] += x[(begin + r * apart) * c + j];
            for (std::int64_t j = at; j < at + columns; ++j) out[j] *= T(1) / static_cast<T>(rows);
        }
        double totals[norm_most], powers[norm_most];
        std::fill_n(totals, columns, 0.0), std::fill_n(powers, columns, 0.0);
        for (std::int64_t first = begin; first < end; first += drained)
            add(x, out, totals, powers, NormBlock<T, B>(c, at, first, std::min(first + drained, end)));
        for (std::int64_t j = 0; j < columns; ++j) {
            const auto put = [&](T& to, double value) { to = (resume ? to : T(0)) + static_cast<T>(value); };
            put(out[c + at + j], totals[j]);
            put(out[2 * c + at + j], powers[j]);
        }
    }

private:
    /// Rows whose sums T holds without losing digits to their number.
    static constexpr std::int64_t drained = 1024;
    [[gnu::always_inline]] static void add(const T* x, const T* out, double* totals, double* powers,
                                           const NormBlock<T, B>& block) {
        constexpr auto size = NormBlock<T, B>::size;
        const std::int64_t c = block.c;
        T origin[size], sum[size], squares[size];
        block.repeat(origin, [&](std::int64_t j) { return out[j]; });
        std::fill_n(sum, block.width, T(0)), std::fill_n(squares, block.width, T(0));
        block.strips([&]([[maybe_unused]] auto kind, auto vectors, std::int64_t j, std::int64_t k, std::int64_t count)
                         __attribute__((always_inline)) {
                             using W = std::remove_pointer_t<decltype(kind)>;
                             constexpr int n = vectors, L = lanes<T, B>;
                             W o[n], s[n], q[n], v;
                             for (int i = 0; i < n; ++i) {
                                 norm_load(o[i], origin + j + i * L);
                                 norm_load(s[i], sum + j + i * L), norm_load(q[i], squares + j + i * L);
                             }
                             for (std::int64_t r = 0; r < count; ++r, k += block.fold * c)
                                 for (int i = 0; i < n; ++i) {
                                     norm_stream(v, x + k + i * L);
                                     v -= o[i];
                                     s[i] += v;
                                     q[i] += v * v;
                                 }
                             for (int i = 0; i < n; ++i)
                                 norm_store(sum + j + i * L, s[i]), norm_store(squares + j + i * L, q[i]);
                         });
        for (std::int64_t j = 0; j < block.columns; ++j)  // unfold
            for (std::int64_t k = j; k < block.width; k += block.columns)
                totals[j] += static_cast<double>(sum[k]), powers[j] += static_cast<double>(squares[k]);
    }
};

/// y (+)= (x - mean) (gate[0] gain) + gate[0] offset + gate[1] skip.
template <class T, int B, bool with_skip>
struct NormApply {
    [[gnu::always_inline]] static void run(const contract::BatchNormApply<T>& call, std::int64_t at, std::int64_t begin,
                                           std::int64_t end) {
        const auto s = call;
        const NormBlock<T, B> block(s.c, at, begin, end);
        T m[block.size], g[block.size], b[block.size];
        const T take = s.gate ? s.gate[0] : T(1), keep = with_skip ? s.gate[1] : T(0);
        block.repeat(m, [&](std::int64_t j) { return s.mean[j]; });
        block.repeat(g, [&](std::int64_t j) { return take * s.gain[j]; });
        block.repeat(b, [&](std::int64_t j) { return take * s.offset[j]; });
        block.strips([&]([[maybe_unused]] auto kind, auto vectors, std::int64_t j, std::int64_t k, std::int64_t count)
                         __attribute__((always_inline)) {
                             using W = std::remove_pointer_t<decltype(kind)>;
                             constexpr int n = vectors, L = lanes<T, B>;
                             W vm[n], vg[n], vb[n], v, u;
                             for (int i = 0; i < n; ++i) {
                                 norm_load(vm[i], m + j + i * L), norm_load(vg[i], g + j + i * L);
                                 norm_load(vb[i], b + j + i * L);
                             }
                             for (std::int64_t r = 0; r < count; ++r, k += block.fold * s.c)
                                 for (int i = 0; i < n; ++i) {
                                     norm_stream(v, s.x + k + i * L);
                                     v = (v - vm[i]) * vg[i] + vb[i];
                                     if constexpr (with_skip) {
                                         norm_stream(u, s.skip + k + i * L);
                                         v += keep * u;
                                     }
                                     if (s.accumulate) norm_stream(u, s.y + k + i * L), v += u;
                                     norm_store(s.y + k + i * L, v);
                                 }
                         });
    }
};
template <class T, int B>
struct NormApplyBody {
    [[gnu::always_inline]] static void run(const contract::BatchNormApply<T>& s, std::int64_t at, std::int64_t begin,
                                           std::int64_t end) {
        if (s.skip)
            NormApply<T, B, true>::run(s, at, begin, end);
        else
            NormApply<T, B, false>::run(s, at, begin, end);
    }
};

/// out [3, c] = sums of dy, of dy (x - mean) inv_std and of dy skip over the rows [begin, end); `resume` adds to them.
template <class T, int B, bool with_skip>
struct NormGradientSums {
    [[gnu::always_inline]] static void run(const contract::BatchNormGradientSums<T>& call, T* out, std::int64_t at,
                                           std::int64_t begin, std::int64_t end) {
        const auto s = call;
        const std::int64_t c = s.c;
        const NormBlock<T, B> block(c, at, begin, end);
        T m[block.size], sum[block.size], product[block.size], other[block.size];
        block.repeat(m, [&](std::int64_t j) { return s.mean[j]; });
        std::fill_n(sum, block.width, T(0)), std::fill_n(product, block.width, T(0));
        std::fill_n(other, block.width, T(0));
        block.strips([&]([[maybe_unused]] auto kind, auto vectors, std::int64_t j, std::int64_t k, std::int64_t count)
                         __attribute__((always_inline)) {
                             using W = std::remove_pointer_t<decltype(kind)>;
                             constexpr int n = vectors, L = lanes<T, B>;
                             W vm[n], total[n], q[n], o[n], v, d;
                             for (int i = 0; i < n; ++i) {
                                 norm_load(vm[i], m + j + i * L), norm_load(total[i], sum + j + i * L);
                                 norm_load(q[i], product + j + i * L), norm_load(o[i], other + j + i * L);
                             }
                             for (std::int64_t r = 0; r < count; ++r, k += block.fold * c)
                                 for (int i = 0; i < n; ++i) {
                                     norm_stream(v, s.x + k + i * L);
                                     norm_stream(d, s.dy + k + i * L);
                                     total[i] += d;
                                     q[i] += d * (v - vm[i]);
                                     if constexpr (with_skip) {
                                         norm_stream(v, s.skip + k + i * L);
                                         o[i] += d * v;
                                     }
                                 }
                             for (int i = 0; i < n; ++i) {
                                 norm_store(sum + j + i * L, total[i]), norm_store(product + j + i * L, q[i]);
                                 norm_store(other + j + i * L, o[i]);
                             }
                         });
        for (std::int64_t j = 0; j < block.columns; ++j) {
            double total = 0, dot = 0, skip = 0;
            for (std::int64_t k = j; k < block.width; k += c) {
                total += static_cast<double>(sum[k]), dot += static_cast<double>(product[k]);
                skip += static_cast<double>(other[k]);
            }
            const auto put = [&](T& to, double value) { to = (s.resume ? to : T(0)) + static_cast<T>(value); };
            put(out[at + j], total);
            put(out[c + at + j], dot * static_cast<double>(s.inv_std[at + j]));
            put(out[2 * c + at + j], skip);
        }
    }
};
template <class T, int B>
struct NormGradientSumsBody {
    [[gnu::always_inline]] static void run(const contract::BatchNormGradientSums<T>& s, T* out, std::int64_t at,
                                           std::int64_t begin, std::int64_t end) {
        if (s.skip)
            NormGradientSums<T, B, true>::run(s, out, at, begin, end);
        else
            NormGradientSums<T, B, false>::run(s, out, at, begin, end);
    }
};

/// dx (+)= gain (gate[0] dy - means[0] - (x - mean) inv_std means[1]), gain = scale inv_std, and dskip (+)= gate[1] dy.
template <class T, int B, bool frozen, bool with_skip>
struct NormGradient {
    [[gnu::always_inline]] static void run(const contract::BatchNormBackward<T>& call, std::int64_t at,
                                           std::int64_t begin, std::int64_t end) {
        const auto s = call;
        const NormBlock<T, B> block(s.c, at, begin, end);
        T m[block.size], g[block.size], slope[block.size], base[block.size];
        const T take = s.gate ? s.gate[0] : T(1), keep = with_skip ? s.gate[1] : T(0);
        const auto gain = [&](std::int64_t j) { return (s.scale ? s.scale[j] : T(1)) * s.inv_std[j]; };
        block.repeat(m, [&](std::int64_t j) { return s.mean[j]; });
        block.repeat(g, [&](std::int64_t j) { return gain(j) * take; });
        block.repeat(base, [&](std::int64_t j) { return frozen ? T(0) : -gain(j) * s.means[j]; });
        block.repeat(slope, [&](std::int64_t j) { return frozen ? T(0) : -gain(j) * s.inv_std[j] * s.means[s.c + j]; });
        block.strips([&]([[maybe_unused]] auto kind, auto vectors, std::int64_t j, std::int64_t k, std::int64_t count)
                         __attribute__((always_inline)) {
                             using W = std::remove_pointer_t<decltype(kind)>;
                             constexpr int n = vectors, L = lanes<T, B>;
                             W vm[n], vg[n], vs[n], vb[n], v, d, e, old;
                             for (int i = 0; i < n; ++i) {
                                 norm_load(vm[i], m + j + i * L), norm_load(vg[i], g + j + i * L);
                                 norm_load(vs[i], slope + j + i * L), norm_load(vb[i], base + j + i * L);
                             }
                             for (std::int64_t r = 0; r < count; ++r, k += block.fold * s.c)
                                 for (int i = 0; i < n; ++i) {
                                     norm_stream(d, s.dy + k + i * L);
                                     e = d * keep;
                                     d *= vg[i];
                                     if constexpr (!frozen) {
                                         norm_stream(v, s.x + k + i * L);
                                         d += (v - vm[i]) * vs[i] + vb[i];
                                     }
                                     if (s.accumulate) norm_load(old, s.dx + k + i * L), d += old;
                                     norm_store(s.dx + k + i * L, d);
                                     if constexpr (with_skip) {
                                         if (s.accumulate_skip) norm_load(old, s.dskip + k + i * L), e += old;
                                         norm_store(s.dskip + k + i * L, e);
                                     }
                                 }
                         });
    }
};
template <class T, int B>
struct NormGradientBody {
    [[gnu::always_inline]] static void run(const contract::BatchNormBackward<T>& s, std::int64_t at, std::int64_t begin,
                                           std::int64_t end) {
        if (s.dskip)
            s.means ? NormGradient<T, B, false, true>::run(s, at, begin, end)
                    : NormGradient<T, B, true, true>::run(s, at, begin, end);
        else
            s.means ? NormGradient<T, B, false, false>::run(s, at, begin, end)
                    : NormGradient<T, B, true, false>::run(s, at, begin, end);
    }
};

/// f(first column) for the blocks of columns that a body handles at a time.
template <class T, class F>
void norm_columns(const Context& context, std::int64_t c, F&& f) {
    const bool wide = std::is_same_v<T, float> && context.isa == Isa::avx512;
    const std::int64_t step = wide ? norm_columns_at_once<T, 64>(c) : norm_columns_at_once<T, vector_bytes>(c);
    for (std::int64_t at = 0; at < c; at += step) f(at);
}
/// Body over all rows, cut for any number of threads.
template <class T, template <class, int> class Body, class S>
void norm_rows(Context& context, const S& s) {
    context.for_range(
        s.rows, std::max<std::int64_t>(1, 2 * stream_grain / s.c), [&](std::int64_t begin, std::int64_t end) {
            norm_columns<T>(context, s.c,
                            [&](std::int64_t at) { dispatch_wide<T, Body>(context.isa, s, at, begin, end); });
        });
}
/// Where the rows of chunk `chunk` begin.
template <class S>
std::int64_t norm_chunk(const S& s, std::int64_t chunk) {
    return s.n * chunk / s.chunks * s.pixels;
}

template <class T>
struct Kernel<contract::BatchNormStatistics<T>> {
    static void run(Context& context, const contract::BatchNormStatistics<T>& s) {
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            norm_columns<T>(context, s.c, [&](std::int64_t at) {
                dispatch_wide<T, NormStatisticsBody>(context.isa, s.x, s.partial + chunk * 3 * s.c, s.c, at,
                                                     norm_chunk(s, chunk), norm_chunk(s, chunk + 1), s.resume != 0);
            });
        });
    }
};
template <class T>
struct Kernel<contract::BatchNormMerge<T>> {
    static void run(Context& context, const contract::BatchNormMerge<T>& s) {
        context.for_range(s.c, 64, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t j = begin; j < end; ++j) merge(s, j);
        });
    }

private:
    static void merge(const contract::BatchNormMerge<T>& s, std::int64_t j) {
        const double rows = static_cast<double>(s.n * s.pixels);
        struct Chunk {
            double size, origin, sum, squares;
        };
        const auto read = [&](std::int64_t chunk) {
            const T* p = s.partial + chunk * 3 * s.c + j;
            return Chunk{static_cast<double>(norm_chunk(s, chunk + 1) - norm_chunk(s, chunk)),
                         static_cast<double>(p[0]), static_cast<double>(p[s.c]), static_cast<double>(p[2 * s.c])};
        };
        const double base = static_cast<double>(s.partial[j]);  // so that the sum over chunks does not cancel either
        double mean = 0, deviation = 0;
        for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk) {
            const Chunk k = read(chunk);
            mean += k.size * (k.origin - base) + k.sum;
        }
        mean = base + mean / rows;
        for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk) {
            const Chunk k = read(chunk);
            const double shift = k.origin - mean;
            deviation += k.squares + 2 * shift * k.sum + k.size * shift * shift;
        }
        deviation = std::max(deviation, 0.0);
        const double inv_std = 1.0 / std::sqrt(deviation / rows + static_cast<double>(s.epsilon));
        const double gain = inv_std * (s.scale ? static_cast<double>(s.scale[j]) : 1.0);
        s.mean[j] = static_cast<T>(mean);
        s.inv_std[j] = static_cast<T>(inv_std);
        s.gain[j] = static_cast<T>(gain);
        s.offset[j] = static_cast<T>((s.shift ? static_cast<double>(s.shift[j]) : 0.0) -
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
struct Kernel<contract::BatchNormApply<T>> {
    static void run(Context& context, const contract::BatchNormApply<T>& s) { norm_rows<T, NormApplyBody>(context, s); }
};

template <class T>
struct Kernel<contract::BatchNormFreeze<T>> {
    static void run(Context&, const contract::BatchNormFreeze<T>& s) {
        for (std::int64_t j = 0; j < s.c; ++j) {
            s.inv_std[j] =
                static_cast<T>(1.0 / std::sqrt(static_cast<double>(s.var[j]) + static_cast<double>(s.epsilon)));
            s.gain[j] = s.inv_std[j] * (s.scale ? s.scale[j] : T(1));
            s.offset[j] = s.shift ? s.shift[j] : T(0);
        }
    }
};

template <class T>
struct Kernel<contract::BatchNormGradientSums<T>> {
    static void run(Context& context, const contract::BatchNormGradientSums<T>& s) {
        context.parallel(s.chunks, [&](std::int64_t chunk) {
            norm_columns<T>(context, s.c, [&](std::int64_t at) {
                dispatch_wide<T, NormGradientSumsBody>(context.isa, s, s.partial + chunk * 3 * s.c, at,
                                                       norm_chunk(s, chunk), norm_chunk(s, chunk + 1));
            });
        });
    }
};
template <class T>
struct Kernel<contract::BatchNormGradientMerge<T>> {
    static void run(Context&, const contract::BatchNormGradientMerge<T>& s) {
        const double gate = s.gate ? static_cast<double>(s.gate[0]) : 1.0;
        double dgate[2] = {};
        for (std::int64_t j = 0; j < s.c; ++j) {
            double sums[3] = {};
            for (std::int64_t chunk = 0; chunk < s.chunks; ++chunk)
                for (int k = 0; k < 3; ++k) sums[k] += static_cast<double>(s.partial[(chunk * 3 + k) * s.c + j]);
            const double rows = static_cast<double>(s.n * s.pixels);
            for (int k = 0; k < 2; ++k) s.means[k * s.c + j] = static_cast<T>(gate * sums[k] / rows);
            if (s.dshift) s.dshift[j] += static_cast<T>(gate * sums[0]);
            if (s.dscale) s.dscale[j] += static_cast<T>(gate * sums[1]);
            dgate[0] += (s.scale ? static_cast<double>(s.scale[j]) : 1.0) * sums[1] +
                        (s.shift ? static_cast<double>(s.shift[j]) : 0.0) * sums[0];
            dgate[1] += sums[2];
        }
        if (s.dgate)
            for (int k = 0; k < (s.with_skip ? 2 : 1); ++k) s.dgate[k] += static_cast<T>(dgate[k]);
    }
};
template <class T>
struct Kernel<contract::BatchNormBackward<T>> {
    static void run(Context& context, const contract::BatchNormBackward<T>& s) {
        norm_rows<T, NormGradientBody>(context, s);
    }
};

}  // namespace hwnas::cpu
