// SPDX-License-Identifier: MIT
// Other people's readers of our files, from the Python package index: in a virtual environment that `./run.sh test`
// makes in build/onnx.
#pragma once

#include <hwnas/io/file.hpp>

#include <cstdlib>
#include <string>
#include <vector>

#include "io/temporary_directory.hpp"

namespace hwnas_test {

inline constexpr const char* no_foreign_python =
    "no Python with the readers: python3 -m venv build/onnx && build/onnx/bin/pip install numpy onnx onnxruntime "
    "safetensors";

/// A Python that has these modules ("numpy, onnx"), or nothing: $HWNAS_ONNX_PYTHON, the virtual environment, python3.
inline std::string python_with(const std::string& modules) {
    std::vector<std::string> candidates{"../onnx/bin/python", "onnx/bin/python",
                                        HWNAS_SOURCE_DIR "/build/onnx/bin/python", "python3"};
    if (const char* given = std::getenv("HWNAS_ONNX_PYTHON")) candidates.insert(candidates.begin(), given);
    for (const auto& python : candidates)
        if (std::system(("'" + python + "' -c 'import " + modules + "' >/dev/null 2>&1").c_str()) == 0) return python;
    return "";
}

struct Ran {
    int status;
    std::string output;  ///< both streams
};
/// Runs a command of the shell.
inline Ran shell(const TemporaryDirectory& directory, const std::string& command) {
    const auto output = directory / "shell_output";
    const int status = std::system(fmt::format("{{ {} ; }} >'{}' 2>&1", command, output.string()).c_str());
    return {status, hwnas::io::read_file(output)};
}
/// Runs a Python program with the directory as its argument.
inline Ran python(const TemporaryDirectory& directory, const std::string& python, const char* program) {
    directory.put("program.py", program);
    return shell(directory,
                 fmt::format("'{}' '{}' '{}'", python, (directory / "program.py").string(), directory.path().string()));
}

}  // namespace hwnas_test
