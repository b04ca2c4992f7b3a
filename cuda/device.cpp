// SPDX-License-Identifier: MIT
// The CUDA device: one stream, stream-ordered memory, recorded steps captured as graphs.
#include <hwnas/cuda.hpp>

#include "dispatch.hpp"
#include "stream.hpp"

#include <algorithm>

namespace hwnas::cuda {

void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess) fail("cuda: {}: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
}

namespace {

/// A captured graph, ready to be launched.
class Graph final : public Replay {
public:
    Graph(cudaStream_t stream, cudaGraph_t graph) : stream_(stream) {
        const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
        cudaGraphDestroy(graph);
        check(status, "instantiating the graph of a recorded step");
        check(cudaGraphUpload(executable_, stream_), "uploading the graph of a recorded step");
    }
    ~Graph() override {
        cudaStreamSynchronize(stream_);
        cudaGraphExecDestroy(executable_);
    }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;
    void run() override { check(cudaGraphLaunch(executable_, stream_), "launching a recorded step"); }

private:
    cudaStream_t stream_;
    cudaGraphExec_t executable_ = nullptr;
};

class CudaBackend final : public Backend {
public:
    explicit CudaBackend(int index) : index_(index) {
        use();
        check(cudaGetDeviceProperties(&properties_, index), "reading the device's properties");
        check(cudaStreamCreateWithFlags(&stream_.handle, cudaStreamNonBlocking), "making a stream");
        stream_.multiprocessors = properties_.multiProcessorCount;
        cudaMemPool_t pool = nullptr;
        check(cudaDeviceGetDefaultMemPool(&pool, index), "finding the device's memory pool");
        std::uint64_t keep = ~std::uint64_t{0};  // eager steps take and give the same blocks again and again
        check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "setting up the memory pool");
    }
    ~CudaBackend() override {
        cudaStreamSynchronize(stream_.handle);
        cudaStreamDestroy(stream_.handle);
    }
    std::string name() const override { return fmt::format("cuda:{}", index_); }
    std::string description() const override {
        int driver = 0, runtime = 0;
        cudaDriverGetVersion(&driver);
        cudaRuntimeGetVersion(&runtime);
        return fmt::format(
            "{}, {}, compute capability {}.{}, {} multiprocessors, {:.1f} GiB, driver for CUDA {}.{}, "
            "runtime {}.{}",
            name(), properties_.name, properties_.major, properties_.minor, properties_.multiProcessorCount,
            static_cast<double>(properties_.totalGlobalMem) / (1024.0 * 1024 * 1024), driver / 1000, driver % 1000 / 10,
            runtime / 1000, runtime % 1000 / 10);
    }
    void* allocate(std::size_t bytes) override {
        use();
        void* memory = nullptr;
        const cudaError_t status = cudaMallocAsync(&memory, bytes, stream_.handle);
        if (status == cudaErrorMemoryAllocation) {
            cudaGetLastError();
            std::size_t available = 0, total = 0;
            cudaMemGetInfo(&available, &total);
            fail("{}: {:.1f} MB do not fit, {:.1f} of {:.1f} MB are free; use a smaller batch or fewer channels",
                 name(), static_cast<double>(bytes) / 1e6, static_cast<double>(available) / 1e6,
                 static_cast<double>(total) / 1e6);
        }
        check(status, "allocating memory");
        return memory;
    }
    void release(void* pointer, std::size_t) noexcept override {
        cudaSetDevice(index_);
        cudaFreeAsync(pointer, stream_.handle);
    }
    void upload(void* to, const void* from, std::size_t bytes) override {
        copy(to, from, bytes, cudaMemcpyHostToDevice, "copying to the device");
    }
    void download(void* to, const void* from, std::size_t bytes) override {
        copy(to, from, bytes, cudaMemcpyDeviceToHost, "copying from the device");
    }
    void synchronize() override {
        use();
        check(cudaStreamSynchronize(stream_.handle), "waiting for the device");
    }
    std::int64_t image_chunks(std::int64_t n) const override { return cuda::image_chunks(n); }
    std::int64_t shared_bytes() const override {
        return static_cast<std::int64_t>(std::min(properties_.sharedMemPerBlockOptin, most_shared_bytes_of_any));
    }
    void run(const Call& call, const Guard& guard) override {
        use();
        start(call, guard);
    }
    std::unique_ptr<Replay> prepare(const std::vector<GuardedCall>& calls) override {
        use();
        check(cudaStreamBeginCapture(stream_.handle, cudaStreamCaptureModeThreadLocal), "capturing a recorded step");
        cudaGraph_t graph = nullptr;
        try {
            capture(calls);
        } catch (...) {
            cudaStreamEndCapture(stream_.handle, &graph);
            cudaGraphDestroy(graph);
            throw;
        }
        check(cudaStreamEndCapture(stream_.handle, &graph), "capturing a recorded step");
        return std::make_unique<Graph>(stream_.handle, graph);
    }

private:
    /// Every call waits for what it has to wait for, and for nothing else: small kernels run beside large ones.
    void capture(const std::vector<GuardedCall>& calls) {
        std::vector<std::vector<cudaGraphNode_t>> last(calls.size());  // nodes that a call ends with
        for (std::size_t i = 0; i < calls.size(); ++i) {
            std::vector<cudaGraphNode_t> before;
            for (const auto j : calls[i].after) before.insert(before.end(), last[j].begin(), last[j].end());
            std::sort(before.begin(), before.end());
            before.erase(std::unique(before.begin(), before.end()), before.end());
            set_dependencies(before);
            start(calls[i].call, calls[i].guard);
            last[i] = dependencies();
        }
    }
    void set_dependencies(std::vector<cudaGraphNode_t>& nodes) const {
#if CUDART_VERSION >= 13000
        check(cudaStreamUpdateCaptureDependencies(stream_.handle, nodes.data(), nullptr, nodes.size(),
                                                  cudaStreamSetCaptureDependencies),
              "capturing a recorded step");
#else
        check(cudaStreamUpdateCaptureDependencies(stream_.handle, nodes.data(), nodes.size(),
                                                  cudaStreamSetCaptureDependencies),
              "capturing a recorded step");
#endif
    }
    std::vector<cudaGraphNode_t> dependencies() const {
        cudaStreamCaptureStatus status{};
        const cudaGraphNode_t* nodes = nullptr;
        std::size_t count = 0;
#if CUDART_VERSION >= 13000
        const cudaGraphEdgeData* edges = nullptr;
        check(cudaStreamGetCaptureInfo(stream_.handle, &status, nullptr, nullptr, &nodes, &edges, &count),
              "capturing a recorded step");
#else
        check(cudaStreamGetCaptureInfo(stream_.handle, &status, nullptr, nullptr, &nodes, &count),
              "capturing a recorded step");
#endif
        return {nodes, nodes + count};
    }
    void use() const { check(cudaSetDevice(index_), "choosing the device"); }
    void start(const Call& call, const Guard& guard) const {
        require(!call.is_double, "{}: {} of doubles; its kernels are in float, use hwnas::cpu::device() for double",
                name(), call.name);
        Stream stream = stream_;
        stream.guard = guard;
        launcher(call.index)(stream, call.payload);
    }
    void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, const char* what) const {
        use();
        check(cudaMemcpyAsync(to, from, bytes, kind, stream_.handle), what);
        check(cudaStreamSynchronize(stream_.handle), what);
    }
    int index_;
    cudaDeviceProp properties_{};
    Stream stream_;
};

}  // namespace

int device_count() noexcept {
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
    cudaGetLastError();  // a machine without a driver is no error of the next call
    return 0;
}

Device device(int index) {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    cudaGetLastError();
    if (status != cudaSuccess || count == 0)
        fail("cuda::device: no CUDA device can be used here ({}); use hwnas::cpu::device()",
             status == cudaSuccess ? "none found" : cudaGetErrorString(status));
    require(index >= 0 && index < count, "cuda::device: device {} asked for, this machine has {} (0 to {})", index,
            count, count - 1);
    return Device(std::make_shared<CudaBackend>(index));
}

}  // namespace hwnas::cuda
