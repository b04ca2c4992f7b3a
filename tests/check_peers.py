"""What benchmarks/peers/compare.py makes of times: on a made-up program of ours and a made-up Python with a PyTorch, which say what
the test tells them."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

COMPARE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "benchmarks", "peers", "compare.py")
WORK = "search_step/paper/128"

# Ours: the next of the times, in milliseconds.
OURS = """
import json, os, sys
times = {times}
count = os.path.join({directory!r}, "count")
turn = int(open(count).read()) if os.path.exists(count) else 0
open(count, "w").write(str(turn + 1))
if turn >= len(times):
    sys.exit("no more times")
open({log!r}, "a").write("ours ")
assert sys.argv[1] == "--benchmark_filter=^search_step/paper/128/real_time$", sys.argv
print(json.dumps({{"context": {{"hwnas_version": "1.2", "hwnas_kernels": "made up"}},
                  "benchmarks": [{{"real_time": times[turn], "time_unit": "ms", "parameters": 7.0}}]}}))
"""
# A Python with a PyTorch: it is asked for the version first, then runs torch_peer.py.
PYTHON = """
import json, sys
if sys.argv[1] == "-c":
    if "onnxruntime" in sys.argv[2]:
        sys.exit(1)
    print("9.8.7", {compiles})
    sys.exit()
assert sys.argv[1].endswith("torch_peer.py") and sys.argv[2] == "search_step/paper/128", sys.argv
layout = sys.argv[sys.argv.index("--layout") + 1] + ("-compiled" if "--compile" in sys.argv else "")
peer = {peers}[layout]
if "error" in peer:
    print(json.dumps(peer), flush=True)
    sys.exit(1)
print(json.dumps({{"parameters": peer["parameters"]}}), flush=True)
for line, time in zip(sys.stdin, peer["times"]):
    assert line == "run 0.25\\n", line
    open({log!r}, "a").write(layout + " ")
    print(json.dumps({{"seconds": time / 1000}}), flush=True)
"""


class Compare(unittest.TestCase):
    def compare(self, times, peers, *options, compiles=False, rounds=3):
        with tempfile.TemporaryDirectory() as directory:
            log, out = os.path.join(directory, "log"), os.path.join(directory, "out.json")

            def program(name, text):
                path = os.path.join(directory, name)
                with open(path, "w") as file:
                    file.write(f"#!{sys.executable}\n{text}")
                os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
                return path
            ours = program("ours", OURS.format(times=times, directory=directory, log=log))
            python = program("python", PYTHON.format(peers=peers, compiles=compiles, log=log))
            done = subprocess.run([sys.executable, COMPARE, f"{WORK}$", "--program", ours, "--python", python, "--rounds", str(rounds),
                                   "--seconds", "0.25", "--threads", "2", "--json", out, *options], capture_output=True, text=True)
            report, turns = None, ""
            if os.path.exists(out):
                with open(out) as file:
                    report = json.load(file)
            if os.path.exists(log):
                with open(log) as file:
                    turns = file.read()
            return done, report, turns.split()

    def test_ratios_are_of_one_round_and_their_median_counts(self):
        done, report, turns = self.compare([10, 20, 40, 10, 10, 10], {"contiguous": {"parameters": 7, "times": [30, 20, 80]},
                                                                      "channels_last": {"parameters": 7, "times": [5, 5, 5]}})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(turns, ["ours", "contiguous"] * 3 + ["ours", "channels_last"] * 3)
        first, second = report["results"]
        self.assertEqual([first["work"], first["peer"]], [WORK, "torch 9.8.7, contiguous"])
        self.assertAlmostEqual(first["ratio"], 2)  # of 3, 1 and 2, where medians by themselves would give 30 / 20
        self.assertEqual([round(r, 9) for r in first["ratio_range"]], [1, 3])
        self.assertAlmostEqual(first["ours_seconds"], 0.02)
        self.assertAlmostEqual(first["peer_seconds"], 0.03)
        self.assertEqual([round(r["peer"], 9) for r in first["rounds"]], [0.03, 0.02, 0.08])
        self.assertAlmostEqual(second["ratio"], 0.5)
        self.assertEqual([report["hwnas"], report["kernels"], report["threads"], report["seconds"]], ["1.2", "made up", 2, 0.25])
        self.assertIn("6,400 images/s", done.stdout)  # 128 in 20 ms
        self.assertRegex(done.stdout, r" 2\.00  1\.00 to 3\.00  torch 9\.8\.7, contiguous")

    def test_another_network_is_not_compared_with(self):
        done, report, _ = self.compare([10] * 6, {"contiguous": {"parameters": 8, "times": [30] * 3},
                                                  "channels_last": {"parameters": 7, "times": [30] * 3}})
        self.assertEqual([r["peer"] for r in report["results"]], ["torch 9.8.7, channels_last"])
        self.assertIn("without torch 9.8.7, contiguous: it has 8 parameters, ours 7", done.stderr)

    def test_a_peer_that_fails_or_ends_is_left_out(self):
        done, report, _ = self.compare([10] * 6, {"contiguous": {"error": "MemoryError: too large"},
                                                  "channels_last": {"parameters": 7, "times": [30]}})
        self.assertEqual([done.returncode, report["results"]], [0, []])
        self.assertIn("without torch 9.8.7, contiguous: MemoryError: too large", done.stderr)
        self.assertIn("without torch 9.8.7, channels_last: ", done.stderr)
        self.assertIn("no peer here", done.stdout)

    def test_compiled_peers_are_asked_for_where_there_are_some(self):
        peers = {layout: {"parameters": 7, "times": [20]} for layout in ("contiguous", "channels_last", "contiguous-compiled",
                                                                        "channels_last-compiled")}
        _, report, _ = self.compare([10] * 4, peers, compiles=True, rounds=1)
        self.assertEqual([r["peer"] for r in report["results"]][2:], ["torch 9.8.7, contiguous, compiled",
                                                                     "torch 9.8.7, channels_last, compiled"])
        _, report, _ = self.compare([10] * 2, peers, "--no-compile", compiles=True, rounds=1)
        self.assertEqual(len(report["results"]), 2)

    def test_ours_that_fails_ends_it(self):
        done, _, _ = self.compare([10], {"contiguous": {"parameters": 7, "times": [30] * 3},
                                         "channels_last": {"parameters": 7, "times": [30] * 3}})
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "did not run search_step/paper/128: no more times")


# cuda_peer.py on a made-up PyTorch: everything but compiling "works", and whoever runs it has no time for that.
ON_A_GPU = """
import sys, types
torch = types.ModuleType("torch")
torch.__version__ = "9.8.7"
torch.set_default_device = lambda name: None
torch.contiguous_format, torch.channels_last = "contiguous", "channels_last"
torch.backends = types.SimpleNamespace(cuda=types.SimpleNamespace(matmul=types.SimpleNamespace()),
                                       cudnn=types.SimpleNamespace(version=lambda: 91900))
