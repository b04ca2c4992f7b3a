// SPDX-License-Identifier: MIT
// fashion_mnist: searches a family of networks for Fashion-MNIST, trains and measures them.
// Exit codes: 0 done, 1 failure, 2 usage, 130 interrupted. Errors are one line on standard error.
#include "options.hpp"
#include "program.hpp"

#include <cstdio>
#include <exception>
#include <new>

namespace {

int run(const app::Command& command) {
    using Verb = app::Command::Verb;
    switch (command.verb) {
        case Verb::search:
            return app::run_search(command.search);
        case Verb::best:
            return app::run_best(command.best);
        case Verb::train:
            return app::run_train(command.train);
        case Verb::study:
            return app::run_study(command.study);
        case Verb::evaluate:
            return app::run_evaluate(command.evaluate);
        case Verb::profile:
            return app::run_profile(command.profile);
        case Verb::export_:
            return app::run_export(command.export_);
        case Verb::latency_fit:
            return app::run_latency_fit(command.latency_fit);
        case Verb::report:
            return app::run_report(command.report);
        case Verb::info:
            return app::run_info(command.info);
        case Verb::none:
            break;
    }
    app::print(command.help);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const auto refuse = [](int code, const char* what) {
        app::complain(what);
        return code;
    };
    try {
        app::set_program(argv[0]);
        app::catch_signals();
        const int code = run(app::parse(argc, argv, app::default_search()));
        if (code == 0 && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0))
            return refuse(1, "standard output could not be written (disk full, or its reader has gone)");
        return code;
    } catch (const app::UsageError& error) {
        return refuse(2, error.what());
    } catch (const hwnas::Error& error) {
        return refuse(1, error.what());
    } catch (const std::bad_alloc&) {
        return refuse(1, "out of memory (smaller --batch or --channels need less)");
    } catch (const std::exception& error) {
        return refuse(1, error.what());
    }
}
