// SPDX-License-Identifier: MIT
// Runs the real fashion_mnist program, output into files, and makes a data set small enough for it.
#pragma once

#include "io/idx_file.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"

#include <hwnas/io/file.hpp>
#include <hwnas/io/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace hwnas_test {

#ifdef HWNAS_TEST_SANITIZED
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

struct Finished {
    int code = -1;  ///< exit code, or minus the signal that killed it
    std::string out, err;
};

/// A started program.
class Child {
public:
    /// file_limit: bytes a written file may have (a full disk); 0 is none.
    Child(const TemporaryDirectory& directory, const std::vector<std::string>& arguments, std::uint64_t file_limit = 0,
          const char* program = HWNAS_PROGRAM)
        : out_(directory / "stdout"), err_(directory / "stderr") {
        std::vector<std::string> words{program};
        words.insert(words.end(), arguments.begin(), arguments.end());
        std::vector<char*> argv;
        for (auto& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        const std::string work = directory.path().string(), out = out_.string(), err = err_.string();
        process_ = ::fork();
        if (process_ != 0) return;
        const int o = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666),
                  e = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
        const rlimit limit{file_limit, file_limit};
        if (o < 0 || e < 0 || ::dup2(o, 1) < 0 || ::dup2(e, 2) < 0 || ::chdir(work.c_str()) != 0) ::_exit(126);
        if (file_limit > 0) ::setrlimit(RLIMIT_FSIZE, &limit);
        // Whoever runs the tests may ignore or block the signals that they send.
        sigset_t none;
        ::sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        for (const int number : {SIGINT, SIGTERM, SIGHUP}) std::signal(number, SIG_DFL);
        ::unsetenv("HWNAS_DATA");
        ::setenv("HWNAS_COMMAND", "fashion_mnist", 1);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (process_ > 0) ::kill(process_, SIGKILL), wait();
    }
    void signal(int number) const { ::kill(process_, number); }
    /// Whether it has come to its end by itself; wait() then returns at once.
    bool ended() const {
        ::siginfo_t info{};
        return ::waitid(P_PID, static_cast<::id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid == process_;
    }
    Finished wait() {
        int status = 0;
        while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
        }
        process_ = -1;
        return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), hwnas::io::read_file(out_),
                hwnas::io::read_file(err_)};
    }

private:
    std::filesystem::path out_, err_;
    ::pid_t process_ = -1;
};

inline Finished run(const TemporaryDirectory& directory, const std::vector<std::string>& arguments,
                    std::uint64_t file_limit = 0, const char* program = HWNAS_PROGRAM) {
    return Child(directory, arguments, file_limit, program).wait();
}

/// Waits, at most a minute, until done() holds.
template <class F>
bool wait_until(F&& done) {
    for (int i = 0; i < 30'000; ++i) {
        if (done()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
}

/// All files of a run by name, without timing.json, result.json without measured latencies, and without report.html,
/// which shows them (app/report.cpp: equal files give equal reports).
inline std::map<std::string, std::string> files_of(const std::filesystem::path& run) {
    std::map<std::string, std::string> result;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(run)) {
        const auto filename = entry.path().filename();
        if (!entry.is_regular_file() || filename == "timing.json" || filename == "report.html") continue;
        auto text = hwnas::io::read_file(entry.path());
        if (entry.path().filename() == "result.json") {
            auto json = hwnas::io::read_json(entry.path());
            for (auto& member : json["family"]) member["latency_ms"].erase("measured");
            text = json.dump(1);
        }
        result[std::filesystem::relative(entry.path(), run).string()] = std::move(text);
    }
    return result;
}

/// Rows of a CSV file below its header.
inline long rows_of(const std::filesystem::path& file) {
    if (!std::filesystem::exists(file)) return 0;
    const auto text = hwnas::io::read_file(file);
    return std::max<long>(0, std::count(text.begin(), text.end(), '\n') - 1);
}

/// Fashion-MNIST in form: images of `side` x `side`, `train` and `test` of them (multiples of 10), one bright row or
/// column a class.
inline std::string tiny_data(const TemporaryDirectory& directory, std::uint32_t train, std::uint32_t test,
                             std::uint32_t side = 8) {
    std::filesystem::create_directories(directory / "data");
    for (const auto& [stem, count] : {std::pair{std::string("train"), train}, {std::string("t10k"), test}}) {
        std::string labels, images;
        for (std::uint32_t n = 0; n < count; ++n) {
            const int label = static_cast<int>(n % 10);
            labels += static_cast<char>(label);
            for (int y = 0; y < static_cast<int>(side); ++y)
                for (int x = 0; x < static_cast<int>(side); ++x) {
                    const bool bright = label < 5 ? y == label + 1 : x == label - 4;
                    images += static_cast<char>(
                        (bright ? 180 : 0) +
                        static_cast<int>(
                            (n * 7919u + (static_cast<unsigned>(y) * side + static_cast<unsigned>(x)) * 104'729u) %
                            60));
                }
        }
        directory.put("data/" + stem + "-images-idx3-ubyte", idx({count, side, side}, images));
        directory.put("data/" + stem + "-labels-idx1-ubyte", idx({count}, labels));
    }
    return (directory / "data").string();
}

}  // namespace hwnas_test
