// SPDX-License-Identifier: MIT
#include "support.hpp"
#include "turns.hpp"

#include <charconv>
#include <cstdlib>
#include <map>
#include <regex>

namespace hwnas::benchmarks {

namespace {

using Clock = std::chrono::steady_clock;

/// Seconds of one call: the median of nine samples of 2 ms or more.
template <class F>
double median_seconds(F&& call) {
    std::int64_t calls = 1;
    const auto sample = [&] {
        const auto start = Clock::now();
        for (std::int64_t i = 0; i < calls; ++i) call();
        return std::chrono::duration<double>(Clock::now() - start).count();
    };
    while (sample() < 2e-3) calls *= 2;
    std::vector<double> samples;
    for (int i = 0; i < 9; ++i) samples.push_back(sample() / static_cast<double>(calls));
    return quantile(samples, 0.5);
}

/// As many copies as no cache of a GPU holds, or one.
std::vector<Copied> copies_of(const std::function<Copied()>& make, double bytes, bool cold) {
    std::vector<Copied> copies;
    for (int i = 0; i < copies_of_arrays(bytes, cold); ++i) copies.push_back(make());
    return copies;
}
/// One of the copies, which a GPU does in turn, many times over.
Timed timed_on_gpu(const std::vector<Copied>& copies) {
    std::int64_t all = 0;
    for (const auto& copy : copies) all += static_cast<std::int64_t>(copy.calls.size());
    return long_enough(static_cast<std::int64_t>(copies.size()), all, [&](std::int64_t times) {
        std::vector<GuardedCall> calls;
        for (std::int64_t i = 0; i < times; ++i)
            for (const auto& copy : copies) calls.insert(calls.end(), copy.calls.begin(), copy.calls.end());
        for (std::uint32_t i = 1; i < calls.size(); ++i) calls[i].after = {i - 1};  // one after the other
        return [copies, replay = std::shared_ptr<Replay>(device().backend().prepare(calls))] {
            replay->run();
            device().backend().synchronize();
        };
    });
}

/// A copy on a GPU that moves `bytes` in all, half read and half written.
Timed gpu_copy(double bytes, bool cold) {
    const auto make = [bytes] {
        const auto from = random_tensor({std::max<std::int64_t>(1, static_cast<std::int64_t>(bytes / 8))}, 1, device());
        const auto program = Program::record(device(), [&] {
            const auto to = Tensor<float>::empty(from.shape(), device());
            submit(device(), contract::Copy<float>{to.data(), from.data(), from.elements(), 0});
        });
        return Copied{{{program.call(0), {}}}, std::make_shared<std::pair<Tensor<float>, Program>>(from, program)};
    };
    return timed_on_gpu(copies_of(make, bytes, cold));
}

cpu::Context& context() {
    return *device().backend().cpu();
}

constexpr int chains = 10;  // four cycles of latency on two units: eight would do
constexpr int links = 20'000;

/// Chains of multiply-adds, each link waiting for the one before it. They stay finite: x / 2 + 1 goes to 2.
template <class T, int B>
struct FmaChains {
    [[gnu::always_inline]] static void run(float* out) {
        cpu::Vec<T, B> x[chains], half, one;
        cpu::splat(half, 0.5f), cpu::splat(one, 1.0f);
        for (int i = 0; i < chains; ++i) cpu::splat(x[i], out[i]);
        for (int link = 0; link < links; ++link) {
#pragma GCC unroll 16
            for (int i = 0; i < chains; ++i) x[i] = x[i] * half + one;
        }
        for (int i = 0; i < chains; ++i) cpu::store(out + i * cpu::lanes<T, B>, x[i]);
    }
};

/// The chains on every thread, in pieces small enough to be shared out evenly; returns their operations.
double run_chains() {
    const std::int64_t pieces = 4 * threads();
    context().parallel(pieces, [&](std::int64_t piece) {
        float out[chains * cpu::lanes<float, 64>];
        std::fill(std::begin(out), std::end(out), static_cast<float>(piece));
        cpu::dispatch_wide<float, FmaChains>(context().isa, static_cast<float*>(out));
        benchmark::DoNotOptimize(out);
    });
    const int lanes = context().isa == cpu::Isa::avx512 ? cpu::lanes<float, 64> : cpu::lanes<float>;
    return 2.0 * chains * lanes * links * static_cast<double>(pieces);
}

/// A copy of half the bytes.
class Copy {
public:
    explicit Copy(double bytes)
        : half_(std::max<std::int64_t>(64, static_cast<std::int64_t>(bytes / 2))),
          from_(random_tensor({(half_ + 3) / 4}, 1, device())),
          to_(random_tensor(from_.shape(), 2, device())) {}
    void run() const {
        const auto* from = reinterpret_cast<const std::byte*>(from_.data());
        auto* to = reinterpret_cast<std::byte*>(to_.data());
        constexpr std::int64_t grain = cpu::stream_grain * static_cast<std::int64_t>(sizeof(float));
        context().for_range(half_, grain, [&](std::int64_t begin, std::int64_t end) {
            std::memcpy(to + begin, from + begin, static_cast<std::size_t>(end - begin));
        });
        benchmark::ClobberMemory();
    }

private:
    std::int64_t half_;
    Tensor<float> from_, to_;
};

}  // namespace

int threads() {
    static const int count = [] {
        const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
        const char* text = std::getenv("HWNAS_THREADS");
        if (!text || !*text) return cores;
        const std::string_view digits(text);
        int value = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (error != std::errc() || end != digits.data() + digits.size() || value < 1 || value > 1024) {
            fmt::print(stderr, "HWNAS_THREADS is \"{}\", expected a number from 1 to 1024\n", text);
            std::exit(2);
        }
        return value;
    }();
    return count;
}

cpu::Isa isa() {
    static const cpu::Isa chosen = [] {
        const char* text = std::getenv("HWNAS_KERNELS");
        if (!text || !*text) return cpu::best_isa();
        for (const auto isa : {cpu::Isa::portable, cpu::Isa::avx2, cpu::Isa::avx512})
            if (text == cpu::isa_name(isa) && isa <= cpu::best_isa()) return isa;
        fmt::print(stderr, "HWNAS_KERNELS is \"{}\", expected portable, avx2+fma or avx512, at most {} here\n", text,
                   cpu::isa_name(cpu::best_isa()));
        std::exit(2);
    }();
    return chosen;
}

const Device& device() {
    static const Device shared = [] {
        const char* text = std::getenv("HWNAS_DEVICE");
        const std::string_view name = text && *text ? text : "cpu";
        if (name == "cpu") return cpu::device({.threads = threads(), .isa = isa()});
        if (name == "cuda" && cuda::device_count() > 0) return cuda::device(0);
        fmt::print(stderr, "HWNAS_DEVICE is \"{}\": {}\n", name,
                   name == "cuda" ? "there is no CUDA device here" : "expected cpu or cuda");
        std::exit(2);
    }();
    return shared;
}
bool on_gpu() {
    return device().backend().cpu() == nullptr;
}

std::vector<float> random_values(std::int64_t n, std::uint64_t seed) {
    std::vector<float> values(static_cast<std::size_t>(n));
    const auto key = Seed{seed}.stream("benchmark");
    for (std::size_t i = 0; i < values.size(); i += 4) {
        const auto words = random::words_at(key, i, 0);
        for (std::size_t j = i; j < std::min(values.size(), i + 4); ++j)
            values[j] = 2 * random::uniform(words.w[j - i]) - 1;
    }
    return values;
}

Tensor<float> random_tensor(const Shape& shape, std::uint64_t seed, const Device& on) {
    if (on.backend().cpu()) return Tensor<float>::from(random_values(shape.elements(), seed), shape, on);
    // A GPU gets a piece of the host's making and repeats it by itself: cold benchmarks have hundreds of megabytes.
    constexpr std::int64_t piece = 1 << 18;
    static std::map<std::uint64_t, Tensor<float>> pieces;
    const auto recording = std::exchange(Recording::active(), nullptr);
    auto& first = pieces[seed];
    if (!first.defined()) first = Tensor<float>::from(random_values(piece, seed), {piece}, on);
    const auto tensor = Tensor<float>::empty(shape, on);
    const std::int64_t n = shape.elements();
    submit(on, contract::Copy<float>{tensor.data(), first.data(), std::min(piece, n), 0});
    for (std::int64_t done = piece; done < n; done *= 2)
        submit(on, contract::Copy<float>{tensor.data() + done, tensor.data(), std::min(done, n - done), 0});
    Recording::active() = recording;
    return tensor;
}

double copy_seconds(double bytes) {
    static std::map<double, double> known;
    const auto [entry, fresh] = known.try_emplace(bytes);
    if (fresh) {
        const Copy copy(bytes);
        entry->second = median_seconds([&] { copy.run(); });
    }
    return entry->second;
}

double fma_peak() {
    static const double peak = [] {
        if (on_gpu()) return gpu_floor().flops;
        double flops = 0;
        const double seconds = median_seconds([&] { flops = run_chains(); });
        return flops / seconds;
    }();
    return peak;
}

const GpuFloor& gpu_floor() {
    static const GpuFloor floor = [] {
        GpuFloor found;
        constexpr double bytes = 1e9;
        found.bytes = bytes / quantile(sampled_in_turn({gpu_copy(bytes, true)})[0], 0.5);
        const char* clock = std::getenv("HWNAS_GPU_MHZ");
        const auto text = device().backend().description();
        std::smatch m;
        if (clock && std::regex_search(text, m, std::regex(R"(capability (\d+)\.(\d+), (\d+) multiprocessors)"))) {
            const int kind = 10 * std::stoi(m[1]) + std::stoi(m[2]), lanes = kind <= 80 ? 64 : 128;
            found.flops = 2.0 * lanes * std::stoi(m[3]) * std::atof(clock) * 1e6;
        }
        return found;
    }();
    return floor;
}

void report(benchmark::State& state, const Work& work, double seconds_per_call) {
    if (work.bytes > 0) {
        state.counters["GB/s"] = work.bytes / seconds_per_call * 1e-9;
        state.counters["of_copy"] = 100 * copy_seconds(work.bytes) / seconds_per_call;
    }
    if (work.flops > 0) state.counters["GFLOP/s"] = work.flops / seconds_per_call * 1e-9;
    if (work.of_peak && fma_peak() > 0) state.counters["of_peak"] = 100 * work.flops / seconds_per_call / fma_peak();
}

Copied copied(const Program& program, std::shared_ptr<void> owner) {
    Copied all{.calls = {}, .owner = std::make_shared<std::pair<Program, std::shared_ptr<void>>>(program, owner)};
    for (std::size_t i = 0; i < program.size(); ++i) all.calls.push_back({program.call(i), {}});
    return all;
}

void add_graph_benchmark(const std::string& name, const Work& work, std::function<Copied()> make) {
    const auto measured = [=](benchmark::State& state, bool cold) {
        std::vector<Timed> timed{timed_on_gpu(copies_of(make, work.bytes, cold))};
        if (work.bytes > 0) timed.push_back(gpu_copy(work.bytes, cold));
        const auto samples = sampled_in_turn(timed);
        const double seconds = quantile(samples[0], 0.5);
        for (auto _ : state) state.SetIterationTime(seconds);
        state.counters["p10_us"] = 1e6 * quantile(samples[0], 0.1);
        state.counters["p90_us"] = 1e6 * quantile(samples[0], 0.9);
        if (work.flops > 0) state.counters["GFLOP/s"] = work.flops / seconds * 1e-9;
        if (work.bytes <= 0) return;
        state.counters["GB/s"] = work.bytes / seconds * 1e-9;
        std::vector<double> of_copy;
        for (std::size_t i = 0; i < samples[0].size(); ++i) of_copy.push_back(100 * samples[1][i] / samples[0][i]);
        state.counters["of_copy"] = quantile(of_copy, 0.5);
        if (cold) state.counters["of_floor"] = 100 * gpu_floor().seconds(work.bytes, work.flops) / seconds;
    };
    for (const bool cold : {false, true})
        benchmark::RegisterBenchmark((name + (cold ? "/cold" : "/hot")).c_str(),
                                     [=](benchmark::State& state) { measured(state, cold); })
            ->UseManualTime()
            ->Iterations(1)
            ->Unit(benchmark::kMicrosecond);
}

const std::vector<std::string>& spaces() {
    static const std::vector<std::string> names{"paper", "pointwise", "separable"};
    return names;
}

Genotype mixed_genotype(const SearchSpace& space) {
    const auto& architecture = space.architecture();
    std::vector<int> choices;
    for (int row = 0; row < architecture.rows(); ++row) choices.push_back(row % architecture.k());
    return Genotype::from_choices(architecture, choices);
}

double macs(const SearchSpace& space, const Genotype& genotype) {
    return static_cast<double>(Network::network_size(space, genotype).macs);
}
double relaxed_macs(const SearchSpace& space) {
    // What one primitive adds on every edge it adds to all others: sums over networks of one primitive each, which have
    // the rest in common. A pool has no multiplications, and no transform behind it.
    const auto& architecture = space.architecture();
    double sum = 0, rest = HUGE_VAL;
    for (int m = 0; m < architecture.k(); ++m) {
        const std::vector<int> everywhere(static_cast<std::size_t>(architecture.rows()), m);
        const double one = macs(space, Genotype::from_choices(architecture, everywhere));
        sum += one, rest = std::min(rest, one);
    }
    return sum - (architecture.k() - 1) * rest;
}
double cell_bytes(const SearchSpace& space) {
    double elements = 0;
    for (int i = 0; i < space.options().cells; ++i) {
        const auto cell = space.cell_options(i);
        elements += static_cast<double>(cell.channels * cell.height * cell.width) / (cell.stride * cell.stride);
    }
    return sizeof(float) * elements * (2 + space.options().nodes);
}
void report_floor(benchmark::State& state, std::int64_t images, const Work& an_image, int used) {
    const double floor = on_gpu() ? gpu_floor().seconds(an_image.bytes, an_image.flops)
                                  : an_image.flops / (fma_peak() / threads() * used);
    state.counters["of_floor"] =
        benchmark::Counter(100 * static_cast<double>(images) * floor, benchmark::Counter::kIsRate);
}

const Dataset& random_images() {
    static const Dataset data = [] {
        constexpr std::int64_t count = 55'000, classes = 10;
        std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count * 28 * 28));
        const auto key = Seed{7}.stream("benchmark/images");
        for (std::size_t i = 0; i < bytes.size(); i += sizeof(random::Words)) {
            const auto words = random::words_at(key, i, 0);
            std::memcpy(bytes.data() + i, &words, std::min(sizeof words, bytes.size() - i));
        }
        std::vector<std::int32_t> labels;
        for (std::int64_t i = 0; i < count; ++i)
            labels.push_back(
                static_cast<std::int32_t>(random::words_at(key, static_cast<std::uint64_t>(i), 1).w[0] % classes));
        return dataset_from_tensors(std::move(bytes), std::move(labels),
                                    {.name = "random", .image = {28, 28, 1}, .classes = classes});
    }();
    return data;
}

