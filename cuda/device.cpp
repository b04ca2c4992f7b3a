// SPDX-License-Identifier: MIT
// The CUDA device: one stream, stream-ordered memory, recorded steps captured as graphs.
#include <hwnas/cuda.hpp>

#include "dispatch.hpp"
#include "stream.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <new>
#include <optional>

namespace hwnas::cuda {

namespace {

/// For what cannot throw: an error that is not told must not be found by the next call either.
void ignore(cudaError_t status) noexcept {
    if (status != cudaSuccess) cudaGetLastError();
}

/// A kernel's limit of shared memory is only ever raised: a captured step may hold a launch that needed more.
void raise_shared_limit(int device, const void* kernel, std::size_t shared) {
    static std::mutex mutex;
    static std::map<std::pair<int, const void*>, std::size_t> limits;
    const std::lock_guard lock(mutex);
    std::size_t& limit = limits[{device, kernel}];
    if (shared <= limit) return;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
          "raising a kernel's limit of shared memory");
    limit = shared;
}

/// A scope in which a device is the current one of the thread. Where it is already, nothing is done: cudaSetDevice
/// would make a context on devices that the caller never uses.
class OnDevice {
public:
    explicit OnDevice(int index) {
        int current = 0;
        check(cudaGetDevice(&current), "asking for the current device");
        if (current == index) return;
        check(cudaSetDevice(index), "choosing the device");
        before_ = current;
    }
    OnDevice(int index, std::nothrow_t) noexcept {
        int current = index;
        ignore(cudaGetDevice(&current));
        if (current == index) return;
        ignore(cudaSetDevice(index));
        before_ = current;
    }
    ~OnDevice() {
        if (before_ >= 0) ignore(cudaSetDevice(before_));
    }
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;

private:
    int before_ = -1;
};

/// A stream of the current device.
struct OwnStream {
    OwnStream() { check(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "making a stream"); }
    ~OwnStream() { ignore(cudaStreamDestroy(handle)); }
    OwnStream(const OwnStream&) = delete;
    OwnStream& operator=(const OwnStream&) = delete;
    cudaStream_t handle = nullptr;
};

/// A captured graph, ready to be launched.
class Graph final : public Replay {
public:
    /// Takes the graph over.
    Graph(const Stream& stream, cudaGraph_t graph) : stream_(stream) {
        const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
        ignore(cudaGraphDestroy(graph));
        check(status, "instantiating the graph of a recorded step");
        const cudaError_t uploaded = cudaGraphUpload(executable_, stream_.handle);
        if (uploaded != cudaSuccess) ignore(cudaGraphExecDestroy(executable_));
        check(uploaded, "uploading the graph of a recorded step");
    }
    ~Graph() override {
        const OnDevice on(stream_.device, std::nothrow);
        ignore(cudaStreamSynchronize(stream_.handle));
        ignore(cudaGraphExecDestroy(executable_));
    }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;
    void run() override {
        const OnDevice on(stream_.device);
        check(cudaGraphLaunch(executable_, stream_.handle), "launching a recorded step");
    }

private:
    Stream stream_;
    cudaGraphExec_t executable_ = nullptr;
};

/// The oldest cards that the kernels are for, as 10 * major + minor.
constexpr int oldest_capability = 75;

/// What cudaFuncGetAttributes says of a kernel on the current device: whether this build has code for it.
cudaError_t look_for_code() noexcept {
    cudaFuncAttributes attributes{};
    return cudaFuncGetAttributes(&attributes, any_kernel());
}
bool has_code(int index) noexcept {
    const OnDevice on(index, std::nothrow);
    const cudaError_t status = look_for_code();
    ignore(status);
    return status == cudaSuccess;
}
/// The compute capability as 10 * major + minor, 0 for a card that cannot be used whatever the build has code for.
int usable_capability(int index) noexcept {
    int major = 0, minor = 0, pools = 0;
    ignore(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
    ignore(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
    ignore(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, index));
    return 10 * major + minor >= oldest_capability && pools != 0 ? 10 * major + minor : 0;
}

class CudaBackend final : public Backend {
public:
    explicit CudaBackend(int index) : index_(index) {
        const OnDevice on(index_);
        check(cudaGetDeviceProperties(&properties_, index), "reading the device's properties");
        check_usable();
        own_.emplace();
        stream_.handle = own_->handle;
        stream_.device = index;
        stream_.multiprocessors = properties_.multiProcessorCount;
        cudaMemPool_t pool = nullptr;
        check(cudaDeviceGetDefaultMemPool(&pool, index), "finding the device's memory pool");
        std::uint64_t keep = ~std::uint64_t{0};  // eager steps take and give the same blocks again and again
        check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "setting up the memory pool");
    }
    ~CudaBackend() override {
        const OnDevice on(index_, std::nothrow);
        ignore(cudaStreamSynchronize(stream_.handle));
        own_.reset();
    }
    std::string name() const override { return fmt::format("cuda:{}", index_); }
    std::string description() const override {
        int driver = 0, runtime = 0;
        ignore(cudaDriverGetVersion(&driver));
        ignore(cudaRuntimeGetVersion(&runtime));
        return fmt::format(
            "{}, {}, compute capability {}.{}, {} multiprocessors, {:.1f} GiB, driver for CUDA {}.{}, "
            "runtime {}.{}",
            name(), properties_.name, properties_.major, properties_.minor, properties_.multiProcessorCount,
            static_cast<double>(properties_.totalGlobalMem) / (1024.0 * 1024 * 1024), driver / 1000, driver % 1000 / 10,
            runtime / 1000, runtime % 1000 / 10);
    }
    void* allocate(std::size_t bytes) override {
        const OnDevice on(index_);
        void* memory = nullptr;
        const cudaError_t status = cudaMallocAsync(&memory, bytes, stream_.handle);
        if (status == cudaErrorMemoryAllocation) {
            ignore(status);
            std::size_t available = 0, total = 0;
            ignore(cudaMemGetInfo(&available, &total));
            fail("{}: {:.1f} MB do not fit, {:.1f} of {:.1f} MB are free; use a smaller batch or fewer channels",
                 name(), static_cast<double>(bytes) / 1e6, static_cast<double>(available) / 1e6,
                 static_cast<double>(total) / 1e6);
        }
        check(status, "allocating memory");
        return memory;
    }
    void release(void* pointer, std::size_t) noexcept override {
        const OnDevice on(index_, std::nothrow);
        ignore(cudaFreeAsync(pointer, stream_.handle));
    }
    void upload(void* to, const void* from, std::size_t bytes) override {
        copy(to, from, bytes, cudaMemcpyHostToDevice, "copying to the device");
    }
    void download(void* to, const void* from, std::size_t bytes) override {
        copy(to, from, bytes, cudaMemcpyDeviceToHost, "copying from the device");
    }
    void synchronize() override {
        const OnDevice on(index_);
        check(cudaStreamSynchronize(stream_.handle), "waiting for the device");
    }
    std::int64_t image_chunks(std::int64_t n) const override { return cuda::image_chunks(n); }
    std::int64_t shared_bytes() const override {
        return static_cast<std::int64_t>(std::min(properties_.sharedMemPerBlockOptin, most_shared_bytes_of_any));
    }
    void run(const Call& call, const Guard& guard) override {
        const OnDevice on(index_);
        start(stream_, call, guard);
    }
    std::unique_ptr<Replay> prepare(const std::vector<GuardedCall>& calls) override {
        const OnDevice on(index_);
        const OwnStream own;  // what other host threads run on the device meanwhile is not recorded
        Stream stream = stream_;
        stream.handle = own.handle;
        // A kernel is loaded by its first launch, which may be this one, and loading is not safe in the other modes.
        check(cudaStreamBeginCapture(own.handle, cudaStreamCaptureModeRelaxed), "capturing a recorded step");
        cudaGraph_t graph = nullptr;
        try {
            capture(stream, calls);
        } catch (...) {
            ignore(cudaStreamEndCapture(own.handle, &graph));
            if (graph) ignore(cudaGraphDestroy(graph));
            throw;
        }
        check(cudaStreamEndCapture(own.handle, &graph), "capturing a recorded step");
        return std::make_unique<Graph>(stream_, graph);
    }

private:
    /// Every call waits for what it has to wait for, and for nothing else: small kernels run beside large ones.
    void capture(const Stream& stream, const std::vector<GuardedCall>& calls) const {
        std::vector<std::vector<cudaGraphNode_t>> last(calls.size());  // nodes that a call ends with
        for (std::size_t i = 0; i < calls.size(); ++i) {
            std::vector<cudaGraphNode_t> before;
            for (const auto j : calls[i].after) before.insert(before.end(), last[j].begin(), last[j].end());
            std::sort(before.begin(), before.end());
            before.erase(std::unique(before.begin(), before.end()), before.end());
            set_dependencies(stream, before);
            start(stream, calls[i].call, calls[i].guard);
            last[i] = dependencies(stream);
        }
    }
    static void set_dependencies(const Stream& stream, std::vector<cudaGraphNode_t>& nodes) {
#if CUDART_VERSION >= 13000
        check(cudaStreamUpdateCaptureDependencies(stream.handle, nodes.data(), nullptr, nodes.size(),
                                                  cudaStreamSetCaptureDependencies),
              "capturing a recorded step");
#else
        check(cudaStreamUpdateCaptureDependencies(stream.handle, nodes.data(), nodes.size(),
                                                  cudaStreamSetCaptureDependencies),
              "capturing a recorded step");
#endif
    }
    static std::vector<cudaGraphNode_t> dependencies(const Stream& stream) {
        cudaStreamCaptureStatus status{};
        const cudaGraphNode_t* nodes = nullptr;
        std::size_t count = 0;
#if CUDART_VERSION >= 13000
        const cudaGraphEdgeData* edges = nullptr;
        check(cudaStreamGetCaptureInfo(stream.handle, &status, nullptr, nullptr, &nodes, &edges, &count),
              "capturing a recorded step");
#else
        check(cudaStreamGetCaptureInfo(stream.handle, &status, nullptr, nullptr, &nodes, &count),
              "capturing a recorded step");
#endif
        return {nodes, nodes + count};
    }
    void check_usable() const {
        const auto card = fmt::format("{}, {} with compute capability {}.{},", name(), properties_.name,
                                      properties_.major, properties_.minor);
        require(10 * properties_.major + properties_.minor >= oldest_capability,
                "cuda::device: {} cannot be used, kernels need 7.5 or newer; use another or hwnas::cpu::device()",
                card);
        int pools = 0;
        check(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, index_), "asking for memory pools");
        require(pools != 0,
                "cuda::device: {} cannot be used, its driver has no memory pools (some virtual GPUs have none); use "
                "another or hwnas::cpu::device()",
                card);
        const cudaError_t status = look_for_code();
        if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction) {
            ignore(status);
            fail(
                "cuda::device: {} cannot be used: this build has code for {}, -DCMAKE_CUDA_ARCHITECTURES={}{} builds "
                "hwnas for it; use hwnas::cpu::device()",
                card, HWNAS_CUDA_ARCHITECTURES, properties_.major, properties_.minor);
        }
        check(status, "looking for the kernels of the device");
    }
    void start(const Stream& on_stream, const Call& call, const Guard& guard) const {
        require(!call.is_double, "{}: {} of doubles; its kernels are in float, use hwnas::cpu::device() for double",
                name(), call.name);
        Stream stream = on_stream;
        stream.guard = guard;
        launcher(call.index)(stream, call.payload);
    }
    void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, const char* what) const {
        const OnDevice on(index_);
        check(cudaMemcpyAsync(to, from, bytes, kind, stream_.handle), what);
        check(cudaStreamSynchronize(stream_.handle), what);
    }
    int index_;
    cudaDeviceProp properties_{};
    std::optional<OwnStream> own_;
    Stream stream_;
};

}  // namespace

