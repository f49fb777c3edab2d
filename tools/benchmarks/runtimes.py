"""A model in PyTorch and the same exported file in other runtimes, in turns, each in a process of its own."""

from __future__ import annotations

import importlib.util
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .products import operations, product_rates
from .served import Served, serve

OURS = ('ours', 'fused', 'autocast bfloat16', 'fused bfloat16')
OTHERS = {'onnxruntime': 'onnxruntime', 'openvino float32': 'openvino', 'openvino default': 'openvino'}
"""{column: library}."""
_EXACT = ('ours', 'fused', 'onnxruntime', 'openvino float32')
_AGREEMENT = 1e-3
"""Largest difference in float32, as a part of the standard deviation."""
_STEP = 97
"""Every how-many-th number of the outputs is compared."""


def installed() -> list[str]:
    """What can be timed here, of OURS and OTHERS."""
    fusing = importlib.util.find_spec('mmvitdense.apis.fusing') is not None
    ours = [name for name in OURS if fusing or 'fused' not in name]
    return ours + [name for name, library in OTHERS.items() if importlib.util.find_spec(library) is not None]


def compare_runtimes(name: str, size: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of each, medians over rounds in which all take turns, and ratios to ours.

    Raises:
        RuntimeError: One in float32 does not compute the same.
    """
    kinds, threads = installed(), torch.get_num_threads()
    served = serve(name, size)
    rates = product_rates(['bfloat16'])
    with torch.no_grad():
        counted = operations(lambda: served.module(served.image))
    row: dict[str, Any] = {'subject': name, 'size': size, 'threads': threads, 'gigaoperations': counted}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'model.onnx')
        if set(kinds) & set(OTHERS):
            served.write(path)
        del served
        workers = {kind: _Worker(kind, name, size, path, threads) for kind in kinds}
        try:
            row['difference'] = _check(name, {kind: worker.outputs for kind, worker in workers.items()})
            times: dict[str, list[float]] = {kind: [] for kind in kinds}
            for index in range(repeats):
                for kind in kinds if index % 2 else kinds[::-1]:
                    times[kind].append(workers[kind].milliseconds())
        finally:
            for worker in workers.values():
                worker.close()
    row['ms'] = {kind: statistics.median(found) for kind, found in times.items()}
    row['ratio'] = {
        kind: statistics.median(theirs / ours for theirs, ours in zip(found, times['ours']))
        for kind, found in times.items()
    }
    row['of products'] = {
        kind: row['ms'][kind] / 1e3 * rates.best['bfloat16' if 'bfloat16' in kind else 'float32'] / counted
        for kind in kinds
        if kind in OURS
    }
    row['product rates'] = rates.best
    return row


class _Worker:
    """A process that holds a model and times a call where it is asked to."""

    def __init__(self, kind: str, name: str, size: int, path: Path, threads: int):
        context = multiprocessing.get_context('spawn')
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, kind, name, size, path, threads), daemon=True)
        self.process.start()
        theirs.close()
        self.outputs = self._receive()

    def milliseconds(self) -> float:
        """Of one call."""
        self.connection.send('run')
        return self._receive()

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join(30)

    def _receive(self) -> Any:
        found = self.connection.recv()
        if isinstance(found, Exception):
            raise found
        return found


def _work(connection: Connection, kind: str, name: str, size: int, path: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    try:
        run = _runner(kind, serve(name, size), path, threads)
        connection.send([np.asarray(output, dtype=np.float32).ravel()[::_STEP] for output in run()])
        # The first calls find buffers and blocks of threads.
        run()
        while True:
            connection.recv()
            start = time.perf_counter()
            run()
            connection.send((time.perf_counter() - start) * 1e3)
    except EOFError:
        return
    except Exception as error:
        connection.send(RuntimeError(f'{kind}: {error}'))


def _runner(kind: str, served: Served, path: Path, threads: int) -> Callable[[], list[Any]]:
    if kind not in OTHERS:
        return _ours(kind, served)
    given = {'image': served.image.numpy()}
    if kind == 'onnxruntime':
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
        return lambda: session.run(None, given)
    import openvino

    hint = {'INFERENCE_PRECISION_HINT': 'f32'} if kind == 'openvino float32' else {}
    compiled = openvino.Core().compile_model(path, 'CPU', {'INFERENCE_NUM_THREADS': threads, **hint})
    return lambda: list(compiled(given).values())


def _ours(kind: str, served: Served) -> Callable[[], list[Any]]:
    module = served.module
    if kind.startswith('fused'):
        from mmvitdense.apis.fusing import fuse_for_inference

        module = fuse_for_inference(module, precision='bfloat16' if 'bfloat16' in kind else 'float32')
    autocast = torch.autocast('cpu', torch.bfloat16, enabled=kind == 'autocast bfloat16')

    @torch.inference_mode()
    def run() -> list[torch.Tensor]:
        with autocast:
            outputs = module(served.image)
        return [output.float() for output in ([outputs] if isinstance(outputs, torch.Tensor) else outputs)]

    return run


def _check(name: str, outputs: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Largest difference of each from ours, as a part of the standard deviation."""
    found = {}
    for kind, maps in outputs.items():
        found[kind] = max(
            float(np.abs(theirs - ours).max() / ours.std()) for theirs, ours in zip(maps, outputs['ours'], strict=True)
        )
        if kind in _EXACT and not found[kind] < _AGREEMENT:
            raise RuntimeError(f'{name}: {kind} differs by {found[kind]:.1e} of the standard deviation')
    return found
