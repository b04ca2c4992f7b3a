#!/usr/bin/env bash
# Everything that is worth knowing of the CUDA backend on the GPU at hand, in one results file: tests, compute-sanitizer,
# kernels against copies of as many bytes, searches, cuDNN and PyTorch beside them. Within 8 minutes; needs no network.
#   benchmarks/gpu_report.sh [--programs DIR] [--out FILE] [--quick]
# --programs DIR  use DIR/test_cuda, DIR/hwnas_benchmarks and libraries in DIR/lib instead of building (`--pack DIR` makes such
#                 a directory here, for a machine with a GPU but without the libraries that building needs)
# --out FILE      [docs/results/gpu/<GPU>-<date>.json]
# --quick         kernels of the search's own shapes only
# $HWNAS_CUDA_ARCHITECTURES: what to build machine code for [90]
set -euo pipefail
cd "$(dirname "$0")/.."

programs= out= quick= pack=
while (($#)); do
    case $1 in
        --programs) programs=$2; shift ;;
        --out) out=$2; shift ;;
        --pack) pack=$2; shift ;;
        --quick) quick=1 ;;
        *) sed -n '2,10s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

# Before minutes of building.
[[ -n $pack ]] || command -v nvidia-smi >/dev/null || { echo "gpu_report.sh: no NVIDIA driver here (nvidia-smi is missing)" >&2; exit 1; }

build() { # preset, target
    cmake --preset "$1" -DHWNAS_BUILD_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="${HWNAS_CUDA_ARCHITECTURES:-90}" >/dev/null
    cmake --build "build/$1" -j "$(nproc)" --target "$2" >build/gpu_report.log 2>&1 || { tail -n 50 build/gpu_report.log; exit 1; }
}
if [[ -z $programs ]]; then
    build release hwnas_benchmarks
    if cmake --build build/release --target help | grep hwnas_cudnn_peer >/dev/null; then build release hwnas_cudnn_peer; fi
    build test test_cuda
fi
if [[ -n $pack ]]; then
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

# Peers share what is left of 8 minutes.
begin=$SECONDS
left() { local s=$((470 - SECONDS + begin)); echo $((s > 10 ? s : 10)); }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '== %s (%d s)\n' "$1" "$SECONDS"; }

say "tests"
status=0
timeout 150 "$tests" "[cuda]" -r compact >"$work/tests" 2>&1 || status=$?
tail -n 3 "$work/tests"
echo "$status" >"$work/tests.status"

say "compute-sanitizer"
: >"$work/sanitizer"
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        s=0
        timeout 40 compute-sanitizer --tool $tool --error-exitcode 9 "$tests" "[cuda]~[long]" >"$work/$tool" 2>&1 || s=$?
        printf '%s %s %s\n' $tool $s "$(grep 'ERROR SUMMARY\|RACECHECK SUMMARY' "$work/$tool" | tail -n 1 | tr -s '= ' ' ')" |
            tee -a "$work/sanitizer"
    done
fi

say "kernels and steps"
shapes='n256_28x28x16|n256_14x14x32|n256_7x7x64|search_step|train_step|search/|adam/step'
[[ -n $quick ]] || shapes+='|n128_112x112|n128_56x56|n128_28x28|n128_14x14|n128_7x7'
HWNAS_DEVICE=cuda timeout 200 "$benchmarks" --benchmark_filter="($shapes)" --benchmark_min_time=0.2 \
    --benchmark_out="$work/ours.json" --benchmark_out_format=json | tee "$work/ours.txt" | grep -E 'step|search' || true

names() { python3 benchmarks/gpu_report.py names "$work/ours.json"; }
say "cuDNN"
if [[ -x $cudnn ]]; then
    names | timeout "$(($(left) / 2))" "$cudnn" "$work/cudnn.json" || echo "not all of it (exit $?)"
else
    echo "$cudnn is missing: it is built where cuDNN stands beside the CUDA Toolkit"
fi

say "PyTorch"
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    names >"$work/names"
    (cd benchmarks/peers && timeout "$(left)" python3 cuda_peer.py "$work/torch.json" <"$work/names") || echo "not all of it (exit $?)"
else
    echo "there is none that finds the GPU"
fi

say "results"
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem --format=csv,noheader | head -n 1 >"$work/gpu"
python3 benchmarks/gpu_report.py results "$work" ${out:+"$out"}
