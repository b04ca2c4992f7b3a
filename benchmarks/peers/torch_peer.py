#!/usr/bin/env python3
"""PyTorch as a peer of compare.py. --layout onednn times the oneDNN kernel alone, by what oneDNN itself reports: without
PyTorch around it and without the reorders between layouts."""

import argparse
import os
import statistics
import tempfile

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("work", help="search_step/SPACE/BATCH, train_step/SPACE/BATCH or OP/DIRECTION/SHAPE")
arguments.add_argument("--threads", type=int, required=True)
arguments.add_argument("--layout", choices=["contiguous", "channels_last", "onednn"], default="contiguous")
arguments.add_argument("--compile", action="store_true")
options = arguments.parse_args()
if options.layout == "onednn":
    os.environ["ONEDNN_VERBOSE"] = os.environ["DNNL_VERBOSE"] = "1"

import peer  # noqa: E402  (takes over the standard output)


class OneDnnReport:
    """What oneDNN prints about the kernels it runs, caught in a file."""

    def __init__(self):
        self.file = tempfile.TemporaryFile("w+")
        os.dup2(self.file.fileno(), 1)

    def convolutions(self):
        """Seconds of every convolution since the last call."""
        import ctypes
        ctypes.CDLL(None).fflush(None)
        self.file.seek(0)
        lines = self.file.read().splitlines()
        self.file.seek(0)
        self.file.truncate()
        return [1e-3 * float(line.split(",")[-1]) for line in lines if ",exec,cpu," in line and ",convolution," in line]


def prepare():
    report = OneDnnReport() if options.layout == "onednn" else None
    import torch
    import torch_ops
    import torch_supernet

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    layout = torch.contiguous_format if options.layout == "contiguous" else torch.channels_last
    kind, space, batch = options.work.split("/")
    description = {"peer": f"torch {torch.__version__}"}
    if kind in ("search_step", "train_step"):
        make = getattr(torch_supernet, kind)
        call, description["parameters"] = make(space, int(batch), layout, options.compile)
        warmup = 3
    else:
        call, warmup = torch_ops.make(options.work, layout), 20
        torch.set_grad_enabled(False)
    for _ in range(warmup):
        call()
    if report is None:
        return description, lambda seconds: peer.timed(call, seconds)
    if not report.convolutions():
        raise RuntimeError("oneDNN reports no convolution here")

    def kernels(seconds):
        report.convolutions()
        peer.timed(call, seconds)
        times = sorted(report.convolutions())
        quarter = len(times) // 4
        # Not the median: oneDNN's clock has steps of a quarter of a microsecond.
        return statistics.fmean(times[quarter:len(times) - quarter])

    return description, kernels


peer.serve(prepare)
