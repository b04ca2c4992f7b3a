// SPDX-License-Identifier: MIT
// cuDNN and cuBLAS on a GPU, for benchmarks/gpu_report.sh: reads names of our benchmarks from standard input, one a
// line, and writes {"cudnn": version, "api": which of cuDNN's, "seconds": {name: {plan: seconds a call}}} as JSON to
// the file given. Plans of a convolution: every algorithm that cudnnFindConvolution...AlgorithmEx, cuDNN's legacy API,
// times within twice the fastest of its layout, in NHWC and NCHW, in float32 and, as plans of their own ("tf32"), where
// products may be rounded to TF32; a depthwise one has as many groups as channels. They are timed as our own are
// (turns.hpp). Names of ops that cuDNN does not have are passed over.
#include "cudnn_plans.hpp"
#if defined(HWNAS_PEER_CUBLAS)
#include "cublas_plans.hpp"
#endif

#include <iostream>
#include <map>

namespace {

using namespace hwnas::benchmarks;

// ---- convolutions

struct Conv : Tensors {
    FilterDescriptor w;
    ConvDescriptor window;
    std::int64_t w_size;
    Conv(const Extents& e, cudnnTensorFormat_t format, bool depthwise, cudnnMathType_t math)
        : Tensors(e, format, e.outputs, e.kernel / 2) {
        const int groups = depthwise ? e.c : 1;
        check(cudnnSetFilter4dDescriptor(w, CUDNN_DATA_FLOAT, format, e.outputs, e.c / groups, e.kernel, e.kernel),
              "describing w");
        check(cudnnSetConvolution2dDescriptor(window, e.kernel / 2, e.kernel / 2, e.stride, e.stride, 1, 1,
                                              CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
              "describing the window");
        check(cudnnSetConvolutionGroupCount(window, groups), "describing the window");
        check(cudnnSetConvolutionMathType(window, math), "describing the window");
        w_size = std::int64_t{e.outputs} * (e.c / groups) * e.kernel * e.kernel;
    }
};
/// The arrays of one call.
struct ConvArrays {
    std::shared_ptr<float> x, w, y;
    ConvArrays(const Cudnn& cudnn, const Conv& conv)
        : x(cudnn.array(conv.x_size)), w(cudnn.array(conv.w_size)), y(cudnn.array(conv.y_size)) {}
};

/// One direction: how it is searched and run. `Performance` is what cuDNN's search answers.
struct Forward {
    using Performance = cudnnConvolutionFwdAlgoPerf_t;
    static constexpr const char* name = "algorithm";
    static void find(const Cudnn& c, const Conv& conv, const ConvArrays& a, int asked, int* found, Performance* all) {
        check(
            cudnnFindConvolutionForwardAlgorithmEx(c.handle, conv.x, a.x.get(), conv.w, a.w.get(), conv.window, conv.y,
                                                   a.y.get(), asked, found, all, c.workspace, c.workspace_bytes),
            "searching algorithms");
    }
    static void run(const Cudnn& c, const Conv& conv, const ConvArrays& a, const Performance& p) {
        check(cudnnConvolutionForward(c.handle, &one, conv.x, a.x.get(), conv.w, a.w.get(), conv.window, p.algo,
                                      c.workspace, c.workspace_bytes, &zero, conv.y, a.y.get()),
              "forward");
    }
};
struct BackwardData {
    using Performance = cudnnConvolutionBwdDataAlgoPerf_t;
    static constexpr const char* name = "data algorithm";
    static void find(const Cudnn& c, const Conv& conv, const ConvArrays& a, int asked, int* found, Performance* all) {
        check(cudnnFindConvolutionBackwardDataAlgorithmEx(c.handle, conv.w, a.w.get(), conv.y, a.y.get(), conv.window,
                                                          conv.x, a.x.get(), asked, found, all, c.workspace,
                                                          c.workspace_bytes),
              "searching algorithms");
    }
    static void run(const Cudnn& c, const Conv& conv, const ConvArrays& a, const Performance& p, float* dx = nullptr) {
        check(cudnnConvolutionBackwardData(c.handle, &one, conv.w, a.w.get(), conv.y, a.y.get(), conv.window, p.algo,
                                           c.workspace, c.workspace_bytes, &zero, conv.x, dx ? dx : a.x.get()),
              "backward data");
    }
};
struct BackwardFilter {
    using Performance = cudnnConvolutionBwdFilterAlgoPerf_t;
    static constexpr const char* name = "filter algorithm";
    static void find(const Cudnn& c, const Conv& conv, const ConvArrays& a, int asked, int* found, Performance* all) {
        check(cudnnFindConvolutionBackwardFilterAlgorithmEx(c.handle, conv.x, a.x.get(), conv.y, a.y.get(), conv.window,
                                                            conv.w, a.w.get(), asked, found, all, c.workspace,
                                                            c.workspace_bytes),
              "searching algorithms");
    }
    static void run(const Cudnn& c, const Conv& conv, const ConvArrays& a, const Performance& p, float* dw = nullptr) {
        check(cudnnConvolutionBackwardFilter(c.handle, &one, conv.x, a.x.get(), conv.y, a.y.get(), conv.window, p.algo,
                                             c.workspace, c.workspace_bytes, &zero, conv.w, dw ? dw : a.w.get()),
              "backward filter");
    }
};

/// What cuDNN's search finds, the fastest first, what takes more than twice as long left out.
template <class Direction>
std::vector<typename Direction::Performance> found_by(const Cudnn& cudnn, const Conv& conv, cudnnMathType_t math) {
    typename Direction::Performance all[16];
    int count = 0;
    Direction::find(cudnn, conv, ConvArrays(cudnn, conv), 16, &count, all);
    std::vector<typename Direction::Performance> kept;
    for (int i = 0; i < count; ++i) {
        if (all[i].status != CUDNN_STATUS_SUCCESS || all[i].time > 2 * all[0].time) continue;
        // Where rounding is allowed, algorithms that make no use of it stand among the others already.
        if (math != CUDNN_FMA_MATH && all[i].mathType == CUDNN_FMA_MATH) continue;
        kept.push_back(all[i]);
    }
    return kept;
}

/// f(layout, math, description of the convolution, what the plan's name ends with)
template <class F>
void for_each_conv(const Extents& e, bool depthwise, F&& f) {
    for (const auto& layout : layouts)
        for (const auto math : {CUDNN_FMA_MATH, CUDNN_DEFAULT_MATH}) try {
                f(layout, math, std::make_shared<Conv>(e, layout.format, depthwise, math),
                  math == CUDNN_FMA_MATH ? "" : ", tf32");
            } catch (const std::runtime_error& error) {
                fmt::print(stderr, "{}: {}\n", layout.name, error.what());
            }
}

template <class Direction>
std::vector<Plan> conv_plans(const Cudnn& cudnn, const Extents& e, bool depthwise) {
    std::vector<Plan> plans;
    for_each_conv(e, depthwise, [&](const Layout& layout, cudnnMathType_t math, auto conv, const char* end) {
        for (const auto& p : found_by<Direction>(cudnn, *conv, math))
            plans.push_back({fmt::format("{}, {} {}{}", layout.name, Direction::name, static_cast<int>(p.algo), end),
                             sizeof(float) * static_cast<double>(conv->x_size + conv->y_size + conv->w_size),
                             [&cudnn, conv, p]() -> std::function<void()> {
                                 return [&cudnn, conv, p, arrays = ConvArrays(cudnn, *conv)] {
                                     Direction::run(cudnn, *conv, arrays, p);
                                 };
                             }});
    });
    return plans;
}
/// Both gradients: the fastest of either.
std::vector<Plan> conv_backward_plans(const Cudnn& cudnn, const Extents& e, bool depthwise) {
    std::vector<Plan> plans;
    for_each_conv(e, depthwise, [&](const Layout& layout, cudnnMathType_t math, auto conv, const char* end) {
        const auto data = found_by<BackwardData>(cudnn, *conv, math);
        const auto filter = found_by<BackwardFilter>(cudnn, *conv, math);
        if (data.empty() || filter.empty()) return;
        plans.push_back({fmt::format("{}, data algorithm {}, filter algorithm {}{}", layout.name,
                                     static_cast<int>(data[0].algo), static_cast<int>(filter[0].algo), end),
                         sizeof(float) * static_cast<double>(2 * conv->x_size + conv->y_size + 2 * conv->w_size),
                         [&cudnn, conv, d = data[0], f = filter[0]]() -> std::function<void()> {
                             return [&cudnn, conv, d, f, arrays = ConvArrays(cudnn, *conv),
                                     dx = cudnn.array(conv->x_size), dw = cudnn.array(conv->w_size)] {
                                 BackwardData::run(cudnn, *conv, arrays, d, dx.get());
                                 BackwardFilter::run(cudnn, *conv, arrays, f, dw.get());
                             };
                         }});
    });
    return plans;
}

// ---- the others

std::vector<Plan> pool_plans(const Cudnn& cudnn, const Extents& e, bool max, bool forward) {
    struct Mode {
        const char* name;
        cudnnPoolingMode_t mode;
    };
    const std::vector<Mode> modes =
        max ? std::vector<Mode>{{"", CUDNN_POOLING_MAX}, {", deterministic", CUDNN_POOLING_MAX_DETERMINISTIC}}
            : std::vector<Mode>{{"", CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING}};
    struct Pool : Tensors {
        PoolDescriptor window;
        Pool(const Extents& extents, cudnnTensorFormat_t format, cudnnPoolingMode_t mode, int padding)
            : Tensors(extents, format, extents.c, padding) {
            check(cudnnSetPooling2dDescriptor(window, mode, CUDNN_PROPAGATE_NAN, extents.kernel, extents.kernel,
                                              padding, padding, extents.stride, extents.stride),
                  "describing the window");
        }
    };
    const int padding = e.kernel % 2 == 0 ? 0 : e.kernel / 2;
    std::vector<Plan> plans;
    for (const auto& layout : layouts)
        for (const auto& mode : modes) {
            const auto pool = std::make_shared<Pool>(e, layout.format, mode.mode, padding);
            const double arrays = static_cast<double>(pool->x_size + pool->y_size) * sizeof(float);
            plans.push_back(
                {fmt::format("{}{}", layout.name, mode.name), forward ? arrays : 2 * arrays,
                 [&cudnn, pool, forward]() -> std::function<void()> {
                     const auto x = cudnn.array(pool->x_size), y = cudnn.array(pool->y_size);
                     const auto pass = [&cudnn, pool, x, y] {
                         check(cudnnPoolingForward(cudnn.handle, pool->window, &one, pool->x, x.get(), &zero, pool->y,
                                                   y.get()),
                               "forward");
                     };
                     if (forward) return pass;
                     pass();  // backward looks for what has won
                     return [&cudnn, pool, x, y, dx = cudnn.array(pool->x_size), dy = cudnn.array(pool->y_size)] {
                         check(cudnnPoolingBackward(cudnn.handle, pool->window, &one, pool->y, y.get(), pool->y,
                                                    dy.get(), pool->x, x.get(), &zero, pool->x, dx.get()),
                               "backward");
                     };
                 }});
        }
    return plans;
}

std::vector<Plan> norm_plans(const Cudnn& cudnn, const Extents& e, bool forward) {
    struct Norm : Tensors {
        TensorDescriptor channels;
        Norm(const Extents& extents, cudnnTensorFormat_t format, cudnnBatchNormMode_t mode)
            : Tensors(extents, format, extents.c, 0) {
            check(cudnnDeriveBNTensorDescriptor(channels, x, mode), "describing the channels");
        }
    };
    std::vector<Plan> plans;
    for (const auto& layout : layouts)
        for (const auto mode : {CUDNN_BATCHNORM_SPATIAL, CUDNN_BATCHNORM_SPATIAL_PERSISTENT}) {
            const auto norm = std::make_shared<Norm>(e, layout.format, mode);
            plans.push_back(
                {fmt::format("{}{}", layout.name, mode == CUDNN_BATCHNORM_SPATIAL ? "" : ", persistent"),
                 (forward ? 2.0 : 3.0) * static_cast<double>(norm->x_size) * sizeof(float),
                 [&cudnn, norm, mode, forward, c = e.c]() -> std::function<void()> {
                     constexpr double epsilon = 1e-5;
                     const auto x = cudnn.array(norm->x_size), y = cudnn.array(norm->x_size), scale = cudnn.array(c),
                                shift = cudnn.array(c), mean = cudnn.array(c), inverse = cudnn.array(c);
                     const auto pass = [=, &cudnn] {
                         check(cudnnBatchNormalizationForwardTraining(
                                   cudnn.handle, mode, &one, &zero, norm->x, x.get(), norm->y, y.get(), norm->channels,
                                   scale.get(), shift.get(), 0, nullptr, nullptr, epsilon, mean.get(), inverse.get()),
                               "forward");
                     };
                     if (forward) return pass;
                     pass();  // backward reads mean and inverse
                     return
                         [=, &cudnn, dx = cudnn.array(norm->x_size), dscale = cudnn.array(c), dshift = cudnn.array(c)] {
                             check(cudnnBatchNormalizationBackward(cudnn.handle, mode, &one, &zero, &one, &zero,
                                                                   norm->x, x.get(), norm->y, y.get(), norm->x,
                                                                   dx.get(), norm->channels, scale.get(), dscale.get(),
                                                                   dshift.get(), epsilon, mean.get(), inverse.get()),
                                   "backward");
                         };
                 }});
        }
    return plans;
}

std::vector<Plan> softmax_plans(const Cudnn& cudnn, const Extents& e, bool forward) {
    const auto rows = std::make_shared<Tensors>(e, CUDNN_TENSOR_NCHW, e.c, 0);
    std::vector<Plan> plans;
    for (const auto algorithm : {CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_FAST})
        plans.push_back({algorithm == CUDNN_SOFTMAX_ACCURATE ? "accurate" : "fast",
                         (forward ? 2.0 : 3.0) * static_cast<double>(rows->x_size) * sizeof(float),
                         [&cudnn, rows, algorithm, forward]() -> std::function<void()> {
                             const auto x = cudnn.array(rows->x_size), y = cudnn.array(rows->x_size);
                             const auto pass = [=, &cudnn] {
                                 check(cudnnSoftmaxForward(cudnn.handle, algorithm, CUDNN_SOFTMAX_MODE_INSTANCE, &one,
                                                           rows->x, x.get(), &zero, rows->x, y.get()),
                                       "forward");
                             };
                             if (forward) return pass;
                             pass();
                             return [=, &cudnn, dx = cudnn.array(rows->x_size)] {
                                 check(
                                     cudnnSoftmaxBackward(cudnn.handle, algorithm, CUDNN_SOFTMAX_MODE_INSTANCE, &one,
                                                          rows->x, y.get(), rows->x, x.get(), &zero, rows->x, dx.get()),
                                     "backward");
                             };
                         }});
    return plans;
}

/// The plans of cuDNN for op/direction/extents; none for what it does not have.
std::vector<Plan> cudnn_plans_for(const Cudnn& cudnn, const std::string& op, const std::string& direction,
                                  const Extents& e) {
    const bool depthwise = op == "depthwise_conv", forward = direction == "forward";
    if (depthwise || op == "conv") {
        if (forward) return conv_plans<Forward>(cudnn, e, depthwise);
        if (direction == "backward_data") return conv_plans<BackwardData>(cudnn, e, depthwise);
        if (direction == "backward_weight") return conv_plans<BackwardFilter>(cudnn, e, depthwise);
        if (direction == "backward") return conv_backward_plans(cudnn, e, depthwise);
    }
    if (!forward && direction != "backward") return {};
    if (op == "max_pool" || op == "average_pool") return pool_plans(cudnn, e, op == "max_pool", forward);
    if (op == "batch_norm") return norm_plans(cudnn, e, forward);
    if (op == "softmax") return softmax_plans(cudnn, e, forward);
    return {};
}

/// Those and cuBLAS's.
std::vector<Plan> plans_for(const Cudnn& cudnn, const std::string& op, const std::string& direction, const Extents& e) {
    auto plans = cudnn_plans_for(cudnn, op, direction, e);
#if defined(HWNAS_PEER_CUBLAS)
    if (op == "linear" || (op == "conv" && e.kernel == 1 && e.stride == 1)) try {
            for (auto& plan : product_plans(cudnn, direction, std::int64_t{e.n} * e.h * e.w, e.c, e.outputs))
                plans.push_back(std::move(plan));
        } catch (const std::runtime_error& error) {
            fmt::print(stderr, "{}/{}: {}\n", op, direction, error.what());
        }
#endif
    return plans;
}

void write(const char* file, const std::map<std::string, std::map<std::string, double>>& seconds) {
    std::string names;
    for (const auto& [name, plans] : seconds) {
        std::string list;
        for (const auto& [plan, s] : plans) list += fmt::format("{}\"{}\": {:.6g}", list.empty() ? "" : ", ", plan, s);
        names += fmt::format("{}\n  \"{}\": {{{}}}", names.empty() ? "" : ",", name, list);
    }
    const auto version = cudnnGetVersion();
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(file, "w"), &std::fclose);
    if (!out) throw std::runtime_error(fmt::format("cannot write {}", file));
    fmt::print(out.get(),
               "{{\"cudnn\": \"{}.{}.{}\", \"api\": \"cudnnFind*AlgorithmEx, legacy\", "
               "\"seconds\": {{{}}}}}\n",
               version / 10'000, version / 100 % 100, version % 100, names);
}

int run(const char* file) {
    const Cudnn cudnn;
    std::map<std::string, std::map<std::string, double>> seconds;
    write(file, seconds);
    for (std::string name; std::getline(std::cin, name);) {
        static const std::regex parts("([a-z_]+)/([a-z_]+)/([^/]+)/(hot|cold)");
        std::smatch m;
        Extents extents;
        if (!std::regex_match(name, m, parts) || !Extents::parse(m[3], extents)) continue;
        try {
            for (const auto& plan : plans_for(cudnn, m[1], m[2], extents)) try {
                    seconds[name][plan.name] = seconds_of(cudnn, plan, m[4] == "cold");
                } catch (const std::runtime_error& error) {
                    fmt::print(stderr, "{}: {}: {}\n", name, plan.name, error.what());
                }
        } catch (const std::runtime_error& error) {
            fmt::print(stderr, "{}: {}\n", name, error.what());
        }
        write(file, seconds);  // what there is, should time run out
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: {} RESULTS.json <NAMES\n", argv[0]);
        return 2;
    }
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count == 0) {
        fmt::print(stderr, "cudnn_peer: no CUDA device can be used here ({})\n",
                   status == cudaSuccess ? "none found" : cudaGetErrorString(status));
        return 1;
    }
    try {
        return run(argv[1]);
    } catch (const std::exception& error) {
        fmt::print(stderr, "cudnn_peer: {}\n", error.what());
        return 1;
    }
}
