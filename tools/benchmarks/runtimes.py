"""A model in PyTorch and the same exported file in other runtimes, in turns, each in a process of its own."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .products import operations, product_rates
from .served import Served, serve

OURS = ('ours', 'fused', 'autocast bfloat16', 'fused bfloat16')
OTHERS = {'onnxruntime': 'onnxruntime', 'openvino float32': 'openvino', 'openvino default': 'openvino'}
"""{column: library}."""
_EXACT = ('ours', 'fused', 'onnxruntime', 'openvino float32')
_AGREEMENT = 1e-3
"""Largest difference in float32, as a part of the standard deviation."""
_PROGRAM = Path(__file__).with_name('runtime_worker.py')
_PAUSE = 0.02
"""Seconds between two turns, until the threads of the last one no longer wait for work."""


def installed() -> list[str]:
    """What can be timed here, of OURS and OTHERS."""
    fusing = importlib.util.find_spec('mmvitdense.apis.fusing') is not None
    ours = [name for name in OURS if fusing or 'fused' not in name]
    return ours + [name for name, library in OTHERS.items() if importlib.util.find_spec(library) is not None]


def compare_runtimes(name: str, size: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of each, medians over rounds in which all take turns, and ratios to ours.

    Raises:
        RuntimeError: One in float32 does not compute the same, or cannot run the file.
    """
    kinds, served = installed(), serve(name, size)
    row: dict[str, Any] = {'subject': name, 'size': size, 'threads': torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as folder:
        # Exported before anything is fused, which may change the model.
        runs, outputs = _start_others(served, Path(folder), [kind for kind in kinds if kind in OTHERS])
        try:
            with torch.no_grad():
                row['gigaoperations'] = operations(lambda: served.module(served.image))
            runs = {**_start_ours(served, [kind for kind in kinds if kind in OURS], outputs), **runs}
            row['difference'] = _check(name, outputs)
            times: dict[str, list[float]] = {kind: [] for kind in kinds}
            for index in range(repeats):
                for kind in kinds if index % 2 else kinds[::-1]:
                    time.sleep(_PAUSE)
                    times[kind].append(runs[kind]())
        finally:
            for run in runs.values():
                if isinstance(run, _Worker):
                    run.close()
    row['ms'] = {kind: statistics.median(found) for kind, found in times.items()}
    row['ratio'] = {
        kind: statistics.median(theirs / ours for theirs, ours in zip(found, times['ours']))
        for kind, found in times.items()
    }
    rates = product_rates(['bfloat16']).best
    row['of products'] = {
        kind: row['ms'][kind] / 1e3 * rates['bfloat16' if 'bfloat16' in kind else 'float32'] / row['gigaoperations']
        for kind in kinds
        if kind in OURS
    }
    row['product rates'] = rates
    return row


def _start_others(
    served: Served, folder: Path, kinds: list[str]
) -> tuple[dict[str, Callable[[], float]], dict[str, list[np.ndarray]]]:
    """Runtimes with the exported file, ready, and their outputs."""
    path, image = folder / 'model.onnx', folder / 'image.npy'
    if kinds:
        served.write(path)
        np.save(image, served.image.numpy())
    workers = {}
    try:
        for kind in kinds:
            workers[kind] = _Worker(kind, path, image, folder / f'{kind}.npz')
        return workers, {kind: worker.outputs() for kind, worker in workers.items()}
    except BaseException:
        for worker in workers.values():
            worker.close()
        raise


def _start_ours(
    served: Served, kinds: list[str], outputs: dict[str, list[np.ndarray]]
) -> dict[str, Callable[[], float]]:
    runs = {}
    for kind in kinds:
        call = _ours(kind, served)
        outputs[kind] = [output.numpy() for output in call()]
        call()
        runs[kind] = lambda call=call: _milliseconds(call)
    return runs


class _Worker:
    """A process that holds a file in a runtime, and times a call where it is asked to."""

    def __init__(self, kind: str, path: Path, image: Path, outputs: Path):
        self.kind, self._outputs = kind, outputs
        command = [sys.executable, _PROGRAM, kind, path, image, outputs, str(torch.get_num_threads())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def outputs(self) -> list[np.ndarray]:
        """Those of the first call, when it is done."""
        self._line()
        with np.load(self._outputs) as archive:
            return list(archive.values())

    def __call__(self) -> float:
        """Milliseconds of a call."""
        self.process.stdin.write('run\n')
        self.process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def _line(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f'{self.kind} cannot run the file: see the error above')
        return line


def _ours(kind: str, served: Served) -> Callable[[], list[Tensor]]:
    module = served.module
    if kind.startswith('fused'):
        from mmvitdense.apis.fusing import fuse_for_inference

        module = fuse_for_inference(module, precision='bfloat16' if 'bfloat16' in kind else 'float32')

    @torch.inference_mode()
    def run() -> list[Tensor]:
        with torch.autocast('cpu', torch.bfloat16, enabled=kind == 'autocast bfloat16'):
            outputs = module(served.image)
        return [output.float() for output in ([outputs] if isinstance(outputs, Tensor) else outputs)]

    return run


def _milliseconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


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
