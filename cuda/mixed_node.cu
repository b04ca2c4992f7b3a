// SPDX-License-Identifier: MIT
#include "mixed_node.cuh"

namespace hwnas::cuda {

template void launch_call<contract::MergeFiltersForward<float>>(const Stream&, const void*);
template void launch_call<contract::MergeFiltersBackward<float>>(const Stream&, const void*);
template void launch_call<contract::MixedSourceForward<float>>(const Stream&, const void*);
template void launch_call<contract::MixedSourceBackward<float>>(const Stream&, const void*);
template void launch_call<contract::MixedSourceReduce<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
