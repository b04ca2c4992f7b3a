// SPDX-License-Identifier: MIT
#include "node_sum.cuh"

namespace hwnas::cuda {

template void launch_call<contract::NodeSum<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
