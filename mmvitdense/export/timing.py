"""Seconds of a call, of PyTorch and of runtimes one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from .errors import ExportError
from .wrapped import Wrapped

_PROGRAM = Path(__file__).with_name('timed_runtime.py')


def seconds_of_pytorch(wrapped: Wrapped, inputs: Mapping[str, np.ndarray], calls: int) -> float:
    """The median of some calls of the model in PyTorch, with the kernels that it has here."""
    tensors = [torch.from_numpy(inputs[name]) for name in wrapped.inputs]
    times = []
    with torch.no_grad():
        wrapped.module(*tensors)
        for _ in range(calls):
            start = time.perf_counter()
            wrapped.module(*tensors)
            times.append(time.perf_counter() - start)
    return float(np.median(times))


def seconds_of_file(path: Path, runtime: str, inputs: Mapping[str, np.ndarray], calls: int) -> float:
    """The median of some calls of a file, in a process of its own: threads of runtimes slow each other down.

    Raises:
        ExportError: it cannot be run there.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, 'inputs.npz')
        np.savez(given, **inputs)
        command = [
            sys.executable,
            str(_PROGRAM),
            str(path),
            runtime,
            str(given),
            str(calls),
            str(torch.get_num_threads()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExportError(f'{runtime} cannot be timed on {path}: {done.stderr.strip().splitlines()[-1:]}')
    return float(np.median(json.loads(done.stdout.splitlines()[-1])))
