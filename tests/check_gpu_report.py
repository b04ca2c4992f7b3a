"""What benchmarks/gpu_report.py makes of results, whole, cut short and missing; and benchmarks/gpu_report.sh on made-up
programs: sections that hang or die, red tests, no GPU."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "benchmarks", "gpu_report.py")

OURS = {"context": {"hwnas_device": "cuda:0, some GPU"}, "benchmarks": [
    {"name": "depthwise_conv/forward/n256_28x28x16_k3/cold/iterations:1/manual_time", "real_time": 6.0, "time_unit": "us",
     "of_copy": 91.6, "of_floor": 84.4, "GB/s": 4200.0, "p10_us": 5.9, "p90_us": 6.3},
    {"name": "depthwise_conv/backward/n256_28x28x16_k3/hot/iterations:1/manual_time", "real_time": 8.0, "time_unit": "us"},
    {"name": "weighted_sum/forward/n256_28x28x16_of3/hot/iterations:1/manual_time", "real_time": 7.0, "time_unit": "us"},
    {"name": "adam/zero_grad/55066/hot/iterations:1/manual_time", "real_time": 3.0, "time_unit": "us"},
    {"name": "search_step/paper/256/real_time", "real_time": 0.5, "time_unit": "ms", "items_per_second": 512000.0,
     "of_floor": 61.5}]}
FORWARD, BACKWARD, STEP = ("depthwise_conv/forward/n256_28x28x16_k3/cold", "depthwise_conv/backward/n256_28x28x16_k3/hot",
                           "search_step/paper/256")
CUDNN = {"cudnn": "9.19.0", "seconds": {
    FORWARD: {"NHWC, algorithm 1": 15e-6, "NCHW, algorithm 0": 12e-6, "NHWC, algorithm 1, tf32": 9e-6},
    BACKWARD: {"NHWC, data algorithm 1, filter algorithm 1, tf32": 4e-6}}}
TORCH = {"torch": "2.11", "cudnn": 91900, "seconds": {FORWARD: {"channels_last": 18e-6, "contiguous": 30e-6},
                                                     BACKWARD: {"contiguous": 80e-6}, STEP: {}}}


class Report(unittest.TestCase):
    def run_on(self, **files):
        with tempfile.TemporaryDirectory() as work:
            for name, content in files.items():
                with open(os.path.join(work, name.replace("__", ".")), "w") as file:
                    file.write(content if isinstance(content, str) else json.dumps(content))
            out = os.path.join(work, "out.json")
            done = subprocess.run([sys.executable, PROGRAM, "results", work, out], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(out) as file:
                return json.load(file), done.stdout

    def test_names_are_those_that_peers_may_have(self):
        with tempfile.TemporaryDirectory() as work:
            with open(os.path.join(work, "ours.json"), "w") as file:
                linear = {"name": "linear/forward/128x256_to10/hot/iterations:1/manual_time", "real_time": 2.0}
                json.dump({"benchmarks": [*OURS["benchmarks"], linear]}, file)
            done = subprocess.run([sys.executable, PROGRAM, "names", work], capture_output=True, text=True)
        self.assertEqual(done.stdout.split(), [FORWARD, BACKWARD, STEP, "linear/forward/128x256_to10/hot"])

    def test_ratios_are_to_the_better_of_both(self):
        result, text = self.run_on(ours__json=OURS, cudnn__json=CUDNN, torch__json=TORCH, gpu="Some GPU, 580.1, 1980 MHz\n",
                                   tests="a\nb\nc\nAll tests passed\n", sanitizer="memcheck 0 none\n",
                                   sections="tests\tok, 3 s\n")
        self.assertEqual([result["gpu"], result["tests"], result["sections"], result["sanitizer"], result["problems"]],
                         ["Some GPU, 580.1, 1980 MHz", ["b", "c", "All tests passed"], {"tests": "ok, 3 s"},
                          ["memcheck 0 none"], []])
        self.assertEqual(result["peers"], {"cudnn": {"cudnn": "9.19.0"}, "torch": {"torch": "2.11", "cudnn": 91900}})
        rows = {row["name"]: row for row in result["results"]}
        self.assertEqual(len(rows), 5)
        forward = rows[FORWARD]
        self.assertAlmostEqual(forward["seconds"], 6e-6)
        self.assertEqual([forward["of_copy"], forward["best"]], [91.6, "cudnn: NCHW, algorithm 0"])
        self.assertEqual([forward["of_floor"], forward["p10_us"], forward["p90_us"]], [84.4, 5.9, 6.3])
        self.assertAlmostEqual(forward["ratio"], 2.0)  # TF32 is faster and does not count
        self.assertAlmostEqual(forward["ratio_tf32"], 1.5)
        self.assertEqual(forward["cudnn"], CUDNN["seconds"][FORWARD])
        self.assertEqual(rows[BACKWARD]["best"], "torch: contiguous")  # all that cuDNN has there is TF32
        self.assertAlmostEqual(rows[BACKWARD]["ratio"], 10.0)
        self.assertAlmostEqual(rows[BACKWARD]["ratio_tf32"], 0.5)
        self.assertEqual(sorted(rows[STEP]), ["items_per_second", "name", "of_floor", "seconds"])
        line = next(line for line in text.splitlines() if line.startswith(FORWARD))
        self.assertEqual(line[len(FORWARD):].split()[:7], ["6.00", "92", "84", "12.00", "18.00", "2.00", "1.50"])
        self.assertTrue(line.endswith("cudnn: NCHW, algorithm 0"))
        line = next(line for line in text.splitlines() if line.startswith(BACKWARD))
        self.assertEqual(line[len(BACKWARD):].split()[:4], ["8.00", "80.00", "10.00", "0.50"])
        self.assertIn("written ", text)

    def test_nothing_is_needed_but_ours(self):
        result, _ = self.run_on(ours__json=OURS, gpu="Some GPU")
        self.assertEqual([len(result["results"]), result["peers"]], [5, {"cudnn": {}, "torch": {}}])
        self.assertFalse(any("ratio" in row for row in result["results"]))
        result, _ = self.run_on(gpu="Some GPU")
        self.assertEqual(result["results"], [])

    def test_what_was_cut_short_counts_as_far_as_it_goes(self):
        whole, peer = json.dumps(OURS), json.dumps(TORCH)
        for cut in range(len(whole)):
            result, _ = self.run_on(ours__json=whole[:cut], gpu="Some GPU") if cut % 97 == 0 else (None, None)
            if result:
                complete = whole[:cut].count("}") - 1  # the first is that of the context
                self.assertEqual(len(result["results"]), max(0, complete))
        result, _ = self.run_on(ours__json=OURS, torch__json=peer[:peer.index(BACKWARD) + 5])
        self.assertEqual([row["name"] for row in result["results"] if "torch" in row], [FORWARD])
        self.assertEqual(result["peers"]["torch"]["torch"], "2.11")
        result, _ = self.run_on(ours__json=whole[:-30], ours__steps__json={"benchmarks": OURS["benchmarks"][-1:]},
                                sections="steps\tok\n")
        self.assertEqual([row["name"] for row in result["results"]][-1], STEP)
        self.assertEqual(len(result["results"]), 5)

    def test_problems_come_first(self):
        result, text = self.run_on(gpu="Some GPU", problems="tests are red: 3 failed\n")
        self.assertEqual([text.splitlines()[0], result["problems"]],
                         ["!! tests are red: 3 failed", ["tests are red: 3 failed"]])


# A PyTorch whose compiler never comes back, and networks and ops in it that do nothing.
TORCH_THAT_HANGS = """
import os, sys, time
from unittest.mock import MagicMock
def log(*words):
    with open(os.environ["LOG"], "a") as file:
        print(*words, file=file)
