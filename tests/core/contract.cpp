// SPDX-License-Identifier: MIT
// What a device and a recorded program take for granted about every struct of the closed list.
#include <hwnas/core/contract.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <map>
#include <set>
#include <string>

namespace core_contract_test {

namespace contract = hwnas::contract;

namespace {

/// Where the first member that is no pointer stands, by kernel name.
template <class T>
std::map<std::string, std::size_t> first_numbers() {
    return {
#define FIRST(S, member) {contract::S<T>::name, offsetof(contract::S<T>, member)}
        FIRST(Fill, n),
        FIRST(Copy, n),
        FIRST(ReduceChunks, n),
        FIRST(Add, n),
        FIRST(ColumnSum, n),
        FIRST(Multiply, n),
        FIRST(MultiplyReduce, n),
        FIRST(Scale, n),
        FIRST(Broadcast, n),
        FIRST(ReluForward, n),
        FIRST(ReluBackward, n),
        FIRST(ConcatForward, rows),
        FIRST(ConcatBackward, rows),
        FIRST(WeightedSumForward, n),
        FIRST(WeightedSumBackward, n),
        FIRST(WeightedSumReduce, groups),
        FIRST(NodeGateForward, groups),
        FIRST(NodeGateBackward, groups),
        FIRST(SoftmaxForward, rows),
        FIRST(SoftmaxBackward, rows),
        FIRST(GumbelSoftmaxForward, groups),
        FIRST(GumbelSoftmaxBackward, groups),
        FIRST(CrossEntropyForward, n),
        FIRST(CrossEntropyBackward, n),
        FIRST(Accuracy, n),
        FIRST(ConvForward, window),
        FIRST(ConvBackwardData, window),
        FIRST(ConvBackwardWeight, window),
        FIRST(DepthwiseConvForward, window),
        FIRST(DepthwiseConvBackwardData, window),
        FIRST(DepthwiseConvBackwardWeight, window),
        FIRST(DepthwiseConvBackward, window),
        FIRST(MaxPoolForward, window),
        FIRST(MaxPoolBackward, window),
        FIRST(AveragePoolForward, window),
        FIRST(AveragePoolBackward, window),
        FIRST(GlobalAveragePoolForward, n),
        FIRST(GlobalAveragePoolBackward, n),
        FIRST(BatchNormStatistics, n),
        FIRST(BatchNormMerge, n),
        FIRST(BatchNormApply, rows),
        FIRST(BatchNormFreeze, c),
        FIRST(BatchNormGradientSums, n),
        FIRST(BatchNormGradientMerge, n),
        FIRST(BatchNormBackward, rows),
        FIRST(Schedule, warmup),
        FIRST(SimplexSample, k),
        FIRST(GatherBatch, n),
        FIRST(Adam, n),
        FIRST(ScalarAccumulate, weight),
        FIRST(MergeFiltersForward, groups),
        FIRST(MergeFiltersBackward, groups),
        FIRST(MixedSourceForward, n),
        FIRST(MixedSourceBackward, n),
        FIRST(MixedSourceReduce, c),
        FIRST(MixedCellForward, n),
        FIRST(MixedCellBackward, n),
        FIRST(MixedNodeForward, n),
        FIRST(MixedVertexBackward, n),
        FIRST(NodeSum, n),
        FIRST(Augment, n),
#undef FIRST
        {contract::Advance::name, offsetof(contract::Advance, by)}};
}

template <class T>
void check_list() {
    const auto numbers = first_numbers<T>();
    std::set<std::string> names;
    int position = 0;
    contract::Calls<T>::for_each([&]<class S>() {
        static_assert(std::is_trivially_copyable_v<S> && std::is_standard_layout_v<S> &&
                      std::is_trivially_destructible_v<S>);
        static_assert(std::is_aggregate_v<S> && sizeof(S) % alignof(S) == 0 && alignof(S) <= 8,
                      "a program stores payloads at multiples of 16");
        static_assert(S::writes >= 1 && S::reads >= 0);
        INFO(S::name);
        CHECK(names.insert(S::name).second);
        CHECK(contract::Calls<T>::template index_of<S>() == position++);
        REQUIRE(numbers.contains(S::name));
        CHECK(numbers.at(S::name) == sizeof(void*) * static_cast<std::size_t>(S::writes + S::reads));
    });
    CHECK(position == contract::Calls<T>::size);
    CHECK(names.size() == numbers.size());
    CHECK(contract::Calls<T>::template index_of<int>() == -1);
}

}  // namespace

TEST_CASE("every contract struct can be stored as bytes and moved: plain, pointers first, counted right", "[core]") {
    check_list<float>();
    check_list<double>();
    CHECK(contract::Calls<float>::size == contract::Calls<double>::size);
    CHECK(contract::Calls<float>::index_of<contract::Fill<double>>() == -1);
    CHECK(contract::max_operands <= 32);  // one accumulate bit each
}

}  // namespace core_contract_test
