// SPDX-License-Identifier: MIT
#include "copy.cuh"

namespace hwnas::cuda {

template void launch_call<contract::Fill<float>>(const Stream&, const void*);
template void launch_call<contract::Copy<float>>(const Stream&, const void*);

#if !defined(HWNAS_CUDA_EMULATED)
const void* any_kernel() {
    using Body = ForEach<FillKernel<1>>;
    return reinterpret_cast<const void*>(&kernel<Body, Body::registers>);
}
#endif

}  // namespace hwnas::cuda
