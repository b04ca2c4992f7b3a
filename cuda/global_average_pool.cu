// SPDX-License-Identifier: MIT
#include "global_average_pool.cuh"

namespace hwnas::cuda {

template void launch_call<contract::GlobalAveragePoolForward<float>>(const Stream&, const void*);
template void launch_call<contract::GlobalAveragePoolBackward<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
