// SPDX-License-Identifier: MIT
#include "simplex_sample.cuh"

namespace hwnas::cuda {

template void launch_call<contract::SimplexSample<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
