// SPDX-License-Identifier: MIT
// What the commands share: data, device, signals, what is printed.
#pragma once

#include <hwnas/cpu/device.hpp>
#include <hwnas/io/fashion_mnist.hpp>
#include <hwnas/report/progress.hpp>
#include <hwnas/space/genotype.hpp>
#include <hwnas/space/search_space.hpp>
#include <hwnas/supernet/network.hpp>
#include <hwnas/train/fit.hpp>

#include "options.hpp"

#include <filesystem>
#include <string>
#include <string_view>

#include <unistd.h>

namespace app {

namespace fs = std::filesystem;

/// The way this program was started, for commands it prints: $HWNAS_COMMAND (run.sh sets it) or argv[0].
void set_program(const char* argv0);
/// One word, quoted where a shell would take it for something else.
std::string shell_word(std::string_view word);
/// "fashion_mnist search --resume 'my run'", quoted for a shell.
std::string command_line(std::initializer_list<std::string_view> words);

/// From here on Ctrl-C, a terminal that closes, or `kill` sets stop_requested() while a Stoppable stands, and
/// otherwise, or the second time, ends at once, saying the last interrupt_note(). Broken pipes and full disks become
/// errors of the write in question.
void catch_signals();
void interrupt_note(std::string text);
bool stop_requested();
struct Stoppable {
    Stoppable();
    ~Stoppable();
    Stoppable(const Stoppable&) = delete;
    Stoppable& operator=(const Stoppable&) = delete;
};
inline constexpr int exit_interrupted = 130;

/// Text on standard output; whether all of it arrived is for main to say.
void print(const std::string& text);
/// A line on standard error that must not fail.
void complain(const std::string& text);
/// One line of the summary before the work: a name and a text.
void say(std::string_view name, const std::string& text);
/// Data as options say, training images cut to the first `images` (0: all).
hwnas::io::FashionMnist load_data(const Surroundings& around, std::int64_t images, std::int64_t validation);
void say_data(const hwnas::io::FashionMnist& data);
/// The device that --device names.
hwnas::Device make_device(const Surroundings& around);
/// What cuda::device() says, without the advice that is for programs.
std::string why_no_device(const hwnas::Error& error);
hwnas::SearchSpace make_space(const std::string& name, std::int64_t channels, const hwnas::Dataset& data);
/// What --arch says: the one line, or a file of it or of JSON; a mistake in it is one of the command line. A file that
/// names its space sets `space` unless that was given, and must agree with it otherwise.
hwnas::Genotype read_arch(const std::string& arch, std::string& space, bool space_given);
/// "arch-1f0c93ab": the name of what is trained of an --arch, the same for the same genotype and for no other.
std::string arch_name(const hwnas::Genotype& genotype);
/// The network in a file of train, best or export; where the file is damaged the error says what to do.
hwnas::Network load_weights(const fs::path& file, const hwnas::Device& device);
/// What read() returns, which reads `file`; where that is there and cannot be used, the error ends with the way out.
template <class F>
auto reading(const fs::path& file, std::string_view way_out, F&& read) {
    try {
        return read();
    } catch (const hwnas::Error& error) {
        std::error_code ignored;
        if (!fs::is_regular_file(file, ignored) || ::access(file.c_str(), R_OK) != 0) throw;
        hwnas::fail("{}; {}", error.what(), way_out);
    }
}
std::string describe(const hwnas::SearchSpace& space);
/// "20261123-142530", UTC.
std::string utc_stamp();
/// Seconds of a steady clock.
double seconds_now();
/// What the process has held at most so far, in millions of bytes.
double peak_memory_mb();

/// The progress line of a training run: rate and time left are those of this session.
class TrainingMeter {
public:
    explicit TrainingMeter(bool quiet)
        : line_(hwnas::ProgressOptions::standard_error(quiet)), started_(seconds_now()) {}
    /// Time counts from here.
    void begin() { started_ = seconds_now(); }
    /// After every step; the line also at the end of an epoch.
    void step(const hwnas::TrainingProgress& progress, const std::string& extra = {});
    void finish() { line_.finish(); }
    double seconds() const { return seconds_now() - started_; }
    double images_per_second() const { return seconds() > 0 ? static_cast<double>(images_) / seconds() : 0; }
    std::int64_t images() const { return images_; }

private:
    hwnas::ProgressLine line_;
    double started_;
    std::int64_t images_ = 0;
};

}  // namespace app
