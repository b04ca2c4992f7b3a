// SPDX-License-Identifier: MIT
// What the commands share: data, device, signals, what is printed.
#include "program.hpp"

#include <hwnas/cuda.hpp>
#include <hwnas/io/checkpoint.hpp>
#include <hwnas/io/genotype.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <thread>

#include <sys/resource.h>
#include <unistd.h>

namespace app {
namespace {

std::string program_name = "fashion_mnist";
std::atomic<bool> stop{false}, stoppable{false};
std::mutex note_guard;
std::string note = "interrupted";

std::string count(std::int64_t n) {
    return hwnas::with_commas(n);
}

}  // namespace

std::string shell_word(std::string_view word) {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
    if (!word.empty() && word.find_first_not_of(plain) == std::string_view::npos) return std::string(word);
    std::string text = "'";
    for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return text + "'";
}

void set_program(const char* argv0) {
    const char* started_by = std::getenv("HWNAS_COMMAND");
    if (started_by && *started_by)
        program_name = started_by;
    else if (argv0 && *argv0)
        program_name = argv0;
}

std::string command_line(std::initializer_list<std::string_view> words) {
    std::string text = shell_word(program_name);
    for (const auto word : words) text += " " + shell_word(word);
    return text;
}

void catch_signals() {
    std::signal(SIGXFSZ, SIG_IGN);  // a file over the size limit is then an error of write(), with a message
    std::signal(SIGPIPE, SIG_IGN);  // and so is a reader that has gone: `search | tee`, Ctrl-C
    sigset_t caught;
    ::sigemptyset(&caught);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction now{};
        ::sigaction(number, nullptr, &now);
        if (now.sa_handler != SIG_IGN) ::sigaddset(&caught, number);  // nohup and background jobs of scripts mean it
    }
    // One thread waits for them and all others block them, so that no system call is ever cut short.
    ::pthread_sigmask(SIG_BLOCK, &caught, nullptr);
    std::thread([caught] {
        using Clock = std::chrono::steady_clock;
        Clock::time_point first{};
        for (int number = 0; ::sigwait(&caught, &number) == 0;) {
            // timeout(1) and terminals that close signal twice and mean it once.
            if (stop && Clock::now() - first < std::chrono::milliseconds(500)) continue;
            first = Clock::now();
            if (!stoppable || stop.exchange(true)) {
                const std::lock_guard lock(note_guard);
                complain(note);
                ::_exit(exit_interrupted);
            }
        }
    }).detach();
}
void interrupt_note(std::string text) {
    const std::lock_guard lock(note_guard);
    note = std::move(text);
}
bool stop_requested() {
    return stop;
}
Stoppable::Stoppable() {
    stoppable = true;
}
Stoppable::~Stoppable() {
    stoppable = false;
}

void print(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}
void complain(const std::string& text) {
    const std::string line = "fashion_mnist: " + text + "\n";
    std::fwrite(line.data(), 1, line.size(), stderr);
}
void say(std::string_view name, const std::string& text) {
    print(fmt::format("{:<10} {}\n", name, text));
}

hwnas::io::FashionMnist load_data(const Surroundings& around, std::int64_t images, std::int64_t validation) {
    auto data = hwnas::io::fashion_mnist({.directory = around.data, .validation = validation, .verify = around.verify});
    if (images > 0 && images < data.train.count) data.train = data.train.first(images);
    return data;
}

void say_data(const hwnas::io::FashionMnist& data) {
    say("data", fmt::format("Fashion-MNIST, {} x {} pixels: {} images to train on, {} to validate, {} to test",
                            data.test.image[0], data.test.image[1], count(data.train.count),
                            count(data.validation.count), count(data.test.count)));
}

hwnas::SearchSpace make_space(const std::string& name, std::int64_t channels, const hwnas::Dataset& data) {
    return hwnas::SearchSpace::named(
        name, {.image = {data.image[0], data.image[1], data.image[2]}, .classes = data.classes, .channels = channels});
}

