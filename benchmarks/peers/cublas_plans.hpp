// SPDX-License-Identifier: MIT
// Products of matrices by cuBLAS: linear layers, without their bias, and 1x1 convolutions of stride 1 in NHWC, which
// are the same. All algorithms that cublasLt's heuristic offers, in float32 and, as plans of their own, with TF32.
#pragma once

#include "cudnn_plans.hpp"

#include <cublasLt.h>

namespace hwnas::benchmarks {

inline void check(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw std::runtime_error(fmt::format("cuBLAS: {}: {}", what, cublasLtGetStatusString(status)));
}

/// y [rows, out] = x [rows, in] w [in, out], or one of its gradients. cuBLAS goes by columns: to it every matrix is
/// transposed, y = w x.
struct Product {
    enum class Of { y, dx, dw };
    Product(Of made, std::int64_t rows, std::int64_t in, std::int64_t out, cublasComputeType_t type) : of(made) {
        const bool transposes_a = of == Of::dx, transposes_b = of == Of::dw;
        check(cublasLtCreate(&handle), "starting");
        check(cublasLtMatmulDescCreate(&operation, type, CUDA_R_32F), "describing a product");
        const auto transpose = [&](bool wanted, cublasLtMatmulDescAttributes_t side) {
            const cublasOperation_t value = wanted ? CUBLAS_OP_T : CUBLAS_OP_N;
            check(cublasLtMatmulDescSetAttribute(operation, side, &value, sizeof value), "describing a product");
        };
        transpose(transposes_a, CUBLASLT_MATMUL_DESC_TRANSA), transpose(transposes_b, CUBLASLT_MATMUL_DESC_TRANSB);
        const auto layout = [](cublasLtMatrixLayout_t& to, std::int64_t height, std::int64_t width) {
            check(cublasLtMatrixLayoutCreate(&to, CUDA_R_32F, static_cast<std::uint64_t>(height),
                                             static_cast<std::uint64_t>(width), height),
                  "describing a matrix");
        };
        layout(x, in, rows), layout(w, out, in), layout(y, out, rows);
    }
    ~Product() {
        for (auto* matrix : {x, w, y}) cublasLtMatrixLayoutDestroy(matrix);
        cublasLtMatmulDescDestroy(operation);
        cublasLtDestroy(handle);
    }
    Product(const Product&) = delete;
    Product& operator=(const Product&) = delete;
    cublasLtMatrixLayout_t a() const { return of == Of::dw ? y : w; }
    cublasLtMatrixLayout_t b() const { return of == Of::dx ? y : x; }
    cublasLtMatrixLayout_t c() const { return of == Of::y ? y : of == Of::dx ? x : w; }
    /// The best guess first.
    std::vector<cublasLtMatmulHeuristicResult_t> algorithms(const Cudnn& cudnn) const {
        cublasLtMatmulPreference_t preference = nullptr;
        check(cublasLtMatmulPreferenceCreate(&preference), "asking for algorithms");
        const std::uint64_t workspace = cudnn.workspace_bytes;
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                             sizeof workspace);
        std::vector<cublasLtMatmulHeuristicResult_t> found(8);
        int count = 0;
        const auto status = cublasLtMatmulAlgoGetHeuristic(handle, operation, a(), b(), c(), c(), preference,
                                                           static_cast<int>(found.size()), found.data(), &count);
        cublasLtMatmulPreferenceDestroy(preference);
        check(status, "asking for algorithms");
        found.resize(static_cast<std::size_t>(count));
        std::erase_if(found, [](const auto& f) { return f.state != CUBLAS_STATUS_SUCCESS; });
        return found;
    }
    void run(const Cudnn& cudnn, const cublasLtMatmulAlgo_t& algorithm, float* at_x, float* at_w, float* at_y) const {
        float *const from = of == Of::dw ? at_y : at_w, *const by = of == Of::dx ? at_y : at_x,
                     *const to = of == Of::y    ? at_y
                                 : of == Of::dx ? at_x
                                                : at_w;
        check(cublasLtMatmul(handle, operation, &one, from, a(), by, b(), &zero, to, c(), to, c(), &algorithm,
                             cudnn.workspace, cudnn.workspace_bytes, cudnn.stream),
              "multiplying");
    }
    Of of;
    cublasLtHandle_t handle = nullptr;
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t x = nullptr, w = nullptr, y = nullptr;
};

/// The plans of a direction; for both gradients the first algorithm of either.
inline std::vector<Plan> product_plans(const Cudnn& cudnn, const std::string& direction, std::int64_t rows,
                                       std::int64_t in, std::int64_t out) {
    using Of = Product::Of;
    const std::vector<Of> made = direction == "forward"           ? std::vector{Of::y}
                                 : direction == "backward_data"   ? std::vector{Of::dx}
                                 : direction == "backward_weight" ? std::vector{Of::dw}
                                                                  : std::vector{Of::dx, Of::dw};
    std::vector<Plan> plans;
    for (const auto type : {CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32}) {
        struct Step {
            std::shared_ptr<Product> product;
            std::vector<cublasLtMatmulHeuristicResult_t> algorithms;
        };
        std::vector<Step> steps;
        std::size_t ways = 8;
        for (const Of of : made) {
            const auto product = std::make_shared<Product>(of, rows, in, out, type);
            steps.push_back({product, product->algorithms(cudnn)});
            ways = std::min(ways, made.size() > 1 ? std::min<std::size_t>(1, steps.back().algorithms.size())
                                                  : steps.back().algorithms.size());
        }
        const double factor = static_cast<double>(made.size());
        const double floats = factor * static_cast<double>(rows * in + in * out) + static_cast<double>(rows * out);
        for (std::size_t i = 0; i < ways; ++i)
            plans.push_back({fmt::format("cuBLAS, algorithm {}{}", i, type == CUBLAS_COMPUTE_32F ? "" : ", tf32"),
                             sizeof(float) * floats, [&cudnn, steps, i, rows, in, out]() -> std::function<void()> {
                                 // Gradients have arrays of their own where both are made.
                                 const auto x = cudnn.array(rows * in), w = cudnn.array(in * out),
                                            y = cudnn.array(rows * out);
                                 const bool both = steps.size() > 1;
                                 const auto dx = both ? cudnn.array(rows * in) : x,
                                            dw = both ? cudnn.array(in * out) : w;
                                 return [=, &cudnn] {
                                     for (const auto& step : steps)
                                         step.product->run(cudnn, step.algorithms[i].algo,
                                                           (step.product->of == Of::dx ? dx : x).get(),
                                                           (step.product->of == Of::dw ? dw : w).get(), y.get());
                                 };
                             }});
    }
    return plans;
}

}  // namespace hwnas::benchmarks
