// SPDX-License-Identifier: MIT
// What the benchmarks share: the device, seeded values, and the two rulers that a kernel is held against, a copy of as
// many bytes and the processor's peak of multiply-adds, both measured in the same run on the same threads.
//   HWNAS_THREADS  threads of every benchmark that does not name its own; not set: all cores
//   HWNAS_KERNELS  portable, avx2+fma or avx512; not set: the best that runs here
//   HWNAS_DEVICE   cpu (the default) or cuda. On a GPU, calls are timed inside captured graphs of many of them, hot
//   (the
//                  same arrays again and again) and cold (so many copies of them in turn that no cache holds them all)
#pragma once

#include <hwnas/hwnas.hpp>

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace hwnas::benchmarks {

/// $HWNAS_THREADS, else all cores of the machine.
int threads();
/// $HWNAS_KERNELS, else the best of this processor.
cpu::Isa isa();
/// The device of all benchmarks that do not name a number of threads: $HWNAS_DEVICE.
const Device& device();
bool on_gpu();

/// Seeded values in [-1, 1): never zeros, which some processors multiply faster. On a GPU a tensor repeats the first
/// 262,144 of them.
std::vector<float> random_values(std::int64_t n, std::uint64_t seed);
Tensor<float> random_tensor(const Shape& shape, std::uint64_t seed, const Device& device);

/// Seconds of a copy on the processor that moves `bytes` in all, half read and half written; measured once a size. On a
/// GPU a copy is timed beside every kernel, in turn with it and in a graph like its own.
double copy_seconds(double bytes);
/// FLOP/s of independent multiply-adds in registers, on device(), in the instruction set its kernels use; on a GPU as
/// gpu_floor() has it.
double fma_peak();
/// What a GPU can do a second: bytes by a cold copy of 1 GB, measured in the same run; float32 operations by its
/// multiprocessors and the clock in $HWNAS_GPU_MHZ, which gpu_report.sh takes from nvidia-smi, 0 where that is not set.
struct GpuFloor {
    double bytes = 0, flops = 0;
    double seconds(double bytes_moved, double operations) const {
        return std::max(bytes_moved / bytes, flops > 0 ? operations / flops : 0.0);
    }
};
const GpuFloor& gpu_floor();

/// What one call does: bytes it has to move if every array is read or written once, and operations on floats, a
/// multiply-add being two. 0: not counted.
struct Work {
    double bytes = 0, flops = 0;
    bool of_peak = false;  ///< limited by arithmetic where its data lies in cache: report percent of the peak, too
};

/// Adds counters GB/s, GFLOP/s, of_copy (percent: a copy of as many bytes by this) and of_peak (percent).
void report(benchmark::State& state, const Work& work, double seconds_per_call);

/// The loop of a benchmark of one call, and report().
template <class F>
void measure(benchmark::State& state, const Work& work, F&& call) {
    using Clock = std::chrono::steady_clock;
    call();  // pages and caches
    const auto start = Clock::now();
    for (auto _ : state) call();
    device().backend().synchronize();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    report(state, work, seconds / static_cast<double>(state.iterations()));
}

/// Registers a benchmark of real time, shown in `unit`.
template <class F>
benchmark::internal::Benchmark* add_benchmark(const std::string& name, F&& run,
                                              benchmark::TimeUnit unit = benchmark::kMicrosecond) {
    return benchmark::RegisterBenchmark(name.c_str(), std::forward<F>(run))->UseRealTime()->Unit(unit);
}

/// A piece of work on arrays of its own; owner: what keeps them.
struct Copied {
    std::vector<GuardedCall> calls;
    std::shared_ptr<void> owner;
};
/// All calls of a step; the program is kept, and `owner` with it.
Copied copied(const Program& program, std::shared_ptr<void> owner = nullptr);
/// Registers <name>/hot and <name>/cold for a GPU, on one and on many results of make(): median, p10_us and p90_us of
/// up to 31 samples, of_copy as the median of the ratios to the copy of the same turn, and, cold, of_floor.
void add_graph_benchmark(const std::string& name, const Work& work, std::function<Copied()> make);

/// The built-in spaces at the sizes of the documentation: 28 x 28 x 1 images, 10 classes, 16 channels, 3 cells.
const std::vector<std::string>& spaces();
/// A fixed member of a space that uses all its primitives: row r of its choices has primitive r modulo their number.
Genotype mixed_genotype(const SearchSpace& space);
/// Multiply-accumulates of one image forward: of a network, and of the relaxed network of a space, where the
/// convolution and the identity of an edge are one filter if both are bare.
double macs(const SearchSpace& space, const Genotype& genotype);
double relaxed_macs(const SearchSpace& space);
/// Bytes that the cells of a network move for one image forward if every vertex passes once.
double cell_bytes(const SearchSpace& space);
/// Adds the counter of_floor: percent of the images a second at which the operations of an image would run at the peak
/// of `threads` threads; on a GPU its operations or its bytes, whichever take longer.
void report_floor(benchmark::State& state, std::int64_t images, const Work& an_image, int threads);
/// 55,000 images of random bytes and random labels: what a step costs does not depend on what it sees.
const Dataset& random_images();

}  // namespace hwnas::benchmarks
