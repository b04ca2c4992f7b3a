"""PyTorch on a GPU, for benchmarks/gpu_report.sh: reads names of our benchmarks from standard input, one a line, and
writes {name: {configuration: seconds a call}} as JSON to the file given. Ops run inside captured graphs, hot and cold, in both
layouts, with and without cuDNN's search; steps eagerly, compiled in both of its modes, and in a captured graph."""

import json
import math
import os
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
    flat = base.split("/")[0] in torch_ops.WITHOUT_LAYOUT
    found = {}
    for label, layout in list(LAYOUTS.items())[:1] if flat else LAYOUTS.items():
        for search in (False,) if flat else (False, True):
            torch.backends.cudnn.benchmark = search
            try:
                first = torch_ops.make(base, layout)
                size = torch_ops.elements(base)
                copies = max(2, min(64, math.ceil(BEYOND_CACHES / (8 * size)))) if temperature == "cold" else 1
                calls = [first] + [torch_ops.make(base, layout) for _ in range(copies - 1)]
                found[f"{label}{', cudnn.benchmark' if search else ''}"] = in_graph(calls)
            except RuntimeError as error:
                print(f"{name}: {label}: {error}", file=sys.stderr)
    return found


def several(run, times=20):
    def all_of_them():
        for _ in range(times):
            run()

    return timed(all_of_them) / times


def captured(run):
    """Seconds of a step that was captured once, its batch's place in the data aside."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(5):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return several(graph.replay)


def step(name):
    kind, space, batch = name.split("/")[:3]
    make = {"search_step": torch_supernet.search_step, "train_step": torch_supernet.train_step}[kind]
    torch.backends.cudnn.benchmark = True
    found = {}

    def plan(label, measure):
        try:
            found[label] = measure()
        except Exception as error:  # a compiler that is not there is no reason to stop
            print(f"{name}: {label}: {(str(error).splitlines() or [type(error).__name__])[0]}", file=sys.stderr)

    def warm(layout, mode):
        run, _ = make(space, int(batch), layout, mode)
        for _ in range(10):
            run()
        return several(run)

    for label, layout in LAYOUTS.items():
        plan(label, lambda: warm(layout, None))
        plan(f"{label}, eager in a graph", lambda: captured(make(space, int(batch), layout, None, capturable=True)[0]))
    for label, layout in LAYOUTS.items():  # compiling takes longest
        plan(f"{label}, compiled", lambda: warm(layout, "default"))
        plan(f"{label}, compiled, reduce-overhead", lambda: warm(layout, "reduce-overhead"))
    return found


def main():
    results = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "seconds": {}}
    for name in filter(None, map(str.strip, sys.stdin)):
        try:
            results["seconds"][name] = step(name) if "_step/" in name else op(name)
        except ValueError:
            continue  # an op that only we have
        with open(sys.argv[1] + ".new", "w") as file:
            json.dump(results, file, indent=1)
        os.replace(sys.argv[1] + ".new", sys.argv[1])  # whole, whenever time runs out


if __name__ == "__main__":
    main()
