#!/bin/sh
# The front door: installs what is missing, builds, runs. `./run.sh --help` says how.
set -eu
from=$PWD # the program runs where the user stands; everything else happens in the repository
CDPATH='' cd -- "$(dirname -- "$0")"
root=$PWD
case $0 in */*) command=$0 ;; *) command=./$0 ;; esac # as it can be typed again: `sh run.sh` says run.sh

program_verbs="search best train study evaluate profile latency-fit export report info"

usage() {
    cat <<TXT
usage: ./run.sh [verb] [arguments]

  (nothing)           a short search on Fashion-MNIST: search --quick
  search [options]    search an architecture; also: best, train, study, evaluate,
                      profile, latency-fit, export, report, info
  test [ctest args]   build tests and examples, run them
  fuzz [target] [s]   look for input that a reader of files cannot take: 60 seconds each, or one target
  bench [filter]      build and run the benchmarks; flags go to Google Benchmark
  bench peers [filter] the same work by hwnas and by PyTorch or ONNX Runtime, alternately; \`--help\` has its options
  shell               a shell in which the programs and the data set are found

Options without a verb belong to search; \`./run.sh search --help\` lists them.
Missing packages are installed with apt where that needs no password, or unpacked into build/deps.
Build output goes to build/build.log and is shown only when something fails.
TXT
}

say() { printf 'run.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# ---- what to do
verb=search
case "${1-}" in
    "") set -- --quick ;;
    -h | --help) usage; exit 0 ;;
    -*) ;;
    *) verb=$1; shift ;;
esac
case " $program_verbs test fuzz bench shell " in
    *" $verb "*) ;;
    *) say "unknown verb '$verb'"; usage >&2; exit 2 ;;
esac

deps=$root/build/deps
log=$root/build/build.log
mkdir -p build

# ---- what is missing, as Debian package names
packages="libeigen3-dev libfmt-dev libfmt9 nlohmann-json3-dev libcli11-dev zlib1g-dev"
case $verb in
    test) packages="$packages catch2 libbenchmark-dev" ;;
    fuzz) packages="$packages catch2 clang-19 libclang-rt-19-dev" ;;
    bench) packages="$packages libbenchmark-dev" ;;
esac
[ -n "${HWNAS_DATA-}" ] || packages="$packages dataset-fashion-mnist"

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
unpacked() { [ -d "$deps/usr/share/doc/$1" ]; }

use_deps() {
    [ -d "$deps/usr" ] || return 0
    PATH=$deps/usr/bin:$PATH
    CMAKE_PREFIX_PATH=$deps/usr${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}
    export PATH CMAKE_PREFIX_PATH
    if [ -z "${HWNAS_DATA-}" ] && [ -d "$deps/usr/share/datasets/fashion-mnist" ]; then
        HWNAS_DATA=$deps/usr/share/datasets/fashion-mnist
        export HWNAS_DATA
    fi
}
use_deps

missing_tools() {
    have "${CXX:-g++}" || have c++ || echo g++
    have cmake || echo cmake
    have ninja || have make || echo ninja-build
}
missing_libraries() {
    for package in $packages; do
        installed "$package" || unpacked "$package" || echo "$package"
    done
}
as_root() { # sudo clears the environment, so that the setting goes with the command
    if [ "$(id -u)" = 0 ]; then set -- env "$@"; else set -- sudo -n env "$@"; fi
    logged "$@"
}
can_be_root() { [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }

# Runs a command into the log; shows the log only if it fails.
logged() {
    if "$@" >>"$log" 2>&1 </dev/null; then return 0; fi
    tail -n 60 "$log" >&2
    return 1
}

# Package lists of the system where it has them, else fetched into build/deps, which needs no root either.
fetch_debs() {
    (cd "$deps/debs" && apt-get download "$@") >>"$log" 2>&1 </dev/null && return 0
    mkdir -p "$deps/apt/lists/partial" "$deps/apt/cache/archives/partial"
    set -- -o Dir::State::lists="$deps/apt/lists" -o Dir::Cache="$deps/apt/cache" download "$@"
    logged apt-get "$1" "$2" "$3" "$4" update && (cd "$deps/debs" && logged apt-get "$@")
}

unpack() {
    say "no root here: unpacking $* into build/deps"
    mkdir -p "$deps/debs"
    for package in "$@"; do
        case $package in libbenchmark-dev) set -- "$@" libbenchmark1debian ;; esac
    done
    fetch_debs "$@" || return 1
    for deb in "$deps"/debs/*.deb; do logged dpkg -x "$deb" "$deps" || return 1; done
    rm -rf "$deps/debs" "$deps/apt"
}

: >"$log"
tools=$(missing_tools | tr '\n' ' ')
if have dpkg-query && have apt-get; then
    libraries=$(missing_libraries | tr '\n' ' ')
    if [ -n "$tools$libraries" ]; then
        # Whatever apt says, the build goes on where compiler and tools are there: CMake may find the rest elsewhere.
        if can_be_root; then
            say "installing $tools$libraries"
            as_root apt-get update || say "apt-get update failed; trying with the lists at hand"
            # shellcheck disable=SC2086
            as_root DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $tools $libraries ||
                say "apt-get install failed (whole output: build/build.log)"
            [ -z "$(missing_tools)" ] || exit 1
        elif [ -n "$tools" ]; then
            die "installing tools needs a password here; ask an administrator for: apt-get install $tools"
        else
            # shellcheck disable=SC2086
            unpack $libraries || say "fetching packages failed (whole output: build/build.log)"
            use_deps
        fi
    fi
elif [ -n "$tools" ]; then
    die "please install a C++20 compiler, CMake 3.25 and Ninja or make"
fi

# ---- build: as many jobs as cores, at most one for 2 GiB of memory
jobs=$(nproc 2>/dev/null || echo 1)
if [ -r /proc/meminfo ]; then
    by_memory=$(awk '/^MemTotal:/ { print int($2 / 2097152) }' /proc/meminfo 2>/dev/null || echo "$jobs")
    [ "$by_memory" -ge 1 ] || by_memory=1
    [ "$jobs" -le "$by_memory" ] || jobs=$by_memory
fi

build() { # preset, target...
    preset=$1
    shift
    [ -e "build/$preset/CMakeCache.txt" ] || say "building $preset (build/build.log has the output)"
    # The presets say Ninja; make serves where it is missing, and a build directory stays with what it began with.
    generator=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "build/$preset/CMakeCache.txt" 2>/dev/null) || generator=
    if [ -z "$generator" ] && ! have ninja; then generator="Unix Makefiles"; fi
    # What is run here needs the CUDA backend where there is a card, and machine code for that card only; tests are built with
    # it wherever there is nvcc, for 9.0, whose registers they check, and for the card.
    cuda=
    case $preset in
        release)
            cuda=-DHWNAS_BUILD_CUDA=OFF
            [ ! -e /dev/nvidiactl ] || cuda="-DHWNAS_BUILD_CUDA=AUTO -DCMAKE_CUDA_ARCHITECTURES=native"
            ;;
        test)
            card=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sed -n '1s/\.//p') || card=
            case $card in "" | 90 | *[!0-9]*) ;; *) cuda="-DCMAKE_CUDA_ARCHITECTURES=90;$card" ;; esac
            ;;
    esac
    # shellcheck disable=SC2086 # two words
    logged cmake --preset "$preset" $cuda ${generator:+-G "$generator"} ||
        die "configuring failed (whole output: build/build.log). Where apt does not help: install Eigen 3.4, fmt 9," \
            "nlohmann-json, CLI11, zlib (for test: Catch2; for bench: Google Benchmark), and set CMAKE_PREFIX_PATH"
    logged cmake --build "build/$preset" -j "$jobs" ${1:+--target "$@"} ||
        die "building failed (whole output: build/build.log)"
}

# What benchmarks/peers compares with: Debian's PyTorch, and the newest PyTorch and ONNX Runtime in virtual environments.
# Whatever cannot be had is said, and left out of the comparison.
fetch_peers() {
    if have dpkg-query && can_be_root && ! { installed python3-torch && installed python3-venv; }; then
        say "installing python3-torch python3-venv"
        as_root DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-torch python3-venv ||
            say "apt-get install failed (whole output: build/build.log)"
    fi
    have python3 || die "comparing needs Python 3; please install it"
    for peer in onnxruntime torch; do
        venv=$root/build/peers-$peer
        if "$venv/bin/python" -c "import $peer" >/dev/null 2>&1; then continue; fi
        say "fetching $peer into build/peers-$peer"
        if ! { python3 -m venv "$venv" && "$venv/bin/pip" install "$peer" numpy; } >>"$log" 2>&1 </dev/null; then
            say "fetching $peer failed (whole output: build/build.log); going on without"
        fi
    done
}

# What the tests check the API reference with, and, from the Python package index, read our files with: what cannot be had
# they skip, and say so.
fetch_readers() {
    if ! have doxygen && have apt-get && can_be_root; then
        say "installing doxygen"
        as_root DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends doxygen ||
            say "that failed (whole output: build/build.log); the test of the API reference is skipped"
    fi
    venv=$root/build/onnx
    if "$venv/bin/python" -c "import numpy, onnx, onnxruntime, safetensors" >/dev/null 2>&1; then return 0; fi
    have python3 || return 0
    if ! python3 -c "import ensurepip" >/dev/null 2>&1 && have apt-get && can_be_root; then
        as_root DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv || return 0
    fi
    say "fetching onnx, onnxruntime, safetensors for the tests into build/onnx"
    { timeout 60 python3 -m venv "$venv" && timeout 180 "$venv/bin/pip" install --retries 1 numpy onnx onnxruntime safetensors; } \
        >>"$log" 2>&1 </dev/null || say "that failed (whole output: build/build.log); tests that need them are skipped"
}

case $verb in
    test)
        fetch_readers
        build test
        skips=build/test/Testing/Temporary/LastTestsDisabled.log
        rm -f "$skips"
        status=0
        ctest --test-dir build/test --output-on-failure -j2 "$@" || status=$?
        skipped=$(grep -c '^[0-9]*:cuda:' "$skips" 2>/dev/null) || skipped=0
        [ "$skipped" -eq 0 ] || say "$skipped tests of CUDA kernels need a GPU and were skipped; \`ctest -L emulated\` ran them in emulation"
        exit "$status"
        ;;
    fuzz)
        targets="idx latency_table operation_table latency_csv genotype safetensors config"
        case " $targets " in *" ${1-} "*) targets=$1; shift ;; esac
        seconds=${1-60}
        case $seconds in '' | *[!0-9]*) say "fuzz: '$seconds' is neither a target ($targets) nor a number of seconds"; exit 2 ;; esac
        have clang++-19 || die "fuzz needs clang 19 and its runtime library: apt-get install clang-19 libclang-rt-19-dev"
        found=0
        for target in $targets; do
            build fuzz "fuzz_$target"
            mkdir -p "build/fuzz/found/$target"
            say "fuzz $target for $seconds s; findings go to build/fuzz/found"
            # Inputs that reach new code are kept there and come first the next time.
            build/fuzz/tests/fuzz_"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -verbosity=0 \
                -print_final_stats=1 -artifact_prefix="build/fuzz/found/$target-" "build/fuzz/found/$target" "tests/fuzz/corpus/$target" || found=1
        done
        [ "$found" = 0 ] && say "no findings"
        exit "$found"
        ;;
    bench)
        if [ "${1-}" = peers ]; then
            shift
            build release hwnas_benchmarks hwnas_export_network
            fetch_peers
            cd "$from"
            exec python3 "$root/benchmarks/peers/compare.py" "$@"
        fi
        build release hwnas_benchmarks
        case "${1-}" in
            "" | -*) ;;
            *) filter=$1; shift; set -- "--benchmark_filter=$filter" "$@" ;;
        esac
        cd "$from"
        exec "$root/build/release/benchmarks/hwnas_benchmarks" "$@"
        ;;
    shell)
        build release fashion_mnist
        PATH=$root/build/release/examples:$root/build/release/benchmarks:$PATH
        export PATH
        cd "$from"
        exec "${SHELL:-/bin/sh}" "$@"
        ;;
    *)
        build release fashion_mnist
        cd "$from"
        HWNAS_COMMAND=$command exec "$root/build/release/examples/fashion_mnist" "$verb" "$@"
        ;;
esac
