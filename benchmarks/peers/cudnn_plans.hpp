// SPDX-License-Identifier: MIT
// What cudnn_peer.cpp times: cuDNN's objects, a way to do an op, and how long one call of it takes.
#pragma once

#include "../turns.hpp"

#include <cuda_runtime.h>
#include <cudnn.h>
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <random>
#include <regex>
#include <stdexcept>
#include <string>

namespace hwnas::benchmarks {

inline void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess) throw std::runtime_error(fmt::format("{}: {}", what, cudaGetErrorString(status)));
}
inline void check(cudnnStatus_t status, const char* what) {
    if (status != CUDNN_STATUS_SUCCESS)
        throw std::runtime_error(fmt::format("{}: {}", what, cudnnGetErrorString(status)));
}

/// One of cuDNN's objects.
template <class Handle, auto create, auto destroy>
class Owned {
public:
    Owned() { check(create(&handle_), "making a descriptor"); }
    ~Owned() { destroy(handle_); }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    operator Handle() const { return handle_; }

private:
    Handle handle_ = nullptr;
};
using TensorDescriptor = Owned<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using FilterDescriptor = Owned<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvDescriptor =
    Owned<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;
using PoolDescriptor = Owned<cudnnPoolingDescriptor_t, cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor>;

inline constexpr float one = 1, zero = 0;

/// Device, stream, handle and what all calls share.
class Cudnn {
public:
    Cudnn() {
        check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
        check(cudnnCreate(&handle), "starting cuDNN");
        check(cudnnSetStream(handle, stream), "choosing the stream");
        std::size_t available = 0, total = 0;
        check(cudaMemGetInfo(&available, &total), "asking for free memory");
        workspace_bytes = std::min(available / 4, std::size_t{1} << 30);
        check(cudaMalloc(&workspace, workspace_bytes), "allocating a workspace");
        std::vector<float> values(std::size_t{1} << 22);
        std::minstd_rand generator(1);
        std::uniform_real_distribution<float> uniform(-1, 1);
        for (float& v : values) v = uniform(generator);
        noise_ = std::make_unique<Noise>(values);
    }
    ~Cudnn() {
        noise_.reset();
        cudaFree(workspace);
        cudnnDestroy(handle);
        cudaStreamDestroy(stream);
    }
    Cudnn(const Cudnn&) = delete;
    Cudnn& operator=(const Cudnn&) = delete;
    /// n seeded values in [-1, 1).
    std::shared_ptr<float> array(std::int64_t n) const {
        void* memory = nullptr;
        check(cudaMalloc(&memory, static_cast<std::size_t>(n) * sizeof(float)), "allocating an array");
        const std::shared_ptr<float> result(static_cast<float*>(memory), [](float* p) { cudaFree(p); });
        for (std::int64_t i = 0; i < n; i += noise_->size)
            check(cudaMemcpyAsync(result.get() + i, noise_->values,
                                  static_cast<std::size_t>(std::min(noise_->size, n - i)) * sizeof(float),
                                  cudaMemcpyDeviceToDevice, stream),
                  "filling an array");
        return result;
    }

    cudaStream_t stream = nullptr;
    cudnnHandle_t handle = nullptr;
    void* workspace = nullptr;
    std::size_t workspace_bytes = 0;

private:
    struct Noise {
        explicit Noise(const std::vector<float>& from) : size(static_cast<std::int64_t>(from.size())) {
            check(cudaMalloc(reinterpret_cast<void**>(&values), from.size() * sizeof(float)), "allocating an array");
            check(cudaMemcpy(values, from.data(), from.size() * sizeof(float), cudaMemcpyHostToDevice),
                  "filling an array");
        }
        ~Noise() { cudaFree(values); }
        std::int64_t size;
        float* values = nullptr;
    };
    std::unique_ptr<Noise> noise_;
};

/// One way to do an op. make(): a call on arrays of its own, which together have `bytes`.
struct Plan {
    std::string name;
    double bytes;
    std::function<std::function<void()>()> make;
};

