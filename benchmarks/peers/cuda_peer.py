"""PyTorch on a GPU, for benchmarks/gpu_report.sh: reads names of our benchmarks from standard input, one a line, and
writes {name: {configuration: seconds a call}} as JSON to the file given, anew after every configuration. Ops run inside
captured graphs, hot and cold, in both layouts, with and without cuDNN's search; steps eagerly, compiled in both of its modes,
and in a captured graph."""

import json
import math
import os
import re
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


def timed(run):
    """Median of 31 waits for run(), of fewer, at least nine, where they take long."""
    samples = []
    begin = time.perf_counter()
    while len(samples) < 9 or len(samples) < 31 and time.perf_counter() - begin < 0.1:
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
        if seconds >= 2e-3 or times * len(calls) >= 4096:
            return seconds / times / len(calls)
        times *= 2


def op_plans(name):
    """(configuration, function that measures it) of an op."""
    base, temperature = name.rsplit("/", 1)
    flat = base.split("/")[0] in torch_ops.WITHOUT_LAYOUT

    def measured(layout, search):
        torch.backends.cudnn.benchmark = search
        size = torch_ops.elements(base)
        copies = max(2, min(64, math.ceil(BEYOND_CACHES / (8 * size)))) if temperature == "cold" else 1
        return in_graph([torch_ops.make(base, layout) for _ in range(copies)])

    for label, layout in list(LAYOUTS.items())[:1] if flat else LAYOUTS.items():
        for search in (False,) if flat else (False, True):
            yield f"{label}{', cudnn.benchmark' if search else ''}", lambda: measured(layout, search)


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


def step_plans(name, compiled):
    """(configuration, function that measures it) of a step: those that are compiled, or all others."""
    kind, space, batch = name.split("/")[:3]
    make = {"search_step": torch_supernet.search_step, "train_step": torch_supernet.train_step}[kind]

    def warm(layout, mode):
        torch.backends.cudnn.benchmark = True
        run, _ = make(space, int(batch), layout, mode)
        for _ in range(10):
            run()
        return several(run)

    def graph(layout):
        torch.backends.cudnn.benchmark = True
        return captured(make(space, int(batch), layout, None, capturable=True)[0])

    for label, layout in LAYOUTS.items():
        if compiled:
            yield f"{label}, compiled", lambda: warm(layout, "default")
            yield f"{label}, compiled, reduce-overhead", lambda: warm(layout, "reduce-overhead")
        else:
            yield label, lambda: warm(layout, None)
            yield f"{label}, eager in a graph", lambda: graph(layout)


def plans_of(names):
    """(name, configuration, function) of all, what is worth most first and what a compiler may take minutes for last."""
    steps = [name for name in names if "_step/" in name]
    first = [name for name in steps if re.match("[a-z]+_step/(paper|pointwise)/256", name)]
    for name in first + [n for n in names if n not in steps] + [n for n in steps if n not in first]:
        for plan in step_plans(name, compiled=False) if name in steps else op_plans(name):
            yield name, *plan
    for name in first + [n for n in steps if n not in first]:
        for plan in step_plans(name, compiled=True):
            yield name, *plan


def main():
    results = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "seconds": {}}
    for name, plan, measure in plans_of([line.strip() for line in sys.stdin if line.strip()]):
        try:
            results["seconds"].setdefault(name, {})[plan] = measure()
        except Exception as error:  # an op that only we have or a compiler that is not there is no reason to stop
            print(f"{name}: {plan}: {(str(error).splitlines() or [type(error).__name__])[0]}", file=sys.stderr)
            continue
        with open(sys.argv[1] + ".new", "w") as file:
            json.dump(results, file, indent=1)
        os.replace(sys.argv[1] + ".new", sys.argv[1])  # whole, whenever time runs out


if __name__ == "__main__":
    main()
