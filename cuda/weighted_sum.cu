// SPDX-License-Identifier: MIT
#include "weighted_sum.cuh"

namespace hwnas::cuda {

template void launch_call<contract::WeightedSumForward<float>>(const Stream&, const void*);
template void launch_call<contract::WeightedSumBackward<float>>(const Stream&, const void*);
template void launch_call<contract::WeightedSumReduce<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