/// Seconds of one call of a plan.
inline double seconds_of(const Cudnn& cudnn, const Plan& plan, bool cold) {
    std::vector<std::function<void()>> calls;
    for (int i = 0; i < copies_of_arrays(plan.bytes, cold); ++i) calls.push_back(plan.make());
    for (const auto& call : calls) call();  // loads what it needs
    check(cudaStreamSynchronize(cudnn.stream), "running");
    const auto count = static_cast<std::int64_t>(calls.size());
    const auto timed = long_enough(count, count, [&](std::int64_t times) {
        check(cudaStreamBeginCapture(cudnn.stream, cudaStreamCaptureModeThreadLocal), "capturing");
        cudaGraph_t graph = nullptr;
        try {
            for (std::int64_t i = 0; i < times; ++i)
                for (const auto& call : calls) call();
        } catch (...) {
            cudaStreamEndCapture(cudnn.stream, &graph);
            cudaGraphDestroy(graph);
            cudaGetLastError();
            throw;
        }
        check(cudaStreamEndCapture(cudnn.stream, &graph), "capturing");
        cudaGraphExec_t executable = nullptr;
        const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
        cudaGraphDestroy(graph);
        check(status, "instantiating a graph");
        const std::shared_ptr<CUgraphExec_st> owner(executable, [](cudaGraphExec_t e) { cudaGraphExecDestroy(e); });
        return [owner, stream = cudnn.stream] {
            check(cudaGraphLaunch(owner.get(), stream), "launching a graph");
            check(cudaStreamSynchronize(stream), "running a graph");
        };
    });
    return quantile(sampled_in_turn({timed})[0], 0.5);
}

/// What the name of a benchmark says: n256_28x28x16_to32_k3_s2, or 128x256_to10 for rows.
struct Extents {
    int n = 0, h = 1, w = 1, c = 0, outputs = 0, kernel = 1, stride = 1;
    static bool parse(const std::string& text, Extents& x) {
        static const std::regex window(R"(n(\d+)_(\d+)x(\d+)x(\d+)(?:_to(\d+))?(?:_k(\d+))?(?:_s(\d+))?)"),
            rows(R"((\d+)x(\d+)(?:_to(\d+))?)");
        std::smatch m;
        const auto number = [&](std::size_t i, int otherwise) { return m[i].matched ? std::stoi(m[i]) : otherwise; };
        if (std::regex_match(text, m, window)) {
            x = {number(1, 0), number(2, 0), number(3, 0), number(4, 0), 0, number(6, 1), number(7, 1)};
            x.outputs = number(5, x.c);
            return true;
        }
        if (!std::regex_match(text, m, rows)) return false;
        x.n = number(1, 0), x.c = number(2, 0), x.outputs = number(3, x.c);
        return true;
    }
};

struct Layout {
    const char* name;
    cudnnTensorFormat_t format;
};
inline constexpr Layout layouts[] = {{"NHWC", CUDNN_TENSOR_NHWC}, {"NCHW", CUDNN_TENSOR_NCHW}};

/// The tensors of an op with a window, or of one without.
struct Tensors {
    TensorDescriptor x, y;
    std::int64_t x_size, y_size;
    Tensors(const Extents& e, cudnnTensorFormat_t format, int outputs, int padding) {
        const int h = (e.h + 2 * padding - e.kernel) / e.stride + 1, w = (e.w + 2 * padding - e.kernel) / e.stride + 1;
        check(cudnnSetTensor4dDescriptor(x, format, CUDNN_DATA_FLOAT, e.n, e.c, e.h, e.w), "describing x");
        check(cudnnSetTensor4dDescriptor(y, format, CUDNN_DATA_FLOAT, e.n, outputs, h, w), "describing y");
        x_size = std::int64_t{e.n} * e.c * e.h * e.w, y_size = std::int64_t{e.n} * outputs * h * w;
    }
};

}  // namespace hwnas::benchmarks
