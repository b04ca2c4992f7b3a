// SPDX-License-Identifier: MIT
// The mixture of a search node. A block of the output stays in L1 while the inputs stream by, each read once; backward
// reads the block's dy from L1 and, in one pass over x_j, takes the dot product for the weight and writes dx_j.
#pragma once

#include <hwnas/cpu/device.hpp>

#include <utility>

namespace hwnas::cpu {

inline constexpr std::int64_t weighted_sum_block = 4096;  ///< elements of one piece: 16 KB of floats, a third of an L1

/// Elements that one row of weights weighs, and the pieces they are cut into.
template <class S>
std::int64_t weighted_sum_group(const S& s) {
    return s.groups > 1 ? s.image : s.n * s.image;
}
inline std::int64_t weighted_sum_pieces(std::int64_t group_size) {
    return (group_size + weighted_sum_block - 1) / weighted_sum_block;
}

template <class T>
struct WeightedSumForwardBody {
    /// y (+)= the sum of as many terms as there are indices, in one pass.
    template <bool add, std::size_t... I>
    [[gnu::always_inline]] static void pass(T* y, const T* const* x, const T* w, std::int64_t n,
                                            std::index_sequence<I...>) {
        const T* const from[] = {x[I]...};
        Vec<T> weights[sizeof...(I)] = {};
        (splat<T>(weights[I], w[I]), ...);
        std::int64_t i = 0;
        for (; i + lanes<T> <= n; i += lanes<T>) {
            Vec<T> sum{}, v;
            if constexpr (add) load<T>(sum, y + i);
            ((load<T>(v, from[I] + i), sum += weights[I] * v), ...);
            store<T>(y + i, sum);
        }
        for (; i < n; ++i) {
            T sum = add ? y[i] : T(0);
            ((sum += w[I] * from[I][i]), ...);
            y[i] = sum;
        }
    }
    template <std::size_t terms>
    [[gnu::always_inline]] static void pass(T* y, const T* const* x, const T* w, std::int64_t n, bool add) {
        if (add)
            pass<true>(y, x, w, n, std::make_index_sequence<terms>());
        else
            pass<false>(y, x, w, n, std::make_index_sequence<terms>());
    }
    [[gnu::always_inline]] static void run(const contract::WeightedSumForward<T>& s, std::int64_t piece) {
        const std::int64_t size = weighted_sum_group(s), pieces = weighted_sum_pieces(size), group = piece / pieces,
                           first = piece % pieces * weighted_sum_block;
        const std::int64_t n = std::min(weighted_sum_block, size - first), offset = group * size + first;
        const T* x[contract::max_operands];
        T w[contract::max_operands];
        int count = 0;
        for (int j = 0; j < s.count; ++j) {  // terms of weight 0 may hold anything: they are left out
            w[count] = s.weights[group * s.weight_stride + s.columns[j]];
            x[count] = s.x[j] + offset;
            if (w[count] != T(0)) ++count;
        }
        T* const y = s.y + offset;
        bool add = s.accumulate != 0;
        if (count == 0 && !add) std::fill(y, y + n, T(0));
        int j = 0;
        for (; j + 4 <= count; j += 4, add = true) pass<4>(y, x + j, w + j, n, add);
        if (j + 2 <= count) pass<2>(y, x + j, w + j, n, add), j += 2, add = true;
        if (j < count) pass<1>(y, x + j, w + j, n, add);
    }
};
template <class T>
struct Kernel<contract::WeightedSumForward<T>> {
    static void run(Context& context, const contract::WeightedSumForward<T>& s) {
        context.parallel(s.groups * weighted_sum_pieces(weighted_sum_group(s)),
                         [&](std::int64_t piece) { dispatch<T, WeightedSumForwardBody<T>>(context.isa, s, piece); });
    }
};

template <class T>
struct WeightedSumBackwardBody {
    enum class Write { none, overwrite, add };

