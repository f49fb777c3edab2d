"""Loaders that give a batch within a time limit or an error that says what is wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from .errors import LoadingError
from .parent_death import end_by_kill

_LOOK_EVERY = 5.0
"""Seconds after which torch looks whether its processes live, if no batch came."""
_PRECISION = 1.0
"""Seconds between two looks whether a batch is late."""
_DEATH_SHOWS = 5.0
"""Seconds in which a process is seen to have ended, once its connection has broken."""
_ENDED = ('Z', 'X')
_STATES = {'T': 'stopped', 't': 'stopped by a debugger', 'D': 'waiting for a disk or network', 'Z': 'ended'}


def watch_loader(loader: DataLoader, limit: float) -> None:
    """Let a loader that has processes of its own give each batch within a time, or raise.

    A process that ended is mostly found by torch at once; where its death is not heard, it is found within seconds, and
    where one is stopped or hangs, `limit` counts: the loader then raises `LoadingError`. All processes of the loader
    are killed before, as torch would wait for them at the end of the run.

    Args:
        loader: The loader, before it is iterated over.
        limit: Seconds; the `timeout` of the loader comes first if it is set.
    """
    if not loader.num_workers or isinstance(vars(loader).get('_get_iterator'), partial):
        return
    _hear_deaths_while_waiting()
    limit = loader.timeout or limit
    loader._get_iterator = partial(_watched_iterator, weakref.ref(loader), limit)


class _Watch:
    """A thread that interrupts the main one when a batch does not come.

    A time limit of the queue is not enough: the main process also waits, without one, for a process that was stopped
    after it announced a batch and before it handed over the memory of its tensors, or killed within a message.
    """

    def __init__(self) -> None:
        self.hears = False
        """Whether the main thread waits, and so hears of processes that end."""
        self._waiting: tuple[float, float, list[Any]] | None = None
        self._thread: threading.Thread | None = None
        self.said: str | None = None

    def begin(self, workers: list[Any], limit: float) -> None:
        """The main thread waits for a batch of these processes from now on."""
        self.said = None
        self._waiting = (time.monotonic(), limit, workers)
        self.hears = True
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()

    def end(self) -> None:
        """It waits no longer."""
        self._waiting = None

    def _look(self) -> None:
        while True:
            time.sleep(_PRECISION)
            waiting = self._waiting
            if waiting is None:
                continue
            since, limit, workers = waiting
            waited = time.monotonic() - since
            if waited > limit:
                self._interrupt(f'No batch came from the data loader for {limit:g} s: {_described(workers)}', workers)
            # Torch has had its time to say it.
            elif waited > 2 * _LOOK_EVERY and (ended := [one.pid for one in workers if _letter(one.pid) in _ENDED]):
                self._interrupt(f'A process that loads data (pid {ended[0]}) has ended', workers)

    def _interrupt(self, said: str, workers: list[Any]) -> None:
        """Let torch raise in the main thread, whatever that waits for, as it does when a process is killed."""
        self._waiting = None
        self.said = said
        # One is enough: the deaths of the others must not interrupt what answers the first.
        alive = [worker for worker in workers if _letter(worker.pid) not in _ENDED]
        if alive:
            next((worker for worker in alive if _state(worker.pid)), alive[0]).kill()
        elif hasattr(signal, 'SIGCHLD'):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGCHLD)


_watch = _Watch()


class _Deaths:
    """Answers the end of a child process.

    Torch raises at whatever place the main thread is when a process of a loader was killed: in the middle of a
    checkpoint, or while an earlier error is answered. Of watched loaders it is heard while a batch is awaited.
    """

    def __init__(self, torchs: Any, others: Any):
        self.torchs = torchs
        self._others = None if others is torchs else others

    def __call__(self, number: int, frame: Any) -> None:
        """Called by Python in the main thread."""
        if _watch.hears or not _watched:
            self.torchs(number, frame)
            if _watch.hears and _watch.said is not None:  # of processes that torch does not know
                raise RuntimeError(_watch.said)
        elif callable(self._others):
            self._others(number, frame)


def _hear_deaths_while_waiting() -> None:
    if not hasattr(signal, 'SIGCHLD') or threading.current_thread() is not threading.main_thread():
        return
    deaths = _deaths()
    # The second is what a tool leaves that ended with an error.
    if deaths is not None and signal.getsignal(signal.SIGCHLD) in (deaths.torchs, signal.SIG_DFL):
        signal.signal(signal.SIGCHLD, deaths)


@cache
def _deaths() -> _Deaths | None:
    before = signal.getsignal(signal.SIGCHLD)
    # Torch installs its own once, with the first loader.
    signal_handling._set_SIGCHLD_handler()
    now = signal.getsignal(signal.SIGCHLD)
    return _Deaths(now, before) if callable(now) else None


_watched: weakref.WeakSet = weakref.WeakSet()
"""Iterators of watched loaders."""


def _watched_iterator(loader: weakref.ref, limit: float) -> Any:
    iterator = DataLoader._get_iterator(loader())
    end_by_kill(iterator._workers)
    # Not the iterator itself: it ends its processes when it is deleted, and would be part of a cycle.
    iterator._get_data = partial(_next_batch, weakref.ref(iterator), limit)
    _watched.add(iterator)
    return iterator


def _next_batch(reference: weakref.ref, limit: float) -> Any:
    iterator = reference()
    try:
        _watch.begin(iterator._workers, limit)
        if ended := _ended(iterator._workers):
            raise EOFError(f'process {ended[0]} ended while no batch was awaited')
        while True:
            came, batch = iterator._try_get_data(_LOOK_EVERY)
            if came:
                return batch
            if getattr(iterator, '_pin_memory', False) and not iterator._pin_memory_thread.is_alive():
                raise LoadingError('The thread that pins the memory of batches has ended.')
    except Exception as error:
        _watch.hears = False
        said = _watch.said or _lost(error, iterator._workers)
        # Before anything is said: a process that is left alone writes a traceback of its own below it.
        _kill(iterator._workers)
        if said is None:
            raise
        raise LoadingError(
            f'{said}. Look for memory that ran out, a file system that does not answer or a transform that '
            'hangs; --cfg-options default_hooks.processes.loader_timeout=SECONDS allows more time.'
        ) from None
    finally:
        _watch.hears = False
        _watch.end()


def _lost(error: Exception, workers: list[Any]) -> str | None:
    """What a broken connection to the processes of a loader means."""
    # Beside errors of the connection: what multiprocessing says of one that ended before it handed over a file.
    if not isinstance(error, (OSError, EOFError)) and 'ancillary data' not in str(error):
        return None
    end = time.monotonic() + _DEATH_SHOWS
    # The connections of a process end before it does.
    while not (ended := _ended(workers)) and time.monotonic() < end:
        time.sleep(0.01)
    return f'A process that loads data (pid {ended[0]}) has ended' if ended else None


def _ended(workers: list[Any]) -> list[int]:
    """The processes that ended and were not asked to."""
    return [worker.pid for worker in workers if worker.exitcode]


def _described(workers: list[Any]) -> str:
    """What the processes of a loader are doing."""
    unusual = [f'process {worker.pid} is {state}' for worker in workers if (state := _state(worker.pid))]
    return ', '.join(unusual) or f'its processes ({", ".join(str(worker.pid) for worker in workers)}) are running'


def _state(process: int) -> str | None:
    return _STATES.get(_letter(process))


def _letter(process: int) -> str:
    """The state of a process as Linux abbreviates it, '' where it cannot be known or there is none any more."""
    try:
        # The name of the program, in brackets, may have spaces.
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0]
    except (OSError, IndexError):
        return ''


def _kill(workers: list[Any]) -> None:
    with _deaths_unnoticed():
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join(10)


@contextmanager
def _deaths_unnoticed() -> Any:
    """Torch raises in the main thread, at any place, when it hears that one of its processes was killed."""
    if os.name != 'posix' or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)
