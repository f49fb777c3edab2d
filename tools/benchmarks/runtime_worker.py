"""A program that holds an exported file in a runtime, and runs it once for each line that it reads.

It imports nothing but the runtime, and answers each line with the milliseconds of a call.
"""

import sys
import time

import numpy as np


def main(kind: str, model: str, image: str, outputs: str, threads: str) -> None:
    """Write the outputs of the first call, then serve lines until there are no more."""
    given = {'image': np.load(image)}
    run = {'onnxruntime': _onnxruntime}.get(kind, _openvino)(kind, model, given, int(threads))
    np.savez(outputs, *run())
    run()
    print('ready', flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print((time.perf_counter() - start) * 1e3, flush=True)


def _onnxruntime(kind, model, given, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
    return lambda: session.run(None, given)


def _openvino(kind, model, given, threads):
    import openvino

    hint = {'INFERENCE_PRECISION_HINT': 'f32'} if kind == 'openvino float32' else {}
    compiled = openvino.Core().compile_model(model, 'CPU', {'INFERENCE_NUM_THREADS': threads, **hint})
    return lambda: list(compiled(given).values())


if __name__ == '__main__':
    main(*sys.argv[1:])
