#!/usr/bin/env bash
# Everything that is worth knowing of the CUDA backend on the GPU at hand, in one results file: tests, compute-sanitizer,
# searches, kernels against copies of as many bytes, cuDNN and PyTorch beside them. Needs no network.
#   benchmarks/gpu_report.sh [--programs DIR] [--out FILE] [--quick] [--seconds N]
# --programs DIR  use DIR/test_cuda, DIR/hwnas_benchmarks and libraries in DIR/lib instead of building (`--pack DIR` makes such
#                 a directory here, for a machine with a GPU but without the libraries that building needs)
# --out FILE      [docs/results/gpu/<GPU>-<date>.json]
# --quick         kernels of the search's own shapes only
# --seconds N     in all, building included; each section has its share, and what earlier ones have left [480]. A build that
#                 takes more than half of N is said, and half of N is measured all the same: --pack elsewhere, then --programs
# $HWNAS_CUDA_ARCHITECTURES: what to build machine code for [that of the card; with --pack 90]
# Ends with 1 where tests fail, something crashes or no GPU is found, with the results file all the same.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

# Of 480 seconds; what is worth most comes first.
budgets='device 10
tests 90
sanitizer 60
steps 100
inference 30
depthwise 40
ops 45
imagenet 30
cudnn 40
torch 35'

programs= out= quick= pack= seconds=480
while (($#)); do
    case $1 in
        --programs) programs=$2; shift ;;
        --out) out=$2; shift ;;
        --pack) pack=$2; shift ;;
        --quick) quick=1 ;;
        --seconds) seconds=$2; shift ;;
        *) sed -n '2,12s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

# Before minutes of building.
[[ -n $pack ]] || command -v nvidia-smi >/dev/null || { echo "gpu_report.sh: no NVIDIA driver here (nvidia-smi is missing)" >&2; exit 1; }

architectures=${HWNAS_CUDA_ARCHITECTURES:-native}
[[ -z $pack ]] || architectures=${HWNAS_CUDA_ARCHITECTURES:-90} # of a card that is elsewhere
build() { # preset, target
    cmake --preset "$1" -DHWNAS_BUILD_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="$architectures" >/dev/null || exit 1
    cmake --build "build/$1" -j "$(nproc)" --target "$2" >build/gpu_report.log 2>&1 || { tail -n 50 build/gpu_report.log; exit 1; }
}
if [[ -z $programs ]]; then
    mkdir -p build
    build release hwnas_benchmarks
    if cmake --build build/release --target help | grep hwnas_cudnn_peer >/dev/null; then build release hwnas_cudnn_peer; fi
    build test test_cuda
fi
if [[ -n $pack ]]; then
    set -e
    mkdir -p "$pack/lib"
    cp build/release/benchmarks/hwnas_benchmarks build/test/tests/test_cuda "$pack"
    [[ ! -x build/release/benchmarks/hwnas_cudnn_peer ]] || cp build/release/benchmarks/hwnas_cudnn_peer "$pack" # not its library
    strip "$pack"/hwnas_benchmarks "$pack"/test_cuda
    ldd "$pack"/hwnas_benchmarks "$pack"/test_cuda | awk '/libfmt|libbenchmark|libz|libstdc/ { print $3 }' | sort -u |
        xargs -r -I{} cp -L {} "$pack/lib"
    du -sh "$pack"
    exit
fi
if [[ -n $programs ]]; then
    export LD_LIBRARY_PATH="$(cd "$programs" && pwd)/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    tests=$programs/test_cuda benchmarks=$programs/hwnas_benchmarks cudnn=$programs/hwnas_cudnn_peer
else
    tests=build/test/tests/test_cuda benchmarks=build/release/benchmarks/hwnas_benchmarks
    cudnn=build/release/benchmarks/hwnas_cudnn_peer
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
problem=
begin=$SECONDS due=0
# section NAME LOG COMMAND...: runs it until the section's time is over and writes down how it ended; its exit status.
section() {
    local name=$1 log=$2 start=$SECONDS status=0 limit
    shift 2
    due=$((due + $(awk -v n="$name" '$1 == n { print $2 }' <<<"$budgets")))
    limit=$((begin + due * seconds / 480 - SECONDS))
    printf '== %s (%d s, at most %d)\n' "$name" $((SECONDS - begin)) $((limit > 1 ? limit : 1))
    # The clock of the multiprocessors once a second: a card that throttles is seen while it works, not afterwards.
    nvidia-smi -i 0 --query-gpu=clocks.sm --format=csv,noheader,nounits -l 1 >"$work/clocks.$name" 2>/dev/null &
    local watch=$!
    HWNAS_SECTION=$name timeout -k 2 $((limit > 1 ? limit : 1)) "$@" >"$log" 2>&1 || status=$?
    kill "$watch" 2>/dev/null || true
    case $status in
        0) note "$name" "ok, $((SECONDS - start)) s" ;;
        124 | 137) note "$name" "timed out after $((SECONDS - start)) s" ;;
        *) note "$name" "exit $status" ;;
    esac
    return "$status"
}
skip() { # NAME WHY: its time goes to the later ones
    due=$((due + $(awk -v n="$1" '$1 == n { print $2 }' <<<"$budgets")))
    note "$1" "$2"
}
note() {
    printf '%s\t%s\n' "$1" "$2" >>"$work/sections"
    printf '   %s: %s\n' "$1" "$2"
}
trouble() { # what has to be read first
    printf '%s\n' "$1" >>"$work/problems"
    printf '!! %s\n' "$1"
    problem=1
}
finish() {
    nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem --format=csv,noheader 2>&1 | head -n 1 >"$work/gpu"
    python3 benchmarks/gpu_report.py results "$work" ${out:+"$out"} || problem=1
    [[ -z $problem ]]
    exit
}

