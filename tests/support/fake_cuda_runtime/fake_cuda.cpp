// SPDX-License-Identifier: MIT
#include "fake_cuda.hpp"

#include <cstdlib>
#include <cstring>
#include <utility>

namespace fake_cuda {

namespace {

thread_local cudaError_t last = cudaSuccess;

cudaError_t give(cudaError_t error) {
    if (error != cudaSuccess) last = error;
    return error;
}
/// Writes the call down; an error where this is the one to fail.
cudaError_t enter(const char* name) {
    State& s = state();
    s.calls.push_back(name);
    if (s.fail_at < 0 || s.fail_at-- > 0) return cudaSuccess;
    s.failed = name;
    return give(s.error);
}
void misused(const std::string& what) {
    state().misuse.push_back(what);
}
/// The stream is there and belongs to the current device.
void expect(Stream* stream, const char* name) {
    if (!state().streams.contains(stream))
        misused(std::string(name) + ": no such stream");
    else if (stream->device != current_device())
        misused(std::string(name) + ": a stream of another device than the current one");
}

}  // namespace

State& state() {
    static State instance;
    return instance;
}
void reset() {
    for (auto* stream : state().streams) delete stream;
    for (auto* graph : state().graphs) delete graph;
    for (auto* executable : state().executables) delete executable;
    for (auto& [memory, bytes] : state().memory) std::free(memory);
    const auto limits = state().shared_limits;  // of kernels, which stay
    state() = {};
    state().shared_limits = limits;
    last = cudaSuccess;
    current_device() = 0;
}
cudaError_t last_error() {
    return last;
}
int& current_device() {
    thread_local int device = 0;
    return device;
}

}  // namespace fake_cuda

using namespace fake_cuda;

