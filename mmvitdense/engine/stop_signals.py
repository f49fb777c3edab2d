"""SIGTERM and Ctrl-C as a request to stop: noted at once, answered where the state can be saved."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, is_distributed

_REQUESTS = (signal.SIGTERM, signal.SIGINT)
_ECHO = 2.0
"""Seconds in which torchrun sends a Ctrl-C again to processes that had it from the terminal."""


class StopSignals:
    """Notes SIGTERM and SIGINT while it is installed.

    A second SIGINT ends the process at once, wherever it is. A second SIGTERM changes nothing, as schedulers send
    several. Signals that are ignored (as SIGINT is in the background of a shell) or that somebody else handles are left
    as they are, and nothing is done outside of the main thread, where Python gives no signals.

    Processes that are forked meanwhile, such as those that an evaluation computes in, end by SIGTERM as usual: who
    started them ends them so, and waits for it.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._since, self._process = 0.0, 0
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Begin to note signals."""
        if self._before or threading.current_thread() is not threading.main_thread():
            return
        self.received, self._process = None, os.getpid()
        for number in _REQUESTS:
            # Of a run in this process that ended by an exception, which nobody told it.
            left = getattr(signal.getsignal(number), '__self__', None)
            if isinstance(left, StopSignals):
                left.restore()
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                self._before[number] = signal.signal(number, self._note)

    def restore(self) -> None:
        """Handle signals as before, but for those that somebody else handles or ignores by now."""
        while self._before:
            number, handler = self._before.popitem()
            if signal.getsignal(number) in (self._note, signal.SIG_DFL):
                signal.signal(number, handler)

    def agreed(self) -> signal.Signals | None:
        """What was received, by any process; all that train together must call it together."""
        if not is_distributed():
            return self.received
        number = torch.tensor(int(self.received or 0))
        all_reduce(number, op='max')
        return signal.Signals(int(number)) if number else None

    def _note(self, number: int, frame: Any) -> None:
        first, now = self.received is None, time.monotonic()
        from_torchrun = 'TORCHELASTIC_RUN_ID' in os.environ
        if first:
            self.received, self._since = signal.Signals(number), now
            if os.getpid() == self._process and get_rank() == 0:
                again = '; again ends the run at once' if number == signal.SIGINT else ''
                # Without Python's buffers, in the middle of whose use a handler can be called.
                os.write(2, f'\n{self.received.name}: the iteration is finished and saved first{again}\n'.encode())
        if number == signal.SIGINT and (not first or not from_torchrun):
            # From here on the kernel answers, also while the process waits for others in a library.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if not first and not (from_torchrun and now - self._since < _ECHO):
                os.kill(os.getpid(), signal.SIGINT)


def _notes_sigterm() -> bool:
    return isinstance(getattr(signal.getsignal(signal.SIGTERM), '__self__', None), StopSignals)


def _hold() -> None:
    # A signal that the child had before it ends by it would be noted, and lost.
    if _notes_sigterm():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _go_on() -> None:
    if _notes_sigterm():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _end_by_sigterm() -> None:
    if _notes_sigterm():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(before=_hold, after_in_parent=_go_on, after_in_child=_end_by_sigterm)
