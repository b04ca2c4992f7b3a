#!/usr/bin/env bash
# Everything that is worth knowing of the CUDA backend on the GPU at hand, in one results file: tests, compute-sanitizer,
# kernels against copies of as many bytes, searches, PyTorch beside them. Within 8 minutes; needs no network.
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

build() { # preset, target
    cmake --preset "$1" -DHWNAS_BUILD_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES="${HWNAS_CUDA_ARCHITECTURES:-90}" >/dev/null
    cmake --build "build/$1" -j "$(nproc)" --target "$2" >build/gpu_report.log 2>&1 || { tail -n 50 build/gpu_report.log; exit 1; }
}
if [[ -z $programs ]]; then
    build release hwnas_benchmarks
    build test test_cuda
fi
if [[ -n $pack ]]; then
    mkdir -p "$pack/lib"
    cp build/release/benchmarks/hwnas_benchmarks build/test/tests/test_cuda "$pack"
    strip "$pack"/hwnas_benchmarks "$pack"/test_cuda
    ldd "$pack"/hwnas_benchmarks "$pack"/test_cuda | awk '/libfmt|libbenchmark|libz|libstdc/ { print $3 }' | sort -u |
        xargs -r -I{} cp -L {} "$pack/lib"
    du -sh "$pack"
    exit
fi
if [[ -n $programs ]]; then
    export LD_LIBRARY_PATH="$(cd "$programs" && pwd)/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    tests=$programs/test_cuda benchmarks=$programs/hwnas_benchmarks
else
    tests=build/test/tests/test_cuda benchmarks=build/release/benchmarks/hwnas_benchmarks
fi
command -v nvidia-smi >/dev/null || { echo "gpu_report.sh: no NVIDIA driver here (nvidia-smi is missing)" >&2; exit 1; }

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

say "PyTorch"
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    python3 - "$work/ours.json" >"$work/names" <<'PYTHON'
import json, sys
for b in json.load(open(sys.argv[1]))["benchmarks"]:
    name = "/".join(p for p in b["name"].split("/") if p not in ("manual_time", "real_time") and not p.startswith("iterations"))
    if name.startswith(("depthwise_conv/", "max_pool/", "batch_norm/", "relu/", "conv/", "search_step/")) and "_of" not in name:
        print(name)
PYTHON
    (cd benchmarks/peers && timeout 150 python3 cuda_peer.py "$work/torch.json" <"$work/names") || true
fi

say "results"
python3 - "$work" "$out" <<'PYTHON'
import datetime, json, os, re, subprocess, sys

work, out = sys.argv[1:]
read = lambda name: open(os.path.join(work, name)).read() if os.path.exists(os.path.join(work, name)) else ""
gpu = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.mem", "--format=csv,noheader"],
                     capture_output=True, text=True).stdout.strip().splitlines()[0]
ours = json.loads(read("ours.json") or '{"benchmarks": [], "context": {}}')
peer = json.loads(read("torch.json") or "{}")
result = {"gpu": gpu, "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
          "context": ours["context"], "tests": read("tests").strip().splitlines()[-3:], "tests_exit": read("tests.status").strip(),
          "sanitizer": read("sanitizer").splitlines(), "torch": {k: v for k, v in peer.items() if k != "seconds"}, "results": []}
scale = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}
print(f"{gpu}\n{'':58}{'us':>9}{'% of copy':>11}{'torch us':>10}{'ratio':>8}  torch's best")
for b in ours["benchmarks"]:
    name = "/".join(p for p in b["name"].split("/") if p not in ("manual_time", "real_time") and not p.startswith("iterations"))
    seconds = b["real_time"] * scale[b["time_unit"]]
    row = {"name": name, "seconds": seconds} | {k: b[k] for k in ("GB/s", "of_copy", "GFLOP/s", "items_per_second") if k in b}
    theirs = peer.get("seconds", {}).get(name) or {}
    if theirs:
        best = min(theirs, key=theirs.get)
        row |= {"torch": theirs, "ratio": theirs[best] / seconds}
    result["results"].append(row)
    copy = f"{row['of_copy']:.0f}" if "of_copy" in row else ""
    print(f"{name:58}{seconds * 1e6:9.2f}{copy:>11}" + (f"{theirs[best] * 1e6:10.2f}{row['ratio']:8.2f}  {best}" if theirs else ""))
if not out:
    os.makedirs("docs/results/gpu", exist_ok=True)
    out = f"docs/results/gpu/{re.sub('[^A-Za-z0-9]+', '-', gpu.split(',')[0]).strip('-')}-{result['date'][:10]}.json"
json.dump(result, open(out, "w"), indent=1)
print("written", out)
PYTHON
