"""How much memory a run may have, and how much a few steps took at most."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import Protocol

import torch

from ..proc_files import numbers_of

_OF_GPU, _OF_CPU = 0.92, 0.8
"""Parts of what is free that a batch may take; on CPUs, processes that load images need some too."""


class Memory(Protocol):
    """The memory of a device.

    Attributes:
        budget: Bytes that may be in use at most, what is in use already included.
        catches: Whether a process goes on that asked for too much.
    """

    budget: int
    catches: bool

    def reset(self) -> None:
        """Give back what is not used, and measure the highest use from here on."""

    def peak(self) -> int:
        """Bytes that were in use at most since then."""


def memory_of(device: torch.device) -> Memory | None:
    """The memory of a device; None where it cannot be measured."""
    if device.type == 'cuda':
        return GpuMemory(device)
    return CpuMemory() if device.type == 'cpu' and sys.platform != 'win32' else None


class GpuMemory:
    """What torch has reserved of a GPU, of which other processes may use some too."""

    catches = True

    def __init__(self, device: torch.device):
        self._device = device
        self.reset()
        free, _ = torch.cuda.mem_get_info(device)
        self.budget = int(_OF_GPU * (free + torch.cuda.memory_reserved(device)))

    def reset(self) -> None:
        """See `Memory`."""
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        """See `Memory`."""
        return torch.cuda.max_memory_reserved(self._device)


class CpuMemory:
    """What the machine, or the container of this process, has; processes of a run on one machine share it."""

    catches = False

    def __init__(self) -> None:
        gc.collect()
        processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
        self.budget = _resident() + int(_OF_CPU * available_memory() / processes)

    def reset(self) -> None:
        """See `Memory`."""
        gc.collect()
        # Resets what `peak` reads; where that is not allowed, it is the highest of the whole process.
        with contextlib.suppress(OSError):
            Path('/proc/self/clear_refs').write_text('5')

    def peak(self) -> int:
        """See `Memory`."""
        if (lines := numbers_of('/proc/self/status')) and 'VmHWM' in lines:
            return lines['VmHWM'] * 1024
        import resource  # not there on Windows

        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return highest if sys.platform == 'darwin' else highest * 1024


def available_memory() -> int:
    """Bytes that this process can still take: the least of what the machine and its control groups have left."""
    of_machine = numbers_of('/proc/meminfo').get('MemAvailable', 0) * 1024
    if not of_machine:
        of_machine = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2
    return min([of_machine, *_left_in_groups()])


def _left_in_groups() -> list[int]:
    """What the limits of control groups leave, of both versions and of all groups above this process."""
    try:
        lines = Path('/proc/self/cgroup').read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, inner = line.split(':', 2)
        if controllers not in ('', 'memory'):
            continue
        root = Path('/sys/fs/cgroup/memory' if controllers else '/sys/fs/cgroup')
        names = ('memory.limit_in_bytes', 'memory.usage_in_bytes') if controllers else ('memory.max', 'memory.current')
        group = Path(inner.lstrip('/'))
        for part in (group, *group.parents):
            limit, used = (_number(root / part / name) for name in names)
            if limit is not None and used is not None:
                # Files that are kept in memory, and can be read again, are counted as used.
                kept = numbers_of(root / part / 'memory.stat', colon=False).get('inactive_file', 0)
                left.append(max(0, limit - used + kept))
    return left


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _resident() -> int:
    return numbers_of('/proc/self/status').get('VmRSS', 0) * 1024
