"""What one call takes, in time and memory, and the processor that it runs on."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmvitdense.ops.processor import processor

from .proc_files import numbers_of

_STATUS = '/proc/self/status'


def seconds_of(function: Callable[[], Any], device: str | torch.device) -> float:
    """Seconds of a call, with all that it leaves to a GPU done."""
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: str | torch.device) -> None:
    """Wait for what a GPU has still to do; a CPU has done it."""
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)


def peak_bytes(function: Callable[[], Any], device: str | torch.device) -> int | None:
    """Most memory that a call takes at once, beyond what is in use before.

    On a GPU it is that of tensors. On a CPU it is that of the process, so that a call of which the first time compiles,
    loads or keeps something should have been made before; memory that such a call has freed does not hide anything.

    Returns:
        Bytes; None where the system does not say, as on others than Linux.
    """
    if torch.device(device).type == 'cuda':
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        return torch.cuda.max_memory_allocated(device) - before
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path('/proc/self/clear_refs').write_text('5')
        before = numbers_of(_STATUS)['VmRSS']
    except (OSError, AttributeError, KeyError, TypeError):
        function()
        return None
    function()
    return max(numbers_of(_STATUS)['VmHWM'] - before, 0) * 1024


def processor_name(device: str | torch.device = 'cpu') -> str:
    """What the maker calls the processor, 'NVIDIA H100 80GB HBM3' or 'AMD EPYC 9654, family 25, ...'."""
    if torch.device(device).type == 'cuda':
        return torch.cuda.get_device_name(device)
    return processor().name