namespace {

/// What the results are of, into the head of every report.
[[maybe_unused]] const bool described = [] {
    benchmark::AddCustomContext("hwnas_version", version);
    benchmark::AddCustomContext("hwnas_compiler",
                                fmt::format("{}, {}", hwnas::detail::compiler_name(), hwnas::detail::build_name()));
    benchmark::AddCustomContext("hwnas_threads", fmt::format("{}", threads()));
    benchmark::AddCustomContext("hwnas_kernels", std::string(cpu::isa_name(isa())));
    benchmark::AddCustomContext("hwnas_device", device().backend().description());
    return true;
}();

[[maybe_unused]] const bool fma = [] {
    if (!on_gpu())
        add_benchmark("peak/fma", [](benchmark::State& state) {
            measure(state, {.flops = run_chains(), .of_peak = true}, [] { run_chains(); });
        });
    return true;
}();

/// What floors on a GPU are made of, and where both come from.
[[maybe_unused]] const bool floors = [] {
    if (on_gpu())
        benchmark::RegisterBenchmark("peak/floor",
                                     [](benchmark::State& state) {
                                         for (auto _ : state) state.SetIterationTime(1e9 / gpu_floor().bytes);
                                         state.counters["GB/s"] = 1e-9 * gpu_floor().bytes;
                                         state.counters["GFLOP/s"] = 1e-9 * gpu_floor().flops;
                                         state.SetLabel(
                                             "bytes: a cold copy of 1 GB; operations: 2 x lanes x "
                                             "multiprocessors x $HWNAS_GPU_MHZ");
                                     })
            ->UseManualTime()
            ->Iterations(1)
            ->Unit(benchmark::kMicrosecond);
    return true;
}();

/// Bytes in all: one that fits two cores' caches, one that fits none.
[[maybe_unused]] const bool copies = [] {
    if (on_gpu()) return true;
    for (const int kilobytes : {200, 100'000})
        add_benchmark(fmt::format("peak/copy/{}KB", kilobytes), [kilobytes](benchmark::State& state) {
            const Copy copy(1e3 * kilobytes);
            measure(state, {.bytes = 1e3 * kilobytes}, [&] { copy.run(); });
        });
    return true;
}();

}  // namespace

}  // namespace hwnas::benchmarks