cudaError_t cudaGetLastError() {
    return std::exchange(last, cudaSuccess);
}
const char* cudaGetErrorString(cudaError_t) {
    return "made up";
}
const char* cudaGetErrorName(cudaError_t error) {
    return error == cudaErrorNoDevice ? "cudaErrorNoDevice" : "cudaErrorSomething";
}
cudaError_t cudaGetDeviceCount(int* count) {
    if (const auto e = enter("cudaGetDeviceCount")) return e;
    *count = static_cast<int>(state().cards.size());
    return *count > 0 ? cudaSuccess : give(cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* device) {
    if (const auto e = enter("cudaGetDevice")) return e;
    *device = current_device();
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    if (const auto e = enter("cudaSetDevice")) return e;
    if (device < 0 || device >= static_cast<int>(state().cards.size())) return give(cudaErrorInvalidDevice);
    current_device() = device;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    if (const auto e = enter("cudaGetDeviceProperties")) return e;
    const Card& card = state().cards.at(static_cast<std::size_t>(device));
    *properties = {};
    std::strncpy(properties->name, card.name.c_str(), sizeof properties->name - 1);
    properties->totalGlobalMem = card.memory;
    properties->sharedMemPerBlockOptin = 227 * 1024;
    properties->major = card.major, properties->minor = card.minor, properties->multiProcessorCount = 132;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    if (const auto e = enter("cudaDeviceGetAttribute")) return e;
    const Card& card = state().cards.at(static_cast<std::size_t>(device));
    *value = attribute == cudaDevAttrComputeCapabilityMajor   ? card.major
             : attribute == cudaDevAttrComputeCapabilityMinor ? card.minor
                                                              : card.has_pools;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
    *version = 13000;
    return enter("cudaDriverGetVersion");
}
cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = CUDART_VERSION;
    return enter("cudaRuntimeGetVersion");
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
    if (const auto e = enter("cudaDeviceGetDefaultMemPool")) return e;
    *pool = &state().pools[device];
    return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr, void* value) {
    if (const auto e = enter("cudaMemPoolSetAttribute")) return e;
    std::memcpy(&pool->kept, value, sizeof pool->kept);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* available, std::size_t* total) {
    if (const auto e = enter("cudaMemGetInfo")) return e;
    *total = *available = state().cards.at(static_cast<std::size_t>(current_device())).memory;
    for (const auto& [memory, bytes] : state().memory) *available -= bytes;
    return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t stream) {
    if (const auto e = enter("cudaMallocAsync")) return e;
    expect(stream, "cudaMallocAsync");
    if (stream->captured) misused("cudaMallocAsync while a step is captured");
    std::size_t taken = 0;
    for (const auto& [block, size] : state().memory) taken += size;
    if (taken + bytes > state().cards.at(static_cast<std::size_t>(current_device())).memory)
        return give(cudaErrorMemoryAllocation);
    *memory = std::calloc(1, bytes);
    state().memory[*memory] = bytes;
    return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
    const auto e = enter("cudaFreeAsync");
    expect(stream, "cudaFreeAsync");
    if (!state().memory.erase(memory)) misused("cudaFreeAsync of what was never given");
    std::free(memory);
    return e;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
    if (const auto e = enter("cudaMemcpyAsync")) return e;
    expect(stream, "cudaMemcpyAsync");
    std::memcpy(to, from, bytes);
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
    if (const auto e = enter("cudaStreamCreateWithFlags")) return e;
    if (flags != cudaStreamNonBlocking) misused("a stream that waits for the default one");
    *stream = new Stream{.device = current_device(), .captured = nullptr, .dependencies = {}, .loads = true};
    state().streams.insert(*stream);
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    const auto e = enter("cudaStreamDestroy");
    if (!state().streams.erase(stream)) misused("cudaStreamDestroy: no such stream");
    delete stream;
    return e;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (const auto e = enter("cudaStreamSynchronize")) return e;
    expect(stream, "cudaStreamSynchronize");
    if (stream->captured) misused("cudaStreamSynchronize while a step is captured");
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    if (const auto e = enter("cudaStreamBeginCapture")) return e;
    expect(stream, "cudaStreamBeginCapture");
    stream->captured = std::make_unique<Graph>();
    stream->dependencies.clear();
    stream->loads = mode == cudaStreamCaptureModeRelaxed;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = nullptr;
    const auto e = enter("cudaStreamEndCapture");
    expect(stream, "cudaStreamEndCapture");
    const auto captured = std::move(stream->captured);
    if (e) return e;  // an invalidated capture gives no graph
    *graph = new Graph{std::move(captured->nodes)};
    state().graphs.insert(*graph);
    return cudaSuccess;
}
#if CUDART_VERSION >= 13000
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t* nodes, const cudaGraphEdgeData*,
                                                std::size_t count, unsigned flags) {
#else
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t* nodes, std::size_t count,
                                                unsigned flags) {
#endif
    if (const auto e = enter("cudaStreamUpdateCaptureDependencies")) return e;
    expect(stream, "cudaStreamUpdateCaptureDependencies");
    if (!stream->captured || flags != cudaStreamSetCaptureDependencies) misused("dependencies outside a capture");
    stream->dependencies.assign(nodes, nodes + count);
    return cudaSuccess;
}
#if CUDART_VERSION >= 13000
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long*,
                                     cudaGraph_t*, const cudaGraphNode_t** nodes, const cudaGraphEdgeData** edges,
                                     std::size_t* count) {
    *edges = nullptr;
#else
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long*,
                                     cudaGraph_t*, const cudaGraphNode_t** nodes, std::size_t* count) {
#endif
    if (const auto e = enter("cudaStreamGetCaptureInfo")) return e;
    *status = stream->captured ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    *nodes = stream->dependencies.data();
    *count = stream->dependencies.size();
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
    if (const auto e = enter("cudaGraphInstantiate")) return e;
    *executable = new Executable{std::move(graph->nodes), current_device()};
    state().executables.insert(*executable);
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    const auto e = enter("cudaGraphDestroy");
    if (!state().graphs.erase(graph)) misused("cudaGraphDestroy: no such graph");
    delete graph;
    return e;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream) {
    if (const auto e = enter("cudaGraphUpload")) return e;
    expect(stream, "cudaGraphUpload");
    if (!state().executables.contains(executable)) misused("cudaGraphUpload: no such graph");
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    if (const auto e = enter("cudaGraphLaunch")) return e;
    expect(stream, "cudaGraphLaunch");
    if (!state().executables.contains(executable)) misused("cudaGraphLaunch: no such graph");
    for (const auto& node : executable->nodes)
        if (node->shared > 48 * 1024 && node->shared > state().shared_limits[node->kernel])
            return give(cudaErrorInvalidValue);
    state().launched.emplace_back(executable, stream);
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    const auto e = enter("cudaGraphExecDestroy");
    if (!state().executables.erase(executable)) misused("cudaGraphExecDestroy: no such graph");
    delete executable;
    return e;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
    if (const auto e = enter("cudaFuncGetAttributes")) return e;
    *attributes = {};
    return state().cards.at(static_cast<std::size_t>(current_device())).has_code
               ? cudaSuccess
               : give(cudaErrorNoKernelImageForDevice);
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
    if (const auto e = enter("cudaFuncSetAttribute")) return e;
    if (value > 227 * 1024) return give(cudaErrorInvalidValue);
    state().shared_limits[kernel] = static_cast<std::size_t>(value);
    return cudaSuccess;
}
cudaError_t cudaLaunchKernel(const void* kernel, dim3 blocks, dim3 threads, void** arguments, std::size_t shared,
                             cudaStream_t stream) {
    if (const auto e = enter("cudaLaunchKernel")) return e;
    expect(stream, "cudaLaunchKernel");
    if (blocks.x == 0 || threads.x == 0 || threads.x > 1024) return give(cudaErrorInvalidValue);
    if (shared > 48 * 1024 && shared > state().shared_limits[kernel]) return give(cudaErrorInvalidValue);
    const bool loads = state().loaded.insert(kernel).second;
    if (stream->captured && loads && !stream->loads) return give(cudaErrorStreamCaptureUnsupported);
    if (!stream->captured) {
        ++state().eager;
        return cudaSuccess;
    }
    auto& nodes = stream->captured->nodes;
    nodes.push_back(std::make_unique<Node>(
        Node{kernel, arguments[0], shared, {stream->dependencies.begin(), stream->dependencies.end()}}));
    stream->dependencies = {nodes.back().get()};
    return cudaSuccess;
}
