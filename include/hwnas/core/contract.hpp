// SPDX-License-Identifier: MIT
// The contract between the ops above and the devices below: one plain struct per kernel call, a closed list.
// Std only; compiles under g++, clang and nvcc. In every struct the pointers come first, outputs before inputs, with
// `writes` and `reads` counting them, so that a recorded call can be moved to another block of memory; numbers follow.
// A null pointer means "not wanted". `accumulate` = 1 adds to the output instead of overwriting it.
// Layout: activations [N, H, W, C], row-major; T is float or double. What changes from step to step (temperature,
// learning rate, step counter) is read from device memory, never stored in a struct.
// A change to any struct is a change of the inline namespace: devices built against another version fail to link.
#pragma once

#include <hwnas/core/contract/batch_norm.hpp>
#include <hwnas/core/contract/elementwise.hpp>
#include <hwnas/core/contract/mixed_cell.hpp>
#include <hwnas/core/contract/mixed_node.hpp>
#include <hwnas/core/contract/mixture.hpp>
#include <hwnas/core/contract/node_sum.hpp>
#include <hwnas/core/contract/softmax.hpp>
#include <hwnas/core/contract/training.hpp>
#include <hwnas/core/contract/types.hpp>
#include <hwnas/core/contract/window.hpp>

#include <type_traits>

namespace hwnas::contract {
inline namespace v4 {

/// The closed list. Its order is the number under which a device finds the kernel.
template <class... S>
struct TypeList {
    static constexpr int size = sizeof...(S);
    template <class X>
    static constexpr int index_of() {
        int index = 0, found = -1;
        ((std::is_same_v<X, S> ? (found = index++) : index++), ...);
        return found;
    }
    template <class F>
    static constexpr void for_each(F&& f) {
        (f.template operator()<S>(), ...);
    }
};
template <class T>
using Calls =
    TypeList<Fill<T>, Copy<T>, ReduceChunks<T>, Add<T>, ColumnSum<T>, Multiply<T>, MultiplyReduce<T>, Scale<T>,
             Broadcast<T>, ReluForward<T>, ReluBackward<T>, ConcatForward<T>, ConcatBackward<T>, WeightedSumForward<T>,
             WeightedSumBackward<T>, WeightedSumReduce<T>, NodeGateForward<T>, NodeGateBackward<T>, SoftmaxForward<T>,
             SoftmaxBackward<T>, GumbelSoftmaxForward<T>, GumbelSoftmaxBackward<T>, CrossEntropyForward<T>,
             CrossEntropyBackward<T>, Accuracy<T>, ConvForward<T>, ConvBackwardData<T>, ConvBackwardWeight<T>,
             DepthwiseConvForward<T>, DepthwiseConvBackwardData<T>, DepthwiseConvBackwardWeight<T>,
             DepthwiseConvBackward<T>, MaxPoolForward<T>, MaxPoolBackward<T>, AveragePoolForward<T>,
             AveragePoolBackward<T>, GlobalAveragePoolForward<T>, GlobalAveragePoolBackward<T>, BatchNormStatistics<T>,
             BatchNormMerge<T>, BatchNormApply<T>, BatchNormFreeze<T>, BatchNormGradientSums<T>,
             BatchNormGradientMerge<T>, BatchNormBackward<T>, Schedule<T>, SimplexSample<T>, GatherBatch<T>, Adam<T>,
             ScalarAccumulate<T>, Advance, MergeFiltersForward<T>, MergeFiltersBackward<T>, MixedSourceForward<T>,
             MixedSourceBackward<T>, MixedSourceReduce<T>, MixedCellForward<T>, MixedCellBackward<T>,
             MixedNodeForward<T>, MixedVertexBackward<T>, NodeSum<T>, Augment<T>>;

}  // namespace v4
}  // namespace hwnas::contract
