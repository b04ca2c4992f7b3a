// SPDX-License-Identifier: MIT
// ProgressLine: one line about work under way. On a terminal it is redrawn in place, at most ten times a second;
// elsewhere it is a plain line now and then. No colour and no escape codes, only a carriage return on a terminal.
#pragma once

#include <hwnas/core/text.hpp>
#include <hwnas/report/table.hpp>

#include <chrono>
#include <cstdio>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>

#include <sys/ioctl.h>
#include <unistd.h>

namespace hwnas {

/// Where progress goes, and how often.
struct ProgressOptions {
    bool quiet = false;                         ///< write nothing at all
    bool terminal = false;                      ///< redraw one line in place instead of writing plain lines
    double interval = 30;                       ///< seconds between plain lines
    std::function<std::size_t()> columns = {};  ///< width of the terminal; default: what the system says, 0 unknown
    std::function<double()> clock = {};         ///< seconds from any start; default: steady_clock
    std::function<void(std::string_view)> write = {};  ///< gets the text; default: standard error
    /// Options that write to standard error and redraw where it is a terminal.
    static ProgressOptions standard_error(bool quiet = false) {
        return {.quiet = quiet, .terminal = ::isatty(STDERR_FILENO) == 1};
    }
};

/// One line that says how far something is: redrawn on a terminal, else a plain line now and then.
class ProgressLine {
public:
    /// Writes nothing before the first update() that is due.
    explicit ProgressLine(ProgressOptions options = ProgressOptions::standard_error()) : options_(std::move(options)) {
        if (!options_.clock)
            options_.clock = [] {
                return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
            };
        if (!options_.columns)
            options_.columns = [] {
                struct winsize size{};
                return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? std::size_t{size.ws_col} : 0;
            };
        if (!options_.write)
            options_.write = [](std::string_view text) {
                std::fwrite(text.data(), 1, text.size(), stderr);
                std::fflush(stderr);
            };
        drawn_at_ = options_.terminal ? -std::numeric_limits<double>::infinity() : options_.clock();
    }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;
    ~ProgressLine() { finish(); }

    /// Seconds of its clock, from an arbitrary start.
    double now() const { return options_.clock(); }
    /// Shows text() if a line is due, and calls it only then, so that metrics that cost something are not read in vain.
    template <class F>
    void update(F&& text) {
        if (options_.quiet) return;
        const double time = now();
        if (time - drawn_at_ < (options_.terminal ? 0.1 : options_.interval)) return;
        drawn_at_ = time;
        show(text());
    }
    /// Writes a line that stays, due or not.
    void line(std::string_view text) {
        if (options_.quiet) return;
        drawn_at_ = options_.terminal ? -std::numeric_limits<double>::infinity() : now();
        show(text);
        finish();
    }
    /// Ends a line that is being redrawn, so that other output starts on a new one.
    void finish() {
        if (width_ == 0) return;
        options_.write("\n");
        width_ = 0;
    }

private:
    void show(std::string_view text) {
        if (!options_.terminal) return options_.write(std::string(text) + "\n");
        // A line that wraps could not be redrawn.
        if (const std::size_t columns = options_.columns(); columns > 1) text = text.substr(0, columns - 1);
        // Blanks over what the last line had more: the one way that needs no escape code.
        const std::size_t blanks = width_ > text.size() ? width_ - text.size() : 0;
        options_.write("\r" + std::string(text) + std::string(blanks, ' '));
        width_ = text.size();
    }
    ProgressOptions options_;
    double drawn_at_ = 0;
    std::size_t width_ = 0;
};

/// What a line about training says: "epoch  3/20  loss 0.8123  accuracy 71.20 %  1,412 images/s  4 min 12 s left".
struct TrainingLine {
    int epoch = 0, epochs = 0;                  ///< epoch from 1, of how many
    double loss = 0;                            ///< mean loss of the epoch so far
    double metric = 0;                          ///< mean metric of the epoch so far, a share where it is an accuracy
    std::string_view metric_name = "accuracy";  ///< what the metric is called; an accuracy is shown in per cent
    double images_per_second = 0;               ///< training rate of this session
    double seconds_left = 0;                    ///< until the whole training is done, at this rate
    /// The line, without a newline.
    std::string str() const {
        const auto width = std::to_string(epochs).size();
        const std::string shown = metric_name == "accuracy" ? percent(metric) : fmt::format("{:.4f}", metric);
        return fmt::format("epoch {:>{}}/{}  loss {:.4f}  {} {}  {} images/s  {} left", epoch, width, epochs, loss,
                           metric_name, shown, with_commas(static_cast<std::int64_t>(images_per_second + 0.5)),
                           duration(seconds_left));
    }
};

}  // namespace hwnas
