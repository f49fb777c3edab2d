"""Failures of processes around a run, and which of several processes speaks of them."""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
from types import ModuleType
from typing import Any

_FIRST = 'mmvitdense/first_failure'
_PATIENCE = 3.0
"""Seconds that a process which lost another one gives that one to say why it ended."""
_LOADER = re.compile(r'DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (is killed by signal: (\w+)|exited unexpectedly)')
_CAUSE = '\n\nThe above exception was the direct cause of the following exception:'
_SILENT = re.compile(r'[Tt]imed?[ _-]?out')
_LOST = re.compile(r'gloo|NCCL|Connection (closed|reset|refused)|Broken pipe|TCPStore|store')


def process_group() -> ModuleType | None:
    """`torch.distributed` if processes train together."""
    distributed = sys.modules.get('torch.distributed')
    return distributed if distributed and distributed.is_available() and distributed.is_initialized() else None


def claim_failure(perhaps_of_another: bool = False) -> bool:
    """Whether this process is the first of a distributed run to fail, and so the one that says why.

    Args:
        perhaps_of_another: Whether the failure can be that another process ended, which may be about to say so.
    """
    group = process_group()
    if group is None:
        return int(os.environ.get('RANK', 0)) == 0
    me = str(group.get_rank())
    try:
        store = group.distributed_c10d._get_default_store()
        if perhaps_of_another:
            _wait_for(store)
        return store.compare_set(_FIRST, '', me).decode() == me
    except Exception:  # the store ended with the process that kept it
        return True


def loading_traceback(error: Exception) -> str:
    """The traceback of what made a sample fail, from whichever process, without the line that says it all; or ''."""
    if error.__cause__ is not None:
        return ''.join(traceback.format_exception(error.__cause__))
    before, cause, _ = str(error).rpartition(_CAUSE)
    return before.strip() + '\n' if cause else ''


def killed_loader(error: RuntimeError) -> str | None:
    """One sentence for torch's error that a process which loads data has ended."""
    found = _LOADER.search(str(error))
    if found is None:
        return None
    how = f'was killed by the signal {found[3]}' if found[3] else 'has ended'
    return (
        f'A process that loads data (pid {found[1]}) {how}. The most frequent cause is that memory ran out: lower '
        'num_workers or batch_size, or allow more shared memory (/dev/shm).'
    )


def lost_process(error: RuntimeError) -> str | None:
    """One sentence for the errors of gloo and NCCL that another process is gone or does not answer."""
    group = process_group()
    if group is None or not (_LOST.search(str(error)) or isinstance(error, group.DistError)):
        return None
    what = 'does not answer: it is stopped or hangs' if _SILENT.search(str(error)) else 'has ended'
    first_line = str(error).strip().splitlines()[0]
    return f'Process {group.get_rank()} lost another process of this run, which {what} ({first_line}).'


def _wait_for(store: Any) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and not store.check([_FIRST]):
        time.sleep(0.05)
