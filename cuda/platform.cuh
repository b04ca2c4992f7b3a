// SPDX-License-Identifier: MIT
// What kernels are written against: CUDA, or the emulator that runs the same source on a CPU
// (tests/support/cuda_emulator.hpp). A kernel is a struct. Its members are its arguments; `threads` is the most threads
// a block may have, `registers` the ceiling of registers a thread that the build checks; operator() is what one thread
// does. start() launches it, the only place that does, so that guards and launch limits are looked after once.
// Rules that the emulator needs: shared memory comes from shared_memory(); no thread leaves before a barrier that
// others reach; nothing relies on a warp running in step without a *_sync primitive.
#pragma once

#include "dispatch.hpp"
#include "stream.hpp"

#include <hwnas/core/contract.hpp>

#include <cstddef>

#if defined(HWNAS_CUDA_EMULATED)
#include "support/cuda_emulator.hpp"
#else
#include <cuda_runtime.h>
#endif

namespace hwnas::cuda {

using contract::i32;
using contract::i64;
using contract::u8;

/// Blocks that a multiprocessor should hold at once, if the kernel says so by `resident`: the compiler then keeps to
/// most_registers().
template <class Body>
constexpr int resident_blocks() {
    if constexpr (requires { Body::resident; }) return Body::resident;
    return 0;
}
/// Shared memory that a block may have: more than all devices have only if the kernel says so by `shared_limit`.
template <class Body>
constexpr std::size_t shared_limit() {
    if constexpr (requires { Body::shared_limit; }) return Body::shared_limit;
    return most_shared_bytes;
}
/// Registers that a thread may have where so many blocks of so many threads are resident.
constexpr int most_registers(int threads, int resident) {
    return 65'536 / (threads * resident) / 8 * 8;
}

#if !defined(HWNAS_CUDA_EMULATED)

/// The ceiling of registers is part of the kernel's name, so that the assembler's log tells it.
template <class Body, int registers = Body::registers>
__global__ void __launch_bounds__(Body::threads, resident_blocks<Body>())
    kernel(const __grid_constant__ Body body, const Guard guard) {
    if (guard.flag && *guard.flag != guard.value) return;
    body();
}

/// Dynamic shared memory of the block, 16-byte aligned, undefined at first.
template <class T>
__device__ T* shared_memory() {
    extern __shared__ __align__(16) unsigned char hwnas_shared_memory[];
    return reinterpret_cast<T*>(hwnas_shared_memory);
}

/// Runs body() on `blocks` blocks of `threads` threads, each block with `shared` bytes of shared memory.
template <class Body>
void start(const Stream& stream, const Body& body, i64 blocks, int threads = Body::threads, std::size_t shared = 0) {
    if (blocks <= 0) return;
    launch_kernel(stream, reinterpret_cast<const void*>(&kernel<Body, Body::registers>), &body, blocks, threads,
                  shared);
}

#else

template <class T>
T* shared_memory() {
    return static_cast<T*>(emulator::shared_memory());
}

template <class Body>
void start(const Stream& stream, const Body& body, i64 blocks, int threads = Body::threads, std::size_t shared = 0) {
    if (blocks <= 0) return;
    if (stream.guard.flag && *stream.guard.flag != stream.guard.value) return;
    emulator::launch(body, blocks, threads, shared, Body::threads, shared_limit<Body>());
}

#endif

/// Runs the call of struct S at `call`: finds launch(stream, S), which stands with S's kernels. Instantiated in the .cu
/// of its op.
template <class S>
void launch_call(const Stream& stream, const void* call) {
    launch(stream, *static_cast<const S*>(call));
}

/// Blocks of `size` that n items fill.
__host__ __device__ constexpr i64 blocks_of(i64 n, i64 size) {
    return (n + size - 1) / size;
}

/// V neighbouring floats, moved in one access.
template <int V>
struct alignas(4 * V) Pack {
    float v[V];
    __device__ float& operator[](int i) { return v[i]; }
    __device__ float operator[](int i) const { return v[i]; }
};
template <int V>
__device__ Pack<V> load(const float* from) {
    return *reinterpret_cast<const Pack<V>*>(from);
}
template <int V>
__device__ void store(float* to, const Pack<V>& pack) {
    *reinterpret_cast<Pack<V>*>(to) = pack;
}
template <int V>
__device__ Pack<V> zeros() {
    Pack<V> pack;
#pragma unroll
    for (int i = 0; i < V; ++i) pack.v[i] = 0.0f;
    return pack;
}

/// The compiler would make all loads from shared memory at once and keep the multiples of a stride from one use to the
/// next, for which it has not got the registers: loads stay on their side of keep_order(), and of a number that has
/// been through forgotten() it knows nothing.
__device__ inline void keep_order() {
#if defined(__CUDA_ARCH__)
    asm volatile("" ::: "memory");
#endif
}
__device__ inline int forgotten(int number) {
#if defined(__CUDA_ARCH__)
    asm volatile("" : "+r"(number));
#endif
    return number;
}

/// Copies V floats, 1 or 4, to shared memory while the thread goes on: they are there once it has been through
/// copies_arrive(), for others behind a barrier after that. A multiprocessor then waits for memory without registers.
template <int V>
__device__ void copy_async(float* to, const float* from) {
#if defined(HWNAS_CUDA_EMULATED)
    if (emulator::card.copies_later) return emulator::copy_later(to, from, V * sizeof(float));
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
    if constexpr (V == 4)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(address), "l"(from) : "memory");
#else
    store(to, load<V>(from));
#endif
}
/// Waits for this thread's copies.
__device__ inline void copies_arrive() {
#if defined(HWNAS_CUDA_EMULATED)
    emulator::copy_now();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

/// Whether rows of c floats may be read V at a time from every given address; null addresses do not matter.
template <class... Pointers>
bool packs(int v, i64 c, const Pointers*... pointers) {
    return c % v == 0 && ((reinterpret_cast<std::uintptr_t>(pointers) % (4 * static_cast<unsigned>(v)) == 0) && ...);
}

/// The sum of `value` over the 32 threads of a warp, in all of them; always in the same order.
template <class T>
__device__ T warp_sum(T value) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}
/// The sum over a block of whole warps, in all threads; `scratch` is 32 elements of shared memory, free afterwards.
template <class T>
__device__ T block_sum(T value, T* scratch) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    value = warp_sum(value);
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    T total = 0;
    for (unsigned i = 0; i < warps; ++i) total += scratch[i];
    __syncthreads();
    return total;
}

/// One thread an element: f(i) for i < n. F brings its own ceiling of registers.
template <class F>
struct ForEach {
    static constexpr int threads = 256, registers = F::registers;
    F f;
    i64 n;
    __device__ void operator()() const {
        const i64 i = static_cast<i64>(blockIdx.x) * threads + threadIdx.x;
        if (i < n) f(i);
    }
};
template <class F>
void for_each(const Stream& stream, i64 n, const F& f) {
    start(stream, ForEach<F>{f, n}, blocks_of(n, ForEach<F>::threads));
}

}  // namespace hwnas::cuda
