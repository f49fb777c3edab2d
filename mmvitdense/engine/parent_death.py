"""Processes that end when the one that started them ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

from torch.utils.data import DataLoader

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY = 5.0
"""Seconds between two looks at the parent, where the kernel does not tell."""


def signal_when_parent_dies(number: int) -> bool:
    """Let the kernel send a signal to this process when its parent ends; whether it can, which is so on Linux."""
    if not sys.platform.startswith('linux'):
        return False
    try:
        return ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) == 0
    except (OSError, AttributeError):
        return False


class LoaderProcess:
    """Begins a process that loads data: it ends with the process that trains, and with that one alone.

    * It ends at once when its parent has ended, also by SIGKILL.
    * Signals to all processes of a terminal or a job (Ctrl-C, preemption) are for the process that trains, which still
      needs data to finish its iteration, and are ignored; `end_by_kill` lets that process end it all the same.

    It is the `worker_init_fn` of a loader.

    Args:
        before: What the loader had there.
    """

    def __init__(self, before: Any):
        self.before = before

    def __call__(self, worker: int) -> None:
        """Called by torch in the new process."""
        parent = os.getppid()
        heard = signal_when_parent_dies(signal.SIGKILL)
        if os.getppid() != parent or not _trains(parent):
            os._exit(1)  # it ended before that was asked for
        # Ignored by the process and not blocked by a thread: libraries that were imported have threads of their own.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        trainer = multiprocessing.parent_process()
        if trainer is not None and trainer.pid != parent:
            threading.Thread(target=_follow, args=(trainer,), daemon=True).start()
        if not heard:
            threading.Thread(target=_look, args=(parent,), daemon=True).start()
        if self.before is not None:
            self.before(worker)


def end_with_parent(loader: DataLoader) -> None:
    """Let the processes of a loader, which are not started yet, end with this one."""
    if loader.num_workers and not isinstance(loader.worker_init_fn, LoaderProcess):
        loader.worker_init_fn = LoaderProcess(loader.worker_init_fn)


def end_by_kill(workers: list[Any]) -> None:
    """Let torch and multiprocessing, which ask processes to end by SIGTERM and then wait for them, kill them."""
    for worker in workers:
        worker._popen.terminate = worker._popen.kill


def _follow(trainer: Any) -> None:
    # The kernel tells of the end of the parent alone, which the start method forkserver makes another process.
    trainer.join()
    os._exit(1)


def _look(parent: int) -> None:
    ended = threading.Event()
    while _trains(parent):
        ended.wait(_LOOK_EVERY)
    os._exit(1)


def _trains(parent: int) -> bool:
    """Whether the process that trains is there; it is the parent, but for the start method forkserver."""
    trainer = multiprocessing.parent_process()
    return os.getppid() == parent and (trainer is None or trainer.is_alive())
