// SPDX-License-Identifier: MIT
// How latencies are measured: statistics of samples, and the timer of the units of prepared networks.
#pragma once

#include <hwnas/latency/model.hpp>
#include <hwnas/latency/statistics.hpp>
#include <hwnas/supernet/prepared.hpp>

#include <ctime>
#include <fstream>
#include <set>

namespace hwnas {

/// How profile() and profile_networks() measure.
struct ProfileOptions {
    std::optional<std::int64_t> batch = {};  ///< images a run; not set: 1 on a CPU, 64 on a GPU
    int threads = 1;                         ///< of a CPU; the device's own number does not matter
    int repeats = 50;                        ///< runs of every network, at least; more until medians are known to 2 %
    int warmup = 5;                          ///< runs before them, not counted
    double seconds = 10;                     ///< no new round of runs after this long
    int networks = 4;                        ///< random networks beside those with one primitive on every edge
    int checks = 40;  ///< other random networks, measured whole to check the table; 0: none, and the table says nothing
    Seed seed = {};   ///< the random networks are drawn from it
    std::function<void(double)> progress = {};  ///< called after every round with the fraction done, 0 to 1
};

/// How measure() and measure_all() time whole networks.
struct MeasureOptions {
    std::int64_t batch = 1;  ///< images a run
    int threads = 1;         ///< of a CPU; the device's own number does not matter
    int repeats = 50;        ///< runs at least; more until the 95 % confidence interval of the median is under 2 %
    int warmup = 5;          ///< runs before them, not counted
    double seconds = 2;      ///< no new run after this long
};
namespace detail {

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

/// One run that is not timed: what ran before has taken the caches, and a network that runs by itself finds its weights
/// and buffers there. Without it many networks in turn take up to twice their time.
inline void refill_caches(const Program& program, const Device& device) {
    program.run();
    device.backend().synchronize();
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
            run.parts.push_back({{row_of(unit)}, begin, at, repeated(program, begin, at)});
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
                std::vector<std::size_t> sum;  // the rows of what the node does in one kernel
                if (const auto& unit = cell.sums[static_cast<std::size_t>(v)]) sum.push_back(row_of(*unit));
                for (; e < options.graph.edges.size() && options.graph.edges[e].to == v + options.graph.inputs; ++e) {
                    const int m = (*options.choices)[e], from = options.graph.edges[e].from;
                    const auto& primitive = options.primitives[static_cast<std::size_t>(m)];
                    const EdgeUnit& edge = cell.edges[e][static_cast<std::size_t>(m)];
                    mixes |= primitive.traits().convolution;
                    if (edge.cost == EdgeCost::own && edge.unit.stride == 1 &&
                        primitive.traits().bare == BareForm::depthwise_conv_3x3)
                        sum.push_back(row_of(edge.unit));
                    else if (edge.cost == EdgeCost::own ||
                             (edge.cost == EdgeCost::shared && seen.insert({from, m}).second))
                        take(edge.unit, node + "/" + primitive.name(), kernels(primitive, edge.unit));
                }
                if (!sum.empty()) {
                    const std::size_t begin = at;
                    while (at < program.size() && program.label(at) == node) ++at;
                    run.parts.push_back({std::move(sum), begin, at, repeated(program, begin, at)});
                }
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
        ++rounds_;
        for (auto& run : runs_) {
            const Program& program = run.prepared.program();
            refill_caches(program, device_);
            auto before = LatencyClock::now();
            program.run();
            device_.backend().synchronize();
            run.whole.push_back(milliseconds(LatencyClock::now() - before));
            before = LatencyClock::now();
            for (auto& part : run.parts) {
                auto& samples = part.rows.size() == 1 ? samples_[part.rows[0]] : part.together;
                if (part.begin == part.end) {
                    samples.push_back(0);
                    continue;
                }
                if (part.replay) {
                    before = LatencyClock::now();
                    part.replay->run();
                    device_.backend().synchronize();
                    samples.push_back(milliseconds(LatencyClock::now() - before) / times_in_graph);
                    continue;
                }
                for (std::size_t entry = part.begin; entry < part.end; ++entry) program.run_entry(entry);
                const auto now = LatencyClock::now();
                samples.push_back(std::max(0.0, milliseconds(now - before) - stamp));
                before = LatencyClock::now();
            }
        }
    }
    /// Whether every median is known to 2 %, or to one step of the clock, or to a thousandth of a network.
    bool settled(double step) const { return quality(statistics(drift()), step).settled == std::ssize(rows_); }
    /// The rows, and how they were come by. Medians of parts fall short of the median of a whole by a few per cent,
    /// since their distributions have long tails: all times are scaled by the one factor that makes the sums over these
    /// networks right.
    std::pair<std::vector<LatencyRow>, LatencyQuality> rows(double step) const {
        const Drift moved = drift();
        const auto found = statistics(moved);
        double whole = 0, parts = 0;
        for (const auto& run : runs_) {
            auto samples = moved.corrected(run.whole, rounds_);
            whole += latency_statistics(samples).median;
            for (const auto& part : run.parts)
                for (const std::size_t row : part.rows) parts += found[row].median;
        }
        const double factor = whole > 0 && parts > 0 ? whole / parts : 1.0;
        auto rows = rows_;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            rows[i].count = found[i].count;
            rows[i].mean = factor * found[i].mean, rows[i].deviation = factor * found[i].deviation;
            rows[i].median = factor * found[i].median, rows[i].p90 = factor * found[i].p90;
            if (std::isfinite(found[i].high)) rows[i].interval = {factor * found[i].low, factor * found[i].high};
        }
        auto quality = this->quality(found, step);
        quality.drift = moved.range();
        quality.factor = factor;
        return {std::move(rows), quality};
    }

private:
    /// Entries [begin, end) of a program: one unit, or several that one kernel does together, a row each.
    struct Part {
        std::vector<std::size_t> rows;
        std::size_t begin, end;
        std::shared_ptr<Replay> replay;     ///< of the part times_in_graph times, where the host runs ahead
        std::vector<double> together = {};  ///< ms, where there is more than one row
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
    Drift drift() const {
        std::vector<const std::vector<double>*> wholes;
        for (const auto& run : runs_) wholes.push_back(&run.whole);
        return Drift(wholes);
    }
    std::vector<LatencyMeasurement> statistics(const Drift& moved) const {
        std::vector<LatencyMeasurement> found;
        for (const auto& samples : samples_) {
            auto corrected = moved.corrected(samples, rounds_);
            found.push_back(latency_statistics(corrected));
        }
        take_apart(found, moved);
        return found;
    }
    /// The statistics of rows that no kernel does alone: by least squares, what each adds to the others of its parts,
    /// not below 0. Spread and interval cannot be taken apart: they are those of the parts, on average.
    void take_apart(std::vector<LatencyMeasurement>& found, const Drift& moved) const {
        std::vector<std::pair<const Part*, LatencyMeasurement>> parts;
        for (const auto& run : runs_)
            for (const auto& part : run.parts) {
                if (part.rows.size() < 2) continue;
                auto corrected = moved.corrected(part.together, rounds_);
                parts.emplace_back(&part, latency_statistics(corrected));
            }
        std::set<std::size_t> unknown;
        for (const auto& [part, time] : parts)
            for (const std::size_t row : part->rows)
                if (samples_[row].empty()) unknown.insert(row);
        for (const auto value : {&LatencyMeasurement::median, &LatencyMeasurement::mean, &LatencyMeasurement::p90})
            for (int sweep = 0; sweep < 50; ++sweep)  // of coordinate descent; one unknown a part needs one
                for (const std::size_t row : unknown) {
                    double product = 0, square = 0;
                    for (const auto& [part, time] : parts) {
                        double n = 0, rest = time.*value;
                        for (const std::size_t other : part->rows) other == row ? n += 1 : rest -= found[other].*value;
                        product += n * rest, square += n * n;
                    }
                    found[row].*value = std::max(0.0, product / square);
                }
        for (const std::size_t row : unknown) {
            auto& measured = found[row];
            double deviation = 0, half = 0, outliers = 0, count = 0;
            for (const auto& [part, time] : parts) {
                if (std::count(part->rows.begin(), part->rows.end(), row) == 0) continue;
                deviation += time.deviation, half += (time.high - time.low) / 2, outliers += time.outliers, count += 1;
                measured.count += time.count;
            }
            measured.deviation = deviation / count, measured.outliers = outliers / count;
            measured.p90 = std::max(measured.p90, measured.median);
            measured.low = std::max(0.0, measured.median - half / count);
            measured.high = measured.median + half / count;
        }
    }
    LatencyQuality quality(const std::vector<LatencyMeasurement>& found, double step) const {
        LatencyQuality quality{.rounds = static_cast<std::int64_t>(rounds_)};
        double whole = HUGE_VAL, samples = 0;
        for (const auto& run : runs_) {
            auto copy = run.whole;
            whole = std::min(whole, latency_statistics(copy).median);
        }
        for (const auto& row : found) {
            quality.settled += hwnas::detail::settled(row, std::max(step, 1e-3 * whole));
            if (row.median > 0 && std::isfinite(row.high))
                quality.widest = std::max(quality.widest, (row.high - row.low) / row.median);
            quality.outliers += row.outliers * static_cast<double>(row.count);
            samples += static_cast<double>(row.count);
        }
        if (samples > 0) quality.outliers /= samples;
        return quality;
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
        parameters.fold();
        const auto x = Tensor<float>::full({batch_, site.height, site.width, site.channels}, 0.0f, device_);
        const Program program = Program::record(device_, [&] {
            const NoGrad no_grad;
            primitive.normalized(Variable<float>(x), parameters, site, Phase::eval);
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
    std::size_t rounds_ = 0;
};

}  // namespace detail

}  // namespace hwnas
