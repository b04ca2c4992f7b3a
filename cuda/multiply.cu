// SPDX-License-Identifier: MIT
#include "multiply.cuh"

namespace hwnas::cuda {

template void launch_call<contract::Multiply<float>>(const Stream&, const void*);
template void launch_call<contract::MultiplyReduce<float>>(const Stream&, const void*);

}  // namespace hwnas::cuda
