// SPDX-License-Identifier: MIT
// How latencies are measured: statistics of samples, and the timer of the units of prepared networks.
#pragma once

#include <hwnas/latency/model.hpp>
#include <hwnas/supernet/prepared.hpp>

#include <chrono>
#include <ctime>
#include <fstream>
#include <set>

namespace hwnas {

struct ProfileOptions {
    std::optional<std::int64_t> batch = {};     ///< images a run; not set: 1 on a CPU, 64 on a GPU
    int threads = 1;                            ///< of a CPU
    int repeats = 50;                           ///< runs of every network, at least; more until the medians are stable
    int warmup = 5;                             ///< runs before them, not counted
    double seconds = 10;                        ///< no new round of runs after this long
    int networks = 4;                           ///< random networks beside those with one primitive on every edge
    Seed seed = {};                             ///< of the random networks
    std::function<void(double)> progress = {};  ///< called after every round with the fraction done, 0 to 1
};

struct MeasureOptions {
    std::int64_t batch = 1;
    int threads = 1;
    int repeats = 50;  ///< runs at least; more until the median is stable
    int warmup = 5;
    double seconds = 2;  ///< no new run after this long
};
/// Times of a whole prepared network, ms.
struct LatencyMeasurement {
    double median = 0, mean = 0, deviation = 0, p90 = 0;
    std::int64_t count = 0;
};

namespace detail {

using LatencyClock = std::chrono::steady_clock;

inline double milliseconds(LatencyClock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

/// Statistics of samples in ms; their order is lost.
inline LatencyMeasurement latency_statistics(std::vector<double>& samples) {
    LatencyMeasurement result{.count = static_cast<std::int64_t>(samples.size())};
    if (samples.empty()) return result;
    const auto rank = [&](double fraction) {
        const auto at =
            samples.begin() + static_cast<std::ptrdiff_t>(fraction * static_cast<double>(samples.size() - 1) + 0.5);
        std::nth_element(samples.begin(), at, samples.end());
        return *at;
    };
    result.median = rank(0.5);
    result.p90 = rank(0.9);
    const double n = static_cast<double>(samples.size());
    for (const double x : samples) result.mean += x / n;
    for (const double x : samples) result.deviation += (x - result.mean) * (x - result.mean);
    result.deviation = samples.size() > 1 ? std::sqrt(result.deviation / (n - 1)) : 0;
    return result;
}

/// Rounds of runs: at least `repeats`, then until `value()` moves by less than 0.5 % while they grow by a quarter, or
/// time is up.
template <class Round, class Value, class Progress>
void repeat_until_stable(int repeats, double seconds, Round&& round, Value&& value, Progress&& progress) {
    constexpr int most = 5'000, fewest = 3;
    const auto start = LatencyClock::now();
    double previous = -1;
    int next = repeats;
    for (int done = 1; done <= std::max(most, repeats); ++done) {
        round();
        const double spent = milliseconds(LatencyClock::now() - start) / 1e3;
        const bool late = spent >= seconds && done >= std::min(fewest, repeats);
        bool stable = false;
        if (done == next) {
            next += std::max(1, done / 4);
            const double now = value();
            stable = previous >= 0 && std::abs(now - previous) <= 0.005 * now;
            previous = now;
        }
        progress(late || stable ? 1.0 : std::min(0.99, std::max(spent / seconds, 0.5 * done / repeats)));
        if (late || stable) return;
    }
}

/// A device for timing: of a CPU's kind, as many threads as asked for and the kernels of the given one; else itself.
inline Device timing_device(const char* who, const Device& device, int threads) {
    require(threads >= 1, "{}: {} threads, at least 1 is needed", who, threads);
    const cpu::Context* const context = device.backend().cpu();
    return context ? cpu::device({.threads = threads, .isa = context->isa}) : device;
}
inline void check_repeats(const char* who, std::int64_t batch, int repeats, int warmup, double seconds) {
    require(batch >= 1, "{}: batch {}, at least 1 is needed", who, batch);
    require(repeats >= 1 && warmup >= 0, "{}: {} repeats after {} for warming up; at least 1 and 0 are needed", who,
            repeats, warmup);
    require(seconds > 0, "{}: {} seconds, some time is needed", who, seconds);
}
/// Noise, since zeros are not what a network meets.
inline void fill_input(const Prepared& prepared) {
    std::vector<float> values(static_cast<std::size_t>(prepared.input().elements()));
    const auto key = Seed{}.stream("latency input");
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = random::uniform(random::words_at(key, i, 0).w[0]);
    prepared.input().assign(values);
}
inline std::string processor_name(const Device& device) {
    if (!device.backend().cpu()) return device.backend().description();
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (line.rfind("model name", 0) == 0)
            if (const auto colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
    return device.backend().description();
}
inline std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[32];
    return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}
/// What reading the clock costs between two readings, ms, and its smallest step.
inline std::pair<double, double> clock_cost() {
    std::vector<double> gaps;
    double step = 1;
    for (int i = 0; i < 2001; ++i) {
        const auto a = LatencyClock::now(), b = LatencyClock::now();
        gaps.push_back(milliseconds(b - a));
        if (b > a) step = std::min(step, gaps.back());
    }
    return {latency_statistics(gaps).median, step};
}
inline const char* compiler_name() {
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}
inline const char* build_name() {
#if defined(__OPTIMIZE__)
    return "optimized";
#else
    return "not optimized";
#endif
}

/// Times units inside prepared networks.
class UnitTimer {
public:
    UnitTimer(const SearchSpace& space, Device device, std::int64_t batch, const ProfileOptions& options)
        : space_(space),
          device_(std::move(device)),
          batch_(batch),
          options_(options),
          units_(space_units(space, batch)) {}

    /// Prepares the network of a genotype and finds its units in the recorded program.
    void add(const Genotype& genotype) {
        Run run{.prepared = Prepared(Network(space_, genotype, device_, options_.seed), batch_, {.tiled = false}),
                .parts = {}};
        fill_input(run.prepared);
        const Program& program = run.prepared.program();
        std::size_t at = 0;
        // The next `count` entries, or those of exactly this label, are one unit.
        const auto take = [&](const LatencyUnit& unit, const std::string& label,
                              std::optional<std::size_t> count = std::nullopt) {
            const std::size_t begin = at;
            const auto inside = [&] {
                const std::string& found = program.label(at);
                return count ? at - begin < *count && found.rfind(label, 0) == 0 : found == label;
            };
            while (at < program.size() && inside()) ++at;
            require(!count || at - begin == *count, "profile: {} runs {} kernels alone and {} as \"{}\" in network {}",
                    unit.unit, *count, at - begin, label, genotype);
            run.parts.push_back({row_of(unit), begin, at, repeated(program, begin, at)});
        };
        take(units_.stem, "stem");
        const auto choices = genotype.choices(space_.architecture());
        for (int i = 0; i < space_.cells(); ++i) {
            const CellUnits& cell = units_.cells[static_cast<std::size_t>(i)];
            const CellOptions options = space_.cell_options(i, &genotype);
            const std::string name = fmt::format("cell_{}", i);
            for (std::size_t input = 0; input < cell.inputs.size(); ++input)
                take(cell.inputs[input], fmt::format("{}/input_{}", name, input));
            std::set<std::pair<int, int>> seen;
            std::size_t e = 0;
            for (int v = 0; v < options.graph.nodes; ++v) {
                const std::string node = fmt::format("{}/node_{}", name, v);
                bool mixes = false;
                for (; e < options.graph.edges.size() && options.graph.edges[e].to == v + options.graph.inputs; ++e) {
                    const int m = (*options.choices)[e], from = options.graph.edges[e].from;
                    const auto& primitive = options.primitives[static_cast<std::size_t>(m)];
                    const EdgeUnit& edge = cell.edges[e][static_cast<std::size_t>(m)];
                    mixes |= primitive.traits().convolution;
                    if (edge.cost == EdgeCost::own || (edge.cost == EdgeCost::shared && seen.insert({from, m}).second))
                        take(edge.unit, node + "/" + primitive.name(), kernels(primitive, edge.unit));
                }
                if (cell.sums[static_cast<std::size_t>(v)]) take(*cell.sums[static_cast<std::size_t>(v)], node);
                if (cell.transform && mixes) take(*cell.transform, node + "/transform");
            }
        }
        take(units_.head, "head");
        if (at < program.size())
            fail("profile: kernel {} (\"{}\") of network {} belongs to no unit", at, program.label(at), genotype);
        runs_.push_back(std::move(run));
    }

    void warm_up(int times) const {
        for (int i = 0; i < times; ++i)
            for (const auto& run : runs_) run.prepared.run();
    }
    /// Runs every network twice: as a whole, then stamping the clock between units. A device that runs behind its host
    /// is given each unit many times over, and waited for.
    void round(double stamp) {
        for (auto& run : runs_) {
            const Program& program = run.prepared.program();
            auto before = LatencyClock::now();
            program.run();
            device_.backend().synchronize();
            run.whole.push_back(milliseconds(LatencyClock::now() - before));
            before = LatencyClock::now();
            for (const auto& part : run.parts) {
                if (part.begin == part.end) {
                    samples_[part.row].push_back(0);
                    continue;
                }
                if (part.replay) {
                    before = LatencyClock::now();
                    part.replay->run();
                    device_.backend().synchronize();
                    samples_[part.row].push_back(milliseconds(LatencyClock::now() - before) / times_in_graph);
                    continue;
                }
                for (std::size_t entry = part.begin; entry < part.end; ++entry) program.run_entry(entry);
                const auto now = LatencyClock::now();
                samples_[part.row].push_back(std::max(0.0, milliseconds(now - before) - stamp));
                before = LatencyClock::now();
            }
        }
    }
    /// Sum of the medians so far.
    double total() {
        double sum = 0;
        for (auto& samples : samples_) sum += latency_statistics(samples).median;
        return sum;
    }
    /// The rows. Medians of parts fall short of the median of a whole by a few per cent, since their distributions have
    /// long tails: all times are scaled by the one factor that makes the sums over these networks right.
    std::vector<LatencyRow> rows() {
        std::vector<LatencyMeasurement> found;
        for (auto& samples : samples_) found.push_back(latency_statistics(samples));
        double whole = 0, parts = 0;
        for (auto& run : runs_) {
            whole += latency_statistics(run.whole).median;
            for (const auto& part : run.parts) parts += found[part.row].median;
        }
        const double factor = whole > 0 && parts > 0 ? whole / parts : 1.0;
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            rows_[i].count = found[i].count;
            rows_[i].mean = factor * found[i].mean, rows_[i].deviation = factor * found[i].deviation;
            rows_[i].median = factor * found[i].median, rows_[i].p90 = factor * found[i].p90;
        }
        return rows_;
    }

private:
    /// Entries [begin, end) of a program are one unit.
    struct Part {
        std::size_t row, begin, end;
        std::shared_ptr<Replay> replay;  ///< of the unit times_in_graph times, where the host runs ahead
    };
    static constexpr int times_in_graph = 20;
    std::shared_ptr<Replay> repeated(const Program& program, std::size_t begin, std::size_t end) const {
        if (device_.backend().cpu() || begin == end) return nullptr;
        std::vector<GuardedCall> calls;
        for (int i = 0; i < times_in_graph; ++i)
            for (std::size_t entry = begin; entry < end; ++entry) {
                calls.push_back({program.call(entry), {}});
                if (calls.size() > 1) calls.back().after = {static_cast<std::uint32_t>(calls.size() - 2)};
            }
        std::shared_ptr<Replay> replay = device_.backend().prepare(calls);
        require(replay != nullptr,
                "profile: {} cannot be timed kernel by kernel; use a device from cpu::device(), or a table measured "
                "elsewhere",
                device_.name());
        return replay;
    }
    struct Run {
        Prepared prepared;
        std::vector<Part> parts;
        std::vector<double> whole = {};  ///< ms
    };
    std::size_t row_of(const LatencyUnit& unit) {
        const auto [at, fresh] = index_.try_emplace(LatencyRow::key(unit.unit, unit.input, unit.stride), rows_.size());
        if (fresh)
            rows_.push_back({.unit = unit.unit, .input = unit.input, .stride = unit.stride}), samples_.emplace_back();
        return at->second;
    }
    /// Kernels that a primitive starts at a site when folded: two edges of one node may follow each other under one
    /// label.
    std::size_t kernels(const Primitive& primitive, const LatencyUnit& unit) {
        const auto [at, fresh] = kernels_.try_emplace(LatencyRow::key(unit.unit, unit.input, unit.stride), 0);
        if (!fresh) return at->second;
        const Site site{unit.input[3], unit.input[1], unit.input[2], unit.stride};
        PrimitiveParameters<float> parameters(Initializer<float>(device_, options_.seed), primitive.state(site),
                                              site.channels);
        for (auto& conv : parameters.convolutions) conv.fold();
        const auto x = Tensor<float>::full({batch_, site.height, site.width, site.channels}, 0.0f, device_);
        const Program program = Program::record(device_, [&] {
            const NoGrad no_grad;
            primitive(Variable<float>(x), parameters, site, Phase::eval);
        });
        return at->second = program.size();
    }
    SearchSpace space_;
    Device device_;
    std::int64_t batch_;
    ProfileOptions options_;
    SpaceUnits units_;
    std::vector<Run> runs_;
    std::vector<LatencyRow> rows_;
    std::vector<std::vector<double>> samples_;
    std::map<std::string, std::size_t> index_, kernels_;
};

}  // namespace detail

}  // namespace hwnas
