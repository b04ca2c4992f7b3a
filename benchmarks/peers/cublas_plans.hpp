// SPDX-License-Identifier: MIT
// Matrix products by cuBLAS for cudnn_peer.cpp: linear layers, and 1x1 convolutions of NHWC images, whose pixels are
// rows. In float32 throughout ("pedantic"), and, as plans of their own ("tf32"), with products rounded to TF32.
#pragma once

#include "cudnn_plans.hpp"

#include <cublas_v2.h>

namespace hwnas::benchmarks {

inline void check(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw std::runtime_error(fmt::format("{}: {}", what, cublasGetStatusString(status)));
}

/// cuBLAS on the stream and workspace of a Cudnn, which must outlive it.
class Cublas {
public:
    Cublas(const Cudnn& cudnn, cublasMath_t math) {
        check(cublasCreate(&handle_), "starting cuBLAS");
        check(cublasSetStream(handle_, cudnn.stream), "choosing the stream");
        // A captured call may not allocate one.
        check(cublasSetWorkspace(handle_, cudnn.workspace, cudnn.workspace_bytes), "giving a workspace");
        check(cublasSetMathMode(handle_, math), "choosing how products round");
    }
    ~Cublas() { cublasDestroy(handle_); }
    Cublas(const Cublas&) = delete;
    Cublas& operator=(const Cublas&) = delete;
    /// result [m, n] = a [m, k] b [k, n], all row-major; ta, tb: a or b lies transposed. cuBLAS thinks in columns, so
    /// that everything is its transpose: result^T = b^T a^T.
    void multiply(float* result, const float* a, bool ta, const float* b, bool tb, int m, int n, int k) const {
        check(cublasSgemm(handle_, tb ? CUBLAS_OP_T : CUBLAS_OP_N, ta ? CUBLAS_OP_T : CUBLAS_OP_N, n, m, k, &one, b,
                          tb ? k : n, a, ta ? m : k, &zero, result, n),
              "multiplying");
    }

private:
    cublasHandle_t handle_ = nullptr;
};

/// y [rows, outputs] = x [rows, c] w [c, outputs], or its gradients.
inline std::vector<Plan> product_plans(const Cudnn& cudnn, const std::string& direction, const Extents& e) {
    struct Rounding {
        const char* name;
        cublasMath_t math;
    };
    const int rows = e.n * e.h * e.w;
    const std::int64_t x_size = std::int64_t{rows} * e.c, y_size = std::int64_t{rows} * e.outputs,
                       w_size = std::int64_t{e.c} * e.outputs;
    const bool forward = direction == "forward", data = forward || direction != "backward_weight",
               weight = direction == "backward" || direction == "backward_weight";
    const auto values =
        x_size * (direction == "backward" ? 2 : 1) + y_size + w_size * (direction == "backward" ? 2 : 1);
    std::vector<Plan> plans;
    for (const auto& rounding :
         {Rounding{"cuBLAS", CUBLAS_PEDANTIC_MATH}, Rounding{"cuBLAS, tf32", CUBLAS_TF32_TENSOR_OP_MATH}}) {
        const auto cublas = std::make_shared<Cublas>(cudnn, rounding.math);
        plans.push_back(
            {rounding.name, sizeof(float) * static_cast<double>(values), [=, &cudnn]() -> std::function<void()> {
                 const auto x = cudnn.array(x_size), y = cudnn.array(y_size), w = cudnn.array(w_size);
                 if (forward)
                     return [=] { cublas->multiply(y.get(), x.get(), false, w.get(), false, rows, e.outputs, e.c); };
                 const auto dx = direction == "backward" ? cudnn.array(x_size) : x,
                            dw = direction == "backward" ? cudnn.array(w_size) : w;
                 return [=] {
                     if (data) cublas->multiply(dx.get(), y.get(), false, w.get(), true, rows, e.c, e.outputs);
                     if (weight) cublas->multiply(dw.get(), x.get(), true, y.get(), false, e.c, e.outputs, rows);
                 };
             }});
    }
    return plans;
}

}  // namespace hwnas::benchmarks
