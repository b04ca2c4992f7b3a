// SPDX-License-Identifier: MIT
#include "reduce_chunks.cuh"

namespace hwnas::cuda {

template void launch_call<contract::ReduceChunks<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
