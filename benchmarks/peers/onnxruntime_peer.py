#!/usr/bin/env python3
"""ONNX Runtime as a peer of compare.py: all graph optimisations, buffers bound once. Before it is timed it has to compute
the logits that hwnas_export_network has left beside the network."""

import argparse
import pathlib

import peer

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("work", help="inference/SPACE/BATCH/threads:T")
arguments.add_argument("--network", type=pathlib.Path, required=True, help="directory of hwnas_export_network")
options = arguments.parse_args()


def prepare():
    import numpy
    import onnxruntime

    _, _, batch, threads = options.work.split("/")
    batch, threads = int(batch), int(threads.split(":")[1])
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(options.network / "network.onnx"), settings,
                                           providers=["CPUExecutionProvider"])

    def floats(name, *shape):
        return numpy.fromfile(options.network / name, numpy.float32).reshape(-1, *shape)[:batch].copy()

    expected = floats("logits.f32", session.get_outputs()[0].shape[1])
    x = onnxruntime.OrtValue.ortvalue_from_numpy(floats("input.f32", 1, 28, 28))
    y = onnxruntime.OrtValue.ortvalue_from_numpy(numpy.zeros_like(expected))
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, x)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, y)
    call = lambda: session.run_with_iobinding(binding)
    for _ in range(20):
        call()
    difference = numpy.abs(y.numpy() - expected).max() / numpy.abs(expected).max()
    if not difference < 1e-4:
        raise RuntimeError(f"its logits differ from ours by {difference:.1e}")
    return {"peer": f"onnxruntime {onnxruntime.__version__}"}, lambda seconds: peer.timed(call, seconds)


peer.serve(prepare)
