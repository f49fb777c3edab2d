"""Models written down for other programs: by torch.export, by an exporter to ONNX, or by torch.jit.trace."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def is_exporting() -> bool:
    """Whether what runs is being written down, for which it has to consist of torch's own operators.

    Below torch 2.6, which does not distinguish torch.export from torch.compile, this is true for traces alone.
    """
    asked = getattr(torch.compiler, 'is_exporting', None)
    return torch.jit.is_tracing() or (asked is not None and asked())


def constant(function: Callable[[], Tensor]) -> Tensor:
    """What `function` returns, as a constant for whoever writes down the model.

    For random numbers, which the written model would draw anew, and for computations that it need not repeat.
    """
    if not is_exporting():
        return function()
    # Recorders follow one thread.
    with ThreadPoolExecutor(1) as elsewhere:
        found = elsewhere.submit(function).result()
    return torch.tensor(found.tolist(), dtype=found.dtype)