void check(cudaError_t status, const char* what) {
    if (status == cudaSuccess) return;
    ignore(status);
    fail("cuda: {}: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
}

void launch_kernel(const Stream& stream, const void* kernel, const void* body, std::int64_t blocks, int threads,
                   std::size_t shared) {
    constexpr std::int64_t most_blocks = 0x7FFF'FFFF;
    require(
        blocks <= most_blocks,
        "cuda:{}: {} blocks of threads for one kernel, a grid has at most {}; use a smaller batch or fewer channels",
        stream.device, blocks, most_blocks);
    constexpr std::size_t allowed_to_all = 48 * 1024;
    if (shared > allowed_to_all) raise_shared_limit(stream.device, kernel, shared);
    Guard guard = stream.guard;
    void* arguments[] = {const_cast<void*>(body), &guard};
    check(cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)), arguments,
                           shared, stream.handle),
          "launching a kernel");
}

int device_count() noexcept {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    ignore(status);  // a machine without a driver is no error of the next call
    if (status != cudaSuccess) return 0;
    // Looking for code makes a context on the card: one card of a kind is enough.
    int found = 0, looked = 0;
    for (int kind = 0; found < count && (kind = usable_capability(found)) != 0; ++found, looked = kind)
        if (kind != looked && !has_code(found)) break;
    return found;
}

Device device(int index) {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    ignore(status);
    if (status != cudaSuccess || count == 0)
        fail("cuda::device: no CUDA device can be used here ({}); use hwnas::cpu::device()",
             status == cudaSuccess ? "none found" : cudaGetErrorString(status));
    require(index >= 0 && index < count, "cuda::device: device {} asked for, this machine has {} (0 to {})", index,
            count, count - 1);
    return Device(std::make_shared<CudaBackend>(index));
}

}  // namespace hwnas::cuda
