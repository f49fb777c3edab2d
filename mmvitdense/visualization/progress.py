"""One bar of progress with the time that is left, on a terminal alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar('_Item')
_PATIENCE = 5.0
"""Seconds before a bar appears: what is done sooner needs none."""


def progress(items: Iterable[_Item], what: str, total: int | None = None) -> Iterator[_Item]:
    """Go through items, with a bar on the terminal once it has taken seconds.

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


class Bar:
    """A bar; call it with how much more is done."""

    def __init__(self, total: float | None, what: str, in_bytes: bool = False):
        self._total, self._what, self._in_bytes = total, what, in_bytes
        self._done, self._started = 0.0, time.monotonic()
        self._shown = None
        self._seen = sys.stderr.isatty() if hasattr(sys.stderr, 'isatty') else False

    def __call__(self, more: float) -> None:
        """Note that more is done."""
        self._done += more
        if not self._seen:
            return
        if self._shown is None and time.monotonic() - self._started > _PATIENCE:
            self._begin()
        if self._shown is not None:
            self._shown.update(self._task, completed=self._done)

    def close(self) -> None:
        """Take it away."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        amount = DownloadColumn() if self._in_bytes else MofNCompleteColumn()
        columns = (TextColumn('{task.description}'), BarColumn(), amount, TimeElapsedColumn(), TextColumn('left'))
        # What is printed meanwhile goes above the bar.
        self._shown = Progress(
            *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True, refresh_per_second=4
        )
        self._task = self._shown.add_task(self._what, total=self._total)
        self._shown.start()


@contextmanager
def bar(total: float | None, what: str, in_bytes: bool = False) -> Iterator[Bar]:
    """A bar that is called with how much more is done, and gone at the end.

    Args:
        total: How much there is to do; None where nobody knows.
        what: A word or two for what is done.
        in_bytes: Whether that is counted in bytes.
    """
    shown = Bar(total, what, in_bytes)
    try:
        yield shown
    finally:
        shown.close()