ops, supernet = types.ModuleType("torch_ops"), types.ModuleType("torch_supernet")
ops.WITHOUT_LAYOUT, ops.elements = ("softmax",), lambda name: 1000
def make_op(name, layout):
    if name.startswith("only_ours"):
        raise ValueError("no such op")
    return lambda: None
ops.make = make_op
def make_step(space, batch, layout, mode, capturable=False):
    if mode:
        sys.exit("killed while it compiles")
    return (lambda: None), 7
supernet.search_step = supernet.train_step = make_step
sys.modules.update({{"torch": torch, "torch_ops": ops, "torch_supernet": supernet}})
sys.path.insert(0, {peers!r})
import cuda_peer
cuda_peer.in_graph, cuda_peer.several, cuda_peer.captured = (lambda calls: len(calls) * 1e-6), (lambda run: 0.5), (lambda run: 0.25)
cuda_peer.main()
"""


class OnAGpu(unittest.TestCase):
    def test_what_was_measured_before_a_compiler_hangs_is_kept(self):
        names = ["search_step/paper/128", "search_step/paper/256", "relu/forward/n2_8x8x16/hot", "softmax/forward/28x3/cold",
                 "only_ours/forward/n2_8x8x16/hot"]
        with tempfile.TemporaryDirectory() as directory:
            out = os.path.join(directory, "torch.json")
            done = subprocess.run([sys.executable, "-c", ON_A_GPU.format(peers=os.path.dirname(COMPARE)), out],
                                  input="\n".join(names), capture_output=True, text=True)
            self.assertIn("killed while it compiles", done.stderr)
            with open(out) as file:
                found = json.load(file)
        self.assertEqual([found["torch"], found["cudnn"]], ["9.8.7", 91900])
        # Steps at batch 256 without a compiler, ops, and only then what takes minutes.
        self.assertEqual(list(found["seconds"]), ["search_step/paper/256", "relu/forward/n2_8x8x16/hot", "softmax/forward/28x3/cold",
                                                  "search_step/paper/128"])
        self.assertEqual(found["seconds"]["search_step/paper/256"],
                         {"contiguous": 0.5, "contiguous, eager in a graph": 0.25, "channels_last": 0.5,
                          "channels_last, eager in a graph": 0.25})
        self.assertEqual(list(found["seconds"]["relu/forward/n2_8x8x16/hot"]),
                         ["contiguous", "contiguous, cudnn.benchmark", "channels_last", "channels_last, cudnn.benchmark"])
        self.assertEqual(found["seconds"]["softmax/forward/28x3/cold"], {"contiguous": 64e-6})  # as many as no cache holds


if __name__ == "__main__":
    unittest.main()