    template <bool dot, Write write>
    [[gnu::always_inline]] static void step(Vec<T>& sum, T* dx, const T* x, const T* dy, const Vec<T>& weight) {
        Vec<T> d, v;
        load<T>(d, dy);
        if constexpr (dot) {
            load<T>(v, x);
            sum += d * v;
        }
        if constexpr (write == Write::add) {
            load<T>(v, dx);
            v += weight * d;
            store<T>(dx, v);
        } else if constexpr (write == Write::overwrite) {
            v = weight * d;
            store<T>(dx, v);
        }
    }
    /// One term over one piece; returns its dot product.
    template <bool dot, Write write>
    [[gnu::always_inline]] static T term(T* dx, const T* x, const T* dy, T w, std::int64_t n) {
        if constexpr (!dot && write == Write::none) return T(0);
        constexpr std::int64_t L = lanes<T>;
        Vec<T> s0{}, s1{}, s2{}, s3{}, weight;
        splat<T>(weight, w);
        std::int64_t i = 0;
        for (; i + 4 * L <= n; i += 4 * L) {
            step<dot, write>(s0, dx + i, x + i, dy + i, weight);
            step<dot, write>(s1, dx + i + L, x + i + L, dy + i + L, weight);
            step<dot, write>(s2, dx + i + 2 * L, x + i + 2 * L, dy + i + 2 * L, weight);
            step<dot, write>(s3, dx + i + 3 * L, x + i + 3 * L, dy + i + 3 * L, weight);
        }
        for (; i + L <= n; i += L) step<dot, write>(s0, dx + i, x + i, dy + i, weight);
        s0 = (s0 + s1) + (s2 + s3);
        T sum = lane_sum<T>(s0);
        for (; i < n; ++i) {
            if constexpr (dot) sum += dy[i] * x[i];
            if constexpr (write == Write::add) dx[i] += w * dy[i];
            if constexpr (write == Write::overwrite) dx[i] = w * dy[i];
        }
        return sum;
    }
    template <bool dot>
    [[gnu::always_inline]] static T term(Write write, T* dx, const T* x, const T* dy, T w, std::int64_t n) {
        if (write == Write::none) return term<dot, Write::none>(dx, x, dy, w, n);
        if (write == Write::add) return term<dot, Write::add>(dx, x, dy, w, n);
        return term<dot, Write::overwrite>(dx, x, dy, w, n);
    }
    /// All terms over elements [offset, offset + n), dots[j] += <dy, x_j>.
    [[gnu::always_inline]] static void piece(const contract::WeightedSumBackward<T>& s, const T* weights,
                                             std::int64_t offset, std::int64_t n, double* dots) {
        const T* const dy = s.dy + offset;
        for (int j = 0; j < s.count; ++j) {
            const T w = weights[s.columns[j]];
            if (w == T(0) && s.selected_only) continue;
            T* const dx = s.dx[j] ? s.dx[j] + offset : nullptr;
            Write write = dx == nullptr ? Write::none : s.accumulate >> j & 1u ? Write::add : Write::overwrite;
            if (w == T(0) && write == Write::add) write = Write::none;
            if (w == T(0) && write == Write::overwrite) {  // not 0 * dy: dx is zero whatever dy holds
                std::fill(dx, dx + n, T(0));
                write = Write::none;
            }
            if (s.partial)
                dots[j] += static_cast<double>(term<true>(write, dx, s.x[j] + offset, dy, w, n));
            else
                term<false>(write, dx, nullptr, dy, w, n);
        }
    }
    [[gnu::always_inline]] static void run(const contract::WeightedSumBackward<T>& s, std::int64_t chunk) {
        const std::int64_t begin = s.n * chunk / s.chunks * s.image, end = s.n * (chunk + 1) / s.chunks * s.image;
        const T* weights = s.weights + (s.groups > 1 ? chunk * s.weight_stride : 0);
        double dots[contract::max_operands] = {};
        for (std::int64_t at = begin; at < end; at += weighted_sum_block)
            piece(s, weights, at, std::min(weighted_sum_block, end - at), dots);
        if (s.partial == nullptr) return;
        T* partial = s.partial + chunk * s.count;
        for (int j = 0; j < s.count; ++j) partial[j] = (s.resume ? partial[j] : T(0)) + static_cast<T>(dots[j]);
    }
};
template <class T>
struct Kernel<contract::WeightedSumBackward<T>> {
    static void run(Context& context, const contract::WeightedSumBackward<T>& s) {
        context.parallel(s.chunks,
                         [&](std::int64_t chunk) { dispatch<T, WeightedSumBackwardBody<T>>(context.isa, s, chunk); });
    }
};
template <class T>
struct Kernel<contract::WeightedSumReduce<T>> {
    static void run(Context&, const contract::WeightedSumReduce<T>& s) {
        const std::int64_t chunks = s.groups > 1 ? 1 : s.chunks;
        for (std::int64_t group = 0; group < s.groups; ++group)
            for (int j = 0; j < s.count; ++j) {
                double sum = 0;
                for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
                    sum += static_cast<double>(s.partial[(group * chunks + chunk) * s.count + j]);
                s.dweights[group * s.weight_stride + s.columns[j]] += static_cast<T>(sum);
            }
    }
};

}  // namespace hwnas::cpu
