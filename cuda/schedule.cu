// SPDX-License-Identifier: MIT
#include "schedule.cuh"

namespace hwnas::cuda {

template void launch_call<contract::Schedule<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
