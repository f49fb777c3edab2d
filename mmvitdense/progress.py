"""One bar of progress with the time that is left: on a terminal alone, and only for what takes seconds."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar('_Item')
_PATIENCE = 3.0
"""Seconds before a bar appears."""
_on_screen: Bar | None = None


def progress(items: Iterable[_Item], what: str, total: int | None = None) -> Iterator[_Item]:
    """Go through items, with a bar.

    Args:
        items: What to go through.
        what: A word or two for what is done.
        total: How many there are, where `items` does not say.
    """
    total = total if total is not None or not isinstance(items, Sized) else len(items)
    with bar(total, what) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def bar(total: float | None, what: str, done: float = 0, in_bytes: bool = False) -> Iterator[Bar]:
    """A bar that is called with how much more is done, and gone at the end.

    Args:
        total: How much there is to do; None where nobody knows.
        what: A word or two for what is done.
        done: How much was done before.
        in_bytes: Whether that is counted in bytes.
    """
    shown = Bar(total, what, done, in_bytes)
    try:
        yield shown
    finally:
        shown.close()


class Bar:
    """A bar; call it with how much more is done. It is there after some seconds, if stderr is a terminal that has no
    other bar.

    Args:
        total, what, done, in_bytes: As for `bar`.
    """

    def __init__(self, total: float | None, what: str, done: float = 0, in_bytes: bool = False):
        self._total, self._what, self._done, self._in_bytes = total, what, done, in_bytes
        self._begun = time.monotonic()
        self._wanted = sys.stderr is not None and sys.stderr.isatty()
        self._shown = None
        self._moved: list[tuple[logging.StreamHandler, object]] = []

    def __call__(self, more: float) -> None:
        """Note that more is done."""
        self._done += more
        if self._shown is not None:
            self._shown.update(self._task, completed=self._done)
        elif self._wanted and _on_screen is None and time.monotonic() - self._begun > _PATIENCE:
            self._show(more)

    def close(self) -> None:
        """Take it away."""
        global _on_screen
        if self._shown is not None:
            self._shown.stop()
            self._shown = _on_screen = None
        for handler, stream in self._moved:
            handler.setStream(stream)
        self._moved.clear()

    def _show(self, more: float) -> None:
        global _on_screen
        # Slow to import, and most of what is done ends before.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        amount = DownloadColumn() if self._in_bytes else MofNCompleteColumn()
        left = TimeRemainingColumn(elapsed_when_finished=True)
        columns = (TextColumn('{task.description}', markup=False), BarColumn(), amount, left, TextColumn('left'))
        # The program may know better than rich that this is a terminal, as `isatty` says.
        console = Console(stderr=True, force_terminal=True)
        shown = Progress(*columns, console=console, transient=True, refresh_per_second=4)
        self._task = shown.add_task(self._what, total=self._total, completed=self._done - more)
        outputs = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        shown.start()
        console.show_cursor(True)  # what fails leaves no terminal without one
        self._shown, _on_screen = shown, self
        shown.update(self._task, completed=self._done)
        self._print_above(outputs)

    def _print_above(self, outputs: tuple) -> None:
        """Let loggers print above the bar, as what is printed does by itself."""
        loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values(), *_mmengine_loggers()]
        for logger in loggers:
            for handler in getattr(logger, 'handlers', ()):
                if type(handler) is logging.StreamHandler and handler.stream in outputs:
                    self._moved.append((handler, handler.stream))
                    handler.setStream(sys.stderr)


def _mmengine_loggers() -> list[logging.Logger]:
    module = sys.modules.get('mmengine.logging')
    return [] if module is None else list(module.MMLogger._instance_dict.values())
