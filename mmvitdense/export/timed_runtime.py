"""A program that calls an exported file and prints the seconds of each call. It imports nothing but the runtime."""

import json
import sys
import time

import numpy as np


def main(path: str, runtime: str, inputs: str, calls: str, threads: str) -> None:
    """Print a list of seconds, without the first call."""
    with np.load(inputs) as archive:
        given = dict(archive)
    run = {'onnxruntime': _onnxruntime, 'openvino': _openvino, 'torch': _torch}[runtime](path, given, int(threads))
    run()
    times = []
    for _ in range(int(calls)):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    print(json.dumps(times))


def _onnxruntime(path, given, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    return lambda: session.run(None, given)


def _openvino(path, given, threads):
    import openvino

    options = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': threads}
    compiled = openvino.Core().compile_model(path, 'CPU', options)
    return lambda: compiled(given)


def _torch(path, given, threads):
    import torch
    import torchvision  # noqa: F401

    torch.set_num_threads(threads)
    module = torch.export.load(path).module()
    tensors = [torch.from_numpy(value) for value in given.values()]

    def run():
        with torch.no_grad():
            module(*tensors)

    return run


if __name__ == '__main__':
    main(*sys.argv[1:])