def step(space, batch, layout, compiled, capturable=False):
    log(space, batch, layout, compiled, capturable)
    time.sleep(600 if compiled else 0)
    return (lambda: None), 7
def make(name, layout):
    log(name, layout)
    if name.startswith("ours_only"):
        raise ValueError("no op here")
    return lambda: None
sys.modules["torch_supernet"] = MagicMock(search_step=step, train_step=step)
sys.modules["torch_ops"] = MagicMock(make=make, elements=lambda name: 1e8, WITHOUT_LAYOUT=())
torch = MagicMock(__version__="9.8", contiguous_format="nchw", channels_last="nhwc")
torch.backends.cudnn.version = lambda: 91900
sys.modules["torch"] = torch
"""


class TorchPeer(unittest.TestCase):
    def test_what_was_measured_before_a_compiler_hangs_is_kept(self):
        names = ["search_step/paper/128", "search_step/separable/256", STEP, "train_step/pointwise/256", "ours_only/forward/1x2/hot",
                 BACKWARD, FORWARD]
        with tempfile.TemporaryDirectory() as work:
            with open(os.path.join(work, "torch.py"), "w") as file:
                file.write(TORCH_THAT_HANGS)
            out, log = os.path.join(work, "torch.json"), os.path.join(work, "log")
            peer = os.path.join(os.path.dirname(os.path.abspath(PROGRAM)), "peers", "cuda_peer.py")
            process = subprocess.Popen([sys.executable, peer, out], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       env={**os.environ, "PYTHONPATH": work, "LOG": log})
            process.stdin.write("\n".join(names))
            process.stdin.close()
            begin, lines = time.monotonic(), []
            while not any("default" in line for line in lines) and time.monotonic() - begin < 60 and process.poll() is None:
                time.sleep(0.05)
                if os.path.exists(log):
                    with open(log) as file:
                        lines = file.read().splitlines()
            process.terminate()
            process.wait()
            self.assertIn("ours_only/forward/1x2/hot: contiguous: no op here", process.stderr.read())
            process.stderr.close()
            with open(out) as file:
                text = file.read()
        steps = {"contiguous", "contiguous, eager in a graph", "channels_last", "channels_last, eager in a graph"}
        ops = {f"{layout}{search}" for layout in ("contiguous", "channels_last") for search in ("", ", cudnn.benchmark")}
        seconds = json.loads(text)["seconds"]
        self.assertEqual({name: set(plans) for name, plans in seconds.items()},
                         {name: steps if "_step/" in name else ops for name in names if "ours_only" not in name})
        self.assertEqual(list(seconds), [STEP, "train_step/pointwise/256", BACKWARD, FORWARD, "search_step/paper/128",
                                         "search_step/separable/256"])
        self.assertEqual(lines[-1], "paper 256 nchw default False")  # the first that hangs is one of the most wanted
        result, _ = Report.run_on(self, ours__json=OURS, torch__json=text)
        self.assertEqual({row["name"] for row in result["results"] if "torch" in row}, {STEP, BACKWARD, FORWARD})


SCRIPT = os.path.join(os.path.dirname(os.path.abspath(PROGRAM)), "gpu_report.sh")
BENCHMARKS = """#!/bin/sh
echo "$HWNAS_SECTION $* $HWNAS_GPU_MHZ" >>"$LOG"
for a; do case $a in --benchmark_out=*) out=${a#*=} ;; esac; done
case " $BREAK " in *" $HWNAS_SECTION-missing "*) echo 'HWNAS_DEVICE is "cuda": there is no CUDA device here'; exit 2 ;; esac
[ "$HWNAS_SECTION" != device ] || printf 'relu/forward/n256_28x28x1/hot\nsome_op/forward/28x3/hot\nsearch_step/paper/256\n'
[ -z "$out" ] || printf '{"context": {"a": 1}, "benchmarks": [{"name": "relu/%s", "real_time": 1, "time_unit": "us"}' \
    "$HWNAS_SECTION" >"$out"
