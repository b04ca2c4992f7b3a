// SPDX-License-Identifier: MIT
// All CPU kernels, and the check that none is missing: what a program compiles to have every call at hand.
#pragma once

#include <hwnas/cpu/accuracy.hpp>
#include <hwnas/cpu/adam.hpp>
#include <hwnas/cpu/add.hpp>
#include <hwnas/cpu/augment.hpp>
#include <hwnas/cpu/average_pool.hpp>
#include <hwnas/cpu/batch_norm.hpp>
#include <hwnas/cpu/column_sum.hpp>
#include <hwnas/cpu/concat.hpp>
#include <hwnas/cpu/conv.hpp>
#include <hwnas/cpu/copy.hpp>
#include <hwnas/cpu/cross_entropy.hpp>
#include <hwnas/cpu/depthwise_conv.hpp>
#include <hwnas/cpu/gather_batch.hpp>
#include <hwnas/cpu/global_average_pool.hpp>
#include <hwnas/cpu/gumbel_softmax.hpp>
#include <hwnas/cpu/max_pool.hpp>
#include <hwnas/cpu/mixed_band.hpp>
#include <hwnas/cpu/mixed_cell.hpp>
#include <hwnas/cpu/mixed_node.hpp>
#include <hwnas/cpu/multiply.hpp>
#include <hwnas/cpu/node_gate.hpp>
#include <hwnas/cpu/node_sum.hpp>
#include <hwnas/cpu/reduce_chunks.hpp>
#include <hwnas/cpu/relu.hpp>
#include <hwnas/cpu/scale.hpp>
#include <hwnas/cpu/schedule.hpp>
#include <hwnas/cpu/simplex_sample.hpp>
#include <hwnas/cpu/softmax.hpp>
#include <hwnas/cpu/step.hpp>
#include <hwnas/cpu/weighted_sum.hpp>

namespace hwnas::cpu {

namespace detail {
/// Names the struct in the compiler's message when its kernel is missing.
template <class S>
constexpr bool has_kernel() {
    static_assert(
        requires(Context& context, const S& s) { Kernel<S>::run(context, s); },
        "this contract struct has no CPU kernel");
    return true;
}
template <class List>
constexpr int count_kernels() {
    int count = 0;
    List::for_each([&]<class S>() { count += has_kernel<S>(); });
    return count;
}
}  // namespace detail

static_assert(detail::count_kernels<contract::Calls<float>>() == contract::Calls<float>::size);
static_assert(detail::count_kernels<contract::Calls<double>>() == contract::Calls<double>::size);

}  // namespace hwnas::cpu
