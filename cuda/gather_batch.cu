// SPDX-License-Identifier: MIT
#include "gather_batch.cuh"

namespace hwnas::cuda {

template void launch_call<contract::GatherBatch<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