case " $BREAK " in *" $HWNAS_SECTION-hangs "*) sleep 600 ;; *" $HWNAS_SECTION-dies "*) kill -SEGV $$ ;; esac
[ -z "$out" ] || echo ']}' >>"$out"
"""
TESTS = """#!/bin/sh
case " $BREAK " in *" tests-red "*) echo 'Failed 3 test cases'; exit 3 ;; *" tests-hang "*) sleep 600 ;; esac
echo 'All tests passed'
"""
SANITIZER = """#!/bin/sh
echo "sanitizer $* $HWNAS_SMALL_SHAPES" >>"$LOG"
case " $BREAK " in *" $2-late "*) echo '========= Invalid __global__ read of size 4 bytes'; sleep 600 ;; esac
case " $BREAK " in *" $2-crash "*) echo '========= Error: Race reported between'; kill -SEGV $$ ;; esac
case " $BREAK " in *" $2-hangs "*) trap "echo '========= Error: process did not terminate successfully'; exit 1" TERM; sleep 9 ;; esac
case " $BREAK " in *" $2-hangs "*) sleep 600 ;; *" $2-finds "*) echo '== ERROR SUMMARY: 2 errors'; exit 9 ;;
*" $2-breaks "*) echo 'Error: no device'; exit 1 ;; esac
echo '========= ERROR SUMMARY: 0 errors'
"""
NVIDIA_SMI = """#!/bin/sh
case "$*" in *clocks.max.sm*nounits) echo 1980 ;; *" -l 1") printf '300\\n1980\\n1700\\n[N/A]\\n'; exec sleep 600 ;; *) echo 'Some GPU, 580' ;; esac
"""
# Builds what is there already, in its time.
CMAKE = """#!/bin/sh
echo "cmake $*" >>"$LOG"
case "$*" in *help*) echo hwnas_cudnn_peer ;; *"--build build/release"*hwnas_benchmarks) sleep "$BUILD_SECONDS" ;; esac
"""
CUDNN_PEER = """#!/bin/sh
cat >/dev/null
printf '{"cudnn": "9", "seconds": {"relu/ops": {"a": 2e-6}' >"$1"
case " $BREAK " in *" cudnn-hangs "*) sleep 600 ;; esac
echo '}}' >>"$1"
"""


class Script(unittest.TestCase):
    def run_on(self, broken="", seconds=24, sanitizer=True, cudnn=True, build_seconds=None):
        """build_seconds: in a tree of its own, where building takes so long."""
        with tempfile.TemporaryDirectory() as work:
            tools, tree = os.path.join(work, "tools"), os.path.join(work, "tree")
            programs = {name: os.path.join(work, "programs") for name in ("hwnas_benchmarks", "test_cuda", "hwnas_cudnn_peer")}
            script = SCRIPT
            if build_seconds is not None:
                programs = {name: os.path.join(tree, "build/release/benchmarks") for name in programs}
                programs["test_cuda"] = os.path.join(tree, "build/test/tests")
                script = os.path.join(tree, "benchmarks", "gpu_report.sh")
                os.makedirs(os.path.dirname(script))
                shutil.copy(SCRIPT, script), shutil.copy(PROGRAM, os.path.dirname(script))
            for directory in {tools, *programs.values()}:
                os.makedirs(directory)

            def program(directory, name, text):
                path = os.path.join(directory, name)
                with open(path, "w") as file:
                    file.write(text)
                os.chmod(path, 0o755)

            program(programs["hwnas_benchmarks"], "hwnas_benchmarks", BENCHMARKS)
            program(programs["test_cuda"], "test_cuda", TESTS)
            program(tools, "nvidia-smi", NVIDIA_SMI)
            program(tools, "cmake", CMAKE)
            if cudnn:
                program(programs["hwnas_cudnn_peer"], "hwnas_cudnn_peer", CUDNN_PEER)
            for tool in ("bash", "sh", "awk", "timeout", "grep", "head", "tail", "tr", "cat", "mktemp", "rm", "sleep",
                         "dirname", "sed", "cut", "sort", "paste", "mkdir", "nproc"):
                os.symlink(shutil.which(tool), os.path.join(tools, tool))
            # A Python that finds no PyTorch.
            program(tools, "python3", f"#!/bin/sh\n[ \"$1\" != -c ] || exit 1\nexec {sys.executable} \"$@\"\n")
            if sanitizer:
                program(tools, "compute-sanitizer", SANITIZER)
            out, log = os.path.join(work, "out.json"), os.path.join(work, "log")
            begin = time.monotonic()
            built = ["--programs", programs["test_cuda"]] if build_seconds is None else []
            done = subprocess.run(["bash", script, *built, "--out", out, "--seconds", str(seconds)], capture_output=True, text=True,
                                  env={"PATH": tools, "BREAK": broken, "LOG": log, "TMPDIR": work,
                                       "BUILD_SECONDS": str(build_seconds)})
            self.assertLess(time.monotonic() - begin, seconds + 120)
            self.assertTrue(os.path.exists(out), done.stdout + done.stderr)
            with open(out) as file:
                result = json.load(file)
            with open(log) as file:
                return done, result, file.read()

    def names(self, result):
        return [row["name"] for row in result["results"]]

    def test_everything_runs_in_its_order(self):
        done, result, log = self.run_on()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(list(result["sections"]), ["device", "tests", "sanitizer", "steps", "inference", "depthwise", "ops", "imagenet",
                                                    "cudnn", "torch"])
        self.assertEqual({how.split(",")[0] for name, how in result["sections"].items() if name != "torch"}, {"ok"})
        self.assertEqual(result["sections"]["torch"], "not installed, or it finds no GPU")
        self.assertEqual(self.names(result), ["relu/steps", "relu/inference", "relu/depthwise", "relu/ops", "relu/imagenet"])
        self.assertEqual(result["results"][3]["best"], "cudnn: a")
        self.assertEqual(len(result["sanitizer"]), 4)
        self.assertRegex(log, "(?m)^steps --benchmark_filter=.*[(]peak[|]search_step.* 1980$")
        self.assertEqual(result["clocks_mhz"]["ops"], [300, 1700, 1980])
        self.assertIn("^((relu|some_op)/.*(n256_", log)
        self.assertEqual(log.count("~[long]*agree* 1"), 4)  # the short list, small shapes

    def test_a_section_that_hangs_or_dies_takes_no_other_with_it(self):
        done, result, _ = self.run_on("steps-hangs cudnn-hangs racecheck-hangs")
        self.assertEqual([done.returncode, result["problems"]], [0, []], done.stdout + done.stderr)
        done, result, _ = self.run_on("steps-hangs depthwise-dies cudnn-hangs racecheck-hangs")
        self.assertEqual(done.returncode, 1)
        self.assertRegex("\n".join(result["problems"]), "^benchmarks of depthwise ended with [0-9]+: .*$")
        self.assertIn("timed out", result["sections"]["steps"])
        self.assertRegex(result["sections"]["depthwise"], "^exit [0-9]+$")
        self.assertIn("timed out", result["sections"]["cudnn"])
        self.assertIn("ok", result["sections"]["ops"])
        self.assertEqual(self.names(result), ["relu/steps", "relu/inference", "relu/depthwise", "relu/ops", "relu/imagenet"])
        self.assertEqual(result["results"][3]["best"], "cudnn: a")
        self.assertIn("racecheck timed out", result["sanitizer"])
        self.assertEqual(len(result["sanitizer"]), 4)

    def test_red_tests_are_said_first_and_the_rest_runs(self):
        done, result, _ = self.run_on("tests-red memcheck-finds")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(result["problems"], ["tests are red: Failed 3 test cases", "compute-sanitizer found errors"])
        self.assertEqual(len(result["results"]), 5)
        table = done.stdout[done.stdout.index("== torch" if "== torch" in done.stdout else "   torch:"):].splitlines()
        self.assertEqual(table[1], "!! tests are red: Failed 3 test cases")

    def test_what_was_not_through_is_not_taken_for_red(self):
        hang = " ".join(f"{tool}-hangs" for tool in ("memcheck", "racecheck", "initcheck", "synccheck"))
        done, result, _ = self.run_on("tests-hang " + hang)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(result["problems"], ["tests were not through in their time: ",
                                              "no tool of compute-sanitizer was through in its time"])
        self.assertEqual(len(result["results"]), 5)
        done, result, _ = self.run_on("memcheck-breaks")
        self.assertEqual([done.returncode, result["problems"]], [1, ["compute-sanitizer does not run here"]])

    def test_errors_that_a_sanitizer_found_before_it_was_stopped_count(self):
        done, result, _ = self.run_on("memcheck-late racecheck-crash initcheck-hangs")
        self.assertEqual([done.returncode, result["problems"]], [1, ["compute-sanitizer found errors"]])
        lines = {line.split()[0]: line for line in result["sanitizer"]}
        self.assertEqual(lines["memcheck"],
                         "memcheck 9, timed out; the first error until then: Invalid __global__ read of size 4 bytes")
        self.assertRegex(lines["racecheck"],
                         "^racecheck 9, exit [0-9]+: .*; the first error until then: Error: Race reported between$")
        self.assertEqual([lines["initcheck"], lines["synccheck"]],
                         ["initcheck timed out", "synccheck 0  ERROR SUMMARY: 0 errors"])

    def test_building_is_part_of_the_time(self):
        done, result, log = self.run_on(build_seconds=3, seconds=20)
        self.assertEqual([done.returncode, result["problems"]], [0, []], done.stdout + done.stderr)
        self.assertRegex(result["sections"]["build"], "^ok, [3-9] s$")
        self.assertEqual(len(result["results"]), 5)
        self.assertEqual(log.count("cmake --build"), 4)  # the list of targets is one of them
        limit = int(re.search(r"== cudnn \([0-9]+ s, at most ([0-9]+)\)", done.stdout)[1])
        self.assertLessEqual(limit, 17)
        done, result, _ = self.run_on(build_seconds=6, seconds=10)
        self.assertRegex(result["sections"]["build"],
                         "^[6-9] s, more than half of the 10 s for all: --pack builds elsewhere$")
        self.assertEqual([len(result["results"]), done.returncode], [5, 0], done.stdout + done.stderr)

    def test_no_gpu_although_there_is_a_driver(self):
        done, result, log = self.run_on("device-missing")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(result["problems"], ["no GPU that can be used, although nvidia-smi is there: HWNAS_DEVICE is "
                                              '"cuda": there is no CUDA device here'])
        self.assertEqual([result["results"], log.count("\n")], [[], 1])

    def test_what_is_not_installed_is_said(self):
        done, result, _ = self.run_on(sanitizer=False, cudnn=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(result["sanitizer"], ["compute-sanitizer: not installed"])
        self.assertEqual(result["sections"]["sanitizer"], "not installed")
        self.assertRegex(result["sections"]["cudnn"], "^not installed")

    def test_the_short_list_has_tests_of_every_op(self):
        tests = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cuda")
        listed = set()
        for name in os.listdir(tests):
            with open(os.path.join(tests, name)) as file:
                for line in file:
                    if line.startswith("TEST_CASE(") and "agree" in line and "[cuda]" in line and "[long]" not in line:
                        listed.add(name)
        self.assertLessEqual({"depthwise_conv.cpp", "conv.cpp", "batch_norm.cpp", "max_pool.cpp", "mixed_cell.cpp",
                              "mixed_node.cpp", "gumbel_softmax.cpp", "softmax.cpp", "weighted_sum.cpp"}, listed)

    def test_budgets_add_up_to_eight_minutes(self):
        with open(SCRIPT) as file:
            text = file.read()
        lines = text[text.index("budgets='") + len("budgets='"):].split("'")[0].splitlines()
        self.assertEqual(sum(int(line.split()[1]) for line in lines), 480)


if __name__ == "__main__":
    unittest.main()
