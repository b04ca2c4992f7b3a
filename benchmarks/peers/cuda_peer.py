"""PyTorch on a GPU, for benchmarks/gpu_report.sh: reads names of our benchmarks from standard input, one a line, and
writes {name: {configuration: seconds a call}} as JSON to the file given. Ops run inside captured graphs, hot and cold, in both
layouts, with and without cuDNN's search; steps eagerly and in a captured graph, and in the end compiled in both of its modes. The file
is written after every plan."""

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


def op_plans(name):
    """(label, what measures it) for every layout, with and without cuDNN's search."""
    base, temperature = name.rsplit("/", 1)
    flat = base.split("/")[0] in torch_ops.WITHOUT_LAYOUT

    def measure(layout, search):
        torch.backends.cudnn.benchmark = search
        first = torch_ops.make(base, layout)
        size = torch_ops.elements(base)
        copies = max(2, min(64, math.ceil(BEYOND_CACHES / (8 * size)))) if temperature == "cold" else 1
        return in_graph([first] + [torch_ops.make(base, layout) for _ in range(copies - 1)])

    for label, layout in list(LAYOUTS.items())[:1] if flat else LAYOUTS.items():
        for search in (False,) if flat else (False, True):
            yield (f"{label}{', cudnn.benchmark' if search else ''}",
                   lambda layout=layout, search=search: measure(layout, search))


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
    """(label, what measures it) of a step; compiling is apart, since it takes minutes."""
    kind, space, batch = name.split("/")[:3]
    make = {"search_step": torch_supernet.search_step, "train_step": torch_supernet.train_step}[kind]

    def warm(layout, mode):
        torch.backends.cudnn.benchmark = True
        run, _ = make(space, int(batch), layout, mode)
        for _ in range(10):
            run()
        return several(run)

    def in_a_graph(layout):
        torch.backends.cudnn.benchmark = True
        return captured(make(space, int(batch), layout, None, capturable=True)[0])

    for label, layout in LAYOUTS.items():
        if compiled:
            yield f"{label}, compiled", lambda layout=layout: warm(layout, "default")
            yield f"{label}, compiled, reduce-overhead", lambda layout=layout: warm(layout, "reduce-overhead")
        else:
            yield label, lambda layout=layout: warm(layout, None)
            yield f"{label}, eager in a graph", lambda layout=layout: in_a_graph(layout)


def all_plans(names):
    """(name, label, what measures it), in the order of worth: the time may be over after any of them."""
    steps = [name for name in names if "_step/" in name]
    steps.sort(key=lambda name: (not name.startswith("search_step/"), not name.endswith("/256")))
    first = [name for name in steps if name.endswith("/256")]
    rest = [name for name in steps if name not in first]
    for some, compiled in ((first, False), (None, None), (first, True), (rest, False), (rest, True)):
        for name in some if some is not None else [name for name in names if name not in steps]:
            for label, measure in op_plans(name) if some is None else step_plans(name, compiled):
                yield name, label, measure


def main():
    results = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "seconds": {}}
    for name, label, measure in all_plans(list(filter(None, map(str.strip, sys.stdin)))):
        try:
            seconds = measure()
        except ValueError:
            continue  # an op that only we have
        except Exception as error:  # a compiler that is not there, memory that is not: no reason to stop
            print(f"{name}: {label}: {(str(error).splitlines() or [type(error).__name__])[0]}", file=sys.stderr)
            continue
        results["seconds"].setdefault(name, {})[label] = seconds
        with open(sys.argv[1] + ".new", "w") as file:
            json.dump(results, file, indent=1)
        os.replace(sys.argv[1] + ".new", sys.argv[1])  # whole, whenever time runs out


if __name__ == "__main__":
    main()
