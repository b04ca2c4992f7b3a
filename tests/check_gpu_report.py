"""What benchmarks/gpu_report.py makes of results: three files put together, one of them cut short, none at all."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "benchmarks", "gpu_report.py")

OURS = {"context": {"hwnas_device": "cuda:0, some GPU"}, "benchmarks": [
    {"name": "depthwise_conv/forward/n256_28x28x16_k3/cold/iterations:1/manual_time", "real_time": 6.0, "time_unit": "us",
     "of_copy": 91.6, "GB/s": 4200.0},
    {"name": "depthwise_conv/backward/n256_28x28x16_k3/hot/iterations:1/manual_time", "real_time": 8.0, "time_unit": "us"},
    {"name": "weighted_sum/forward/n256_28x28x16_of3/hot/iterations:1/manual_time", "real_time": 7.0, "time_unit": "us"},
    {"name": "adam/step/55066/real_time", "real_time": 3.0, "time_unit": "us"},
    {"name": "search_step/paper/256/real_time", "real_time": 0.5, "time_unit": "ms", "items_per_second": 512000.0}]}
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
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(OURS, file)
            file.flush()
            done = subprocess.run([sys.executable, PROGRAM, "names", file.name], capture_output=True, text=True)
        self.assertEqual(done.stdout.split(), [FORWARD, BACKWARD, STEP])

    def test_ratios_are_to_the_better_of_both(self):
        result, text = self.run_on(ours__json=OURS, cudnn__json=CUDNN, torch__json=TORCH, gpu="Some GPU, 580.1, 1980 MHz\n",
                                   tests="a\nb\nc\nAll tests passed\n", tests__status="0\n", sanitizer="memcheck 0 none\n")
        self.assertEqual([result["gpu"], result["tests"], result["tests_exit"], result["sanitizer"]],
                         ["Some GPU, 580.1, 1980 MHz", ["b", "c", "All tests passed"], "0", ["memcheck 0 none"]])
        self.assertEqual(result["peers"], {"cudnn": {"cudnn": "9.19.0"}, "torch": {"torch": "2.11", "cudnn": 91900}})
        rows = {row["name"]: row for row in result["results"]}
        self.assertEqual(len(rows), 5)
        forward = rows[FORWARD]
        self.assertAlmostEqual(forward["seconds"], 6e-6)
        self.assertEqual([forward["of_copy"], forward["best"]], [91.6, "cudnn: NCHW, algorithm 0"])
        self.assertAlmostEqual(forward["ratio"], 2.0)  # TF32 is faster and does not count
        self.assertAlmostEqual(forward["ratio_tf32"], 1.5)
        self.assertEqual(forward["cudnn"], CUDNN["seconds"][FORWARD])
        self.assertEqual(rows[BACKWARD]["best"], "torch: contiguous")  # all that cuDNN has there is TF32
        self.assertAlmostEqual(rows[BACKWARD]["ratio"], 10.0)
        self.assertAlmostEqual(rows[BACKWARD]["ratio_tf32"], 0.5)
        self.assertEqual(sorted(rows[STEP]), ["items_per_second", "name", "seconds"])
        line = next(line for line in text.splitlines() if line.startswith(FORWARD))
        self.assertEqual(line[len(FORWARD):].split()[:6], ["6.00", "92", "12.00", "18.00", "2.00", "1.50"])
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


if __name__ == "__main__":
    unittest.main()
