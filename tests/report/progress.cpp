// SPDX-License-Identifier: MIT
// The progress line with a clock of its own: what is written, when, and that nothing but plain text reaches a file.
#include <hwnas/report/progress.hpp>

#include <string>

#include "support/catch.hpp"

namespace report_progress_test {

namespace {

struct Screen {
    double time = 100;
    std::string text;
    hwnas::ProgressOptions options(bool terminal, bool quiet = false) {
        return {.quiet = quiet,
                .terminal = terminal,
                .interval = 30,
                .columns = [] { return std::size_t{0}; },
                .clock = [this] { return time; },
                .write = [this](std::string_view part) { text += part; }};
    }
};

}  // namespace

TEST_CASE("on a terminal the line is redrawn in place, at most ten times a second", "[report][progress]") {
    Screen screen;
    int asked = 0;
    {
        hwnas::ProgressLine line(screen.options(true));
        const auto show = [&](const char* text) { line.update([&] { return ++asked, std::string(text); }); };
        show("epoch 1, long");
        screen.time += 0.05;
        show("not due");
        screen.time += 0.06;
        show("epoch 2");
        line.line("kept");
        show("next");
    }
    CHECK(asked == 3);
    CHECK(screen.text == "\repoch 1, long\repoch 2      \rkept   \n\rnext\n");
    CHECK(screen.text.find('\x1b') == std::string::npos);
}

TEST_CASE("a line that would wrap is cut to the terminal", "[report][progress]") {
    Screen screen;
    auto options = screen.options(true);
    options.columns = [] { return std::size_t{9}; };
    {
        hwnas::ProgressLine line(options);
        line.update([] { return std::string("123456789 and more"); });
        screen.time += 1;
        line.update([] { return std::string("short"); });
    }
    CHECK(screen.text == "\r12345678\rshort   \n");
}

TEST_CASE("elsewhere it is a plain line now and then", "[report][progress]") {
    Screen screen;
    int asked = 0;
    {
        hwnas::ProgressLine line(screen.options(false));
        const auto show = [&](const char* text) { line.update([&] { return ++asked, std::string(text); }); };
        show("too early");
        screen.time += 29;
        show("too early");
        screen.time += 1.5;
        show("thirty seconds");
        screen.time += 29;
        line.line("epoch ends");
        screen.time += 2;
        show("again too early");
        screen.time += 28;
        show("sixty seconds");
    }
    CHECK(asked == 2);
    CHECK(screen.text == "thirty seconds\nepoch ends\nsixty seconds\n");
}

TEST_CASE("quiet writes nothing and reads no metrics", "[report][progress]") {
    Screen screen;
    {
        hwnas::ProgressLine line(screen.options(true, true));
        line.update([]() -> std::string { throw std::runtime_error("asked"); });
        line.line("text");
    }
    CHECK(screen.text.empty());
}

TEST_CASE("what a line of training says", "[report][progress]") {
    const hwnas::TrainingLine line{
        .epoch = 3, .epochs = 20, .loss = 0.81234, .metric = 0.712, .images_per_second = 1411.6, .seconds_left = 252};
    CHECK(line.str() == "epoch  3/20  loss 0.8123  accuracy 71.20 %  1,412 images/s  4 min 12 s left");
    const hwnas::TrainingLine other{.epoch = 1,
                                    .epochs = 2,
                                    .loss = 2,
                                    .metric = 0.5,
                                    .metric_name = "squared error",
                                    .images_per_second = 9,
                                    .seconds_left = 1};
    CHECK(other.str() == "epoch 1/2  loss 2.0000  squared error 0.5000  9 images/s  1 s left");
}

}  // namespace report_progress_test
