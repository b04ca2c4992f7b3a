"""PyTorch on a GPU, for benchmarks/gpu_report.sh: reads names of our benchmarks from standard input, one a line, and
writes {name: {configuration: seconds a call}} as JSON to the file given. Ops run inside captured graphs, hot and cold, in both
layouts, with and without cuDNN's search; steps eagerly and compiled."""

import json
import math
import statistics
import sys
import time

import torch

torch.set_default_device("cuda")
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False

import torch_ops
import torch_supernet

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
BEYOND_CACHES = 200e6


def timed(run, least=5e-3):
    """Median of nine waits for run(), and how often it has to be called to last `least` seconds is up to run()."""
    samples = []
    for _ in range(9):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def in_graph(calls):
    """Seconds of one of the calls, which a graph makes in turn, many times."""
    for call in calls:
        call()
    torch.cuda.synchronize()
    times = 1
    while True:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(times):
                for call in calls:
                    call()
        graph.replay()
        seconds = timed(graph.replay)
        if seconds >= 5e-3 or times * len(calls) >= 4096:
            return seconds / times / len(calls)
        times *= 2


def op(name):
    base, temperature = name.rsplit("/", 1)
    found = {}
    for label, layout in LAYOUTS.items():
        for search in (False, True):
            torch.backends.cudnn.benchmark = search
            try:
                first = torch_ops.make(base, layout)
                n, h, w, c = torch_ops.extents(base.split("/")[2])[:4]
                copies = max(2, min(64, math.ceil(BEYOND_CACHES / (8 * n * h * w * c)))) if temperature == "cold" else 1
                calls = [first] + [torch_ops.make(base, layout) for _ in range(copies - 1)]
                found[f"{label}{', cudnn.benchmark' if search else ''}"] = in_graph(calls)
            except (RuntimeError, ValueError) as error:
                print(f"{name}: {label}: {error}", file=sys.stderr)
    return found


def step(name):
    kind, space, batch = name.split("/")[:3]
    make = {"search_step": torch_supernet.search_step, "train_step": torch_supernet.train_step}[kind]
    found = {}
    for label, layout in LAYOUTS.items():
        for compiled in (False, True):
            try:
                torch.backends.cudnn.benchmark = True
                run, _ = make(space, int(batch), layout, compiled)
                for _ in range(10):
                    run()

                def several():
                    for _ in range(20):
                        run()

                found[f"{label}{', compiled' if compiled else ''}"] = timed(several) / 20
            except Exception as error:  # a compiler that is not there is no reason to stop
                print(f"{name}: {label}: {str(error).splitlines()[0]}", file=sys.stderr)
    return found


def main():
    results = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "seconds": {}}
    for name in filter(None, map(str.strip, sys.stdin)):
        try:
            results["seconds"][name] = step(name) if "_step/" in name else op(name)
        except ValueError:
            continue  # an op that only we have
        with open(sys.argv[1], "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
