// SPDX-License-Identifier: MIT
// The kernel of a derived node: a row of its sum stays in registers while all edges that arrive add to it.
#pragma once

#include <hwnas/cpu/filter_row.hpp>

namespace hwnas::cpu {

template <class T, int>
struct NodeSumBody {
    [[gnu::always_inline]] static void run(const contract::NodeSum<T>& call, FilterRowKernel<T> kernel,
                                           std::int64_t begin, std::int64_t end) {
        const auto s = call;
        const std::int64_t line = s.w * s.c;
        int kinds[contract::max_edges] = {};
        for (int j = 0; j < s.count; ++j)
            if (s.windows >> j & 1u) kinds[j] = filter_kind(s.f[j], s.c);
        FilterRow<T> row;
        row.w = s.w, row.c = s.c, row.step = s.reversed ? -s.c : s.c;
        row.accumulate = s.accumulate != 0, row.rectify = s.rectify != 0;
        for (int j = 0; j < s.count; ++j)
            if (s.offset[j]) row.offsets[row.offset_count++] = s.offset[j];
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t image = index / s.h, p = index % s.h;
            row.term_count = row.scaled_count = 0;
            for (int j = 0; j < s.count; ++j) {
                fetch_ahead(s.x[j] + (index + 2) * line, line);
                if (s.windows >> j & 1u)
                    row.add_edge(s.x[j] + image * s.h * line, s.f[j], p, s.h, kinds[j]);
                else if (s.f[j])
                    row.terms[row.term_count++] = {s.x[j] + index * line, s.f[j], true};
                else
                    row.scaled[row.scaled_count++] = {s.x[j] + index * line, T(1)};
            }
            row.out = s.y + index * line;
            kernel(row);
        }
    }
};
template <class T>
struct Kernel<contract::NodeSum<T>> {
    static void run(Context& context, const contract::NodeSum<T>& s) {
        context.for_range(s.n * s.h, row_grain(s.w, s.c), [&](std::int64_t begin, std::int64_t end) {
            dispatch_wide<T, NodeSumBody>(context.isa, s, filter_row_kernel<T>(context.isa), begin, end);
        });
    }
};

}  // namespace hwnas::cpu