if [[ -z $programs ]]; then
    if ((2 * begin > seconds)); then
        note build "$begin s, more than half of the $seconds s for all: --pack builds elsewhere"
        seconds=$(((seconds + 1) / 2))
    else
        note build "ok, $begin s"
        seconds=$((seconds - begin))
    fi
fi

export HWNAS_DEVICE=cuda
HWNAS_GPU_MHZ=$(nvidia-smi -i 0 --query-gpu=clocks.max.sm --format=csv,noheader,nounits 2>/dev/null | grep -E '^[0-9]+$')
export HWNAS_GPU_MHZ # of the peak of operations
if ! section device "$work/device" "$benchmarks" --benchmark_list_tests; then
    trouble "no GPU that can be used, although nvidia-smi is there: $(tail -n 1 "$work/device")"
    finish
fi

# The long ones last: whole searches, which may not be through in their time.
status=0
section tests "$work/tests" sh -c '"$0" "[cuda]~[long]" -r compact && "$0" "[cuda][long]" -r compact' "$tests" || status=$?
case $status in
    0) ;;
    124 | 137) trouble "tests were not through in their time: $(tail -n 1 "$work/tests")" ;;
    *) trouble "tests are red: $(tail -n 1 "$work/tests")" ;;
esac
tail -n 3 "$work/tests"

# One test or two of every op, none of the long ones, at the emulator's shapes. A tool that was stopped or died has written
# no summary, but a line for every error until then. "Error: process didn't terminate" is its answer to being stopped.
sanitizer_errors='^=+ (Invalid|Error: Race reported|Uninitialized|Barrier error|Program hit|.*ERROR SUMMARY: [1-9])'
sanitize() {
    local tool status how found
    for tool in memcheck racecheck initcheck synccheck; do
        status=0
        HWNAS_SMALL_SHAPES=1 timeout -k 2 "$1" compute-sanitizer --tool $tool --error-exitcode 9 "$tests" "~[long]*agree*" \
            >"$work/$tool" 2>&1 || status=$?
        found=$(grep -E "$sanitizer_errors" "$work/$tool" | head -n 1 | tr -s '= ' ' ')
        case $status in
            0 | 9) how="$status $(grep 'ERROR SUMMARY\|RACECHECK SUMMARY' "$work/$tool" | tail -n 1 | tr -s '= ' ' ')" found= ;;
            124 | 137) how="timed out" ;;
            *) how="exit $status: $(tail -n 1 "$work/$tool")" ;;
        esac
        echo "$tool ${found:+9, }$how${found:+; the first error until then:$found}"
    done
}
if command -v compute-sanitizer >/dev/null; then
    export -f sanitize
    export tests work sanitizer_errors
    section sanitizer "$work/sanitizer" bash -c "sanitize $((15 * seconds / 480 > 1 ? 15 * seconds / 480 : 1))" || true
    cat "$work/sanitizer"
    if grep -q '^[a-z]*check 9' "$work/sanitizer"; then trouble "compute-sanitizer found errors"; fi
    if grep -q '^[a-z]*check exit' "$work/sanitizer"; then trouble "compute-sanitizer does not run here"; fi
    if ! grep -q '^[a-z]*check [09]' "$work/sanitizer"; then trouble "no tool of compute-sanitizer was through in its time"; fi
else
    echo "compute-sanitizer: not installed" >"$work/sanitizer"
    skip sanitizer "not installed"
fi

# Each group is a process of its own, so that one that dies or takes too long takes no other with it.
measure() { # NAME FILTER
    local status=0
    section "$1" "$work/ours.$1.txt" "$benchmarks" --benchmark_filter="$2" --benchmark_min_time=0.2 \
        --benchmark_out="$work/ours.$1.json" --benchmark_out_format=json || status=$?
    case $status in
        0) ;;
        124 | 137) tail -n 3 "$work/ours.$1.txt" ;;  # the rest of a long list
        *) trouble "benchmarks of $1 ended with $status: $(tail -n 1 "$work/ours.$1.txt")" ;;
    esac
    grep -E '^(search|train|inference)' "$work/ours.$1.txt" || true
}
own='n256_(28x28x16|14x14x32|7x7x64)'
measure steps '^(peak|search_step|train_step|search)/'
measure inference '^(inference|profile)/'
measure depthwise "^depthwise_conv/(forward|backward_weight|backward)/$own"
ops=$(cut -d/ -f1 "$work/device" | grep -E '^[a-z_]+$' | grep -vE '^(depthwise_conv|search_step|train_step|search|inference|profile|peak)$' | sort -u | paste -sd '|')
measure ops "^(($ops)/.*(n256_|/[0-9]+(x[0-9_a-z]+)?(/|\$)|n128_28x28x1(/|\$))|depthwise_conv/backward_data/n256_)"
if [[ -z $quick ]]; then
    measure imagenet 'n128_(112x112|56x56|28x28x[0-9][0-9]+|14x14|7x7)'
else
    skip imagenet "left out by --quick"
fi

python3 benchmarks/gpu_report.py names "$work" >"$work/names" || true
if [[ -x $cudnn ]]; then
    section cudnn "$work/cudnn.txt" sh -c "'$cudnn' '$work/cudnn.json' <'$work/names'" || tail -n 3 "$work/cudnn.txt"
else
    skip cudnn "not installed: $cudnn is built where cuDNN stands beside the CUDA Toolkit"
fi
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    section torch "$work/torch.txt" sh -c "cd benchmarks/peers && python3 cuda_peer.py '$work/torch.json' <'$work/names'" ||
        tail -n 3 "$work/torch.txt"
else
    skip torch "not installed, or it finds no GPU"
fi
finish