std::string why_no_device(const hwnas::Error& error) {
    std::string text = error.what();
    if (constexpr std::string_view begin = "cuda::device: "; text.starts_with(begin)) text.erase(0, begin.size());
    const auto advice = text.rfind("; use ");
    if (advice != text.npos && text.find("hwnas::", advice) != text.npos) text.resize(advice);
    return text;
}

hwnas::Device make_device(const Surroundings& around) {
    const std::string& name = around.device;
    if (name == "cpu" || (name == "auto" && hwnas::cuda::device_count() == 0))
        return hwnas::cpu::device({.threads = around.threads});
    try {
        return hwnas::cuda::device(name.rfind("cuda:", 0) == 0 ? std::stoi(name.substr(5)) : 0);
    } catch (const hwnas::Error& error) {
        const auto text = why_no_device(error);
        const bool built = text.find("no CUDA backend") == std::string::npos;
        hwnas::fail("--device {}: {}; use --device cpu{}", name, text,
                    built ? "" : ", or build with CUDA (docs/cuda.md)");
    }
}

hwnas::Genotype read_arch(const std::string& arch, std::string& space, bool space_given) {
    const bool text = arch.find('|') != std::string::npos;
    if (!text && !fs::exists(arch))
        throw UsageError(fmt::format(
            "--arch: \"{}\" is neither a genotype (normal:|op~from|...| reduction:|...|) nor a file of one", arch));
    const std::string where = text ? "--arch" : "--arch " + arch;
    try {
        auto genotype = text ? hwnas::io::genotype_from_text(arch, where) : hwnas::io::read_genotype(arch);
        if (!genotype.space.empty() && !space_given) space = genotype.space;
        if (!genotype.space.empty() && genotype.space != space)
            hwnas::fail("a genotype of space {}, {} is asked for", genotype.space, space);
        genotype.space = space;
        // Whether it fits is for the space to say: here, as a mistake in --arch.
        (void)genotype.choices(hwnas::SearchSpace::named(space).architecture());
        return genotype;
    } catch (const hwnas::Error& error) {
        std::string said = hwnas::io::detail::shown(error.what(), 400);  // it may quote the file
        for (const auto& name : {where, arch})
            if (said.starts_with(name + ": ")) said.erase(0, name.size() + 2);
        throw UsageError(where + ": " + said);
    }
}

std::string arch_name(const hwnas::Genotype& genotype) {
    return "arch-" + hwnas::io::sha256(genotype.space + " " + genotype.str()).substr(0, 8);
}

hwnas::Network load_weights(const fs::path& file, const hwnas::Device& device) {
    return reading(file, "have `train`, `best` or `export` write it again, or name another file",
                   [&] { return hwnas::io::load_network(file, device); });
}

std::string describe(const hwnas::SearchSpace& space) {
    const auto& a = space.architecture();
    return fmt::format("{}, {} channels, {} cells, {} edges to choose from {}", space.name(), space.options().channels,
                       space.cells(), a.rows(), fmt::join(a.primitives, ", "));
}

std::string utc_stamp() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    return fmt::format("{:04}{:02}{:02}-{:02}{:02}{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                       parts.tm_hour, parts.tm_min, parts.tm_sec);
}

double peak_memory_mb() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) * 1024e-6;  // Linux counts units of 1024 bytes
}

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void TrainingMeter::step(const hwnas::TrainingProgress& progress, const std::string& extra) {
    images_ += progress.batch;
    const auto text = [&] {
        const auto metrics = progress.metrics();
        const double rate = images_per_second();
        const std::int64_t steps_left = (progress.epochs - progress.epoch) * progress.steps - progress.step;
        const double left = rate > 0 ? static_cast<double>(steps_left * progress.batch) / rate : 0;
        return hwnas::TrainingLine{.epoch = progress.epoch + 1,
                                   .epochs = progress.epochs,
                                   .loss = metrics[0],
                                   .metric = metrics[1],
                                   .images_per_second = rate,
                                   .seconds_left = left}
                   .str() +
               extra;
    };
    if (progress.step == progress.steps)
        line_.line(text());
    else
        line_.update(text);
}

}  // namespace app
