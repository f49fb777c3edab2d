"""What checks say: the error that stops a run, lines for the log, and lists short enough to read."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mmengine.logging import print_log

_heard: ContextVar[list[str] | None] = ContextVar('heard warnings of data', default=None)


class DataError(ValueError):
    """The data and the config do not fit; the message names what was found and what mends it."""


def note(message: str) -> None:
    """Log what was found to be right, or was not checked."""
    print_log(message, logger='current', level=logging.INFO)


def warn(message: str) -> None:
    """Log what looks wrong but does not stop a run."""
    heard = _heard.get()
    if heard is not None:
        heard.append(message)
        return
    print_log(message, logger='current', level=logging.WARNING)


@contextmanager
def warnings_heard() -> Iterator[list[str]]:
    """Inside, warnings are put into the list that this gives and not into the log."""
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def listed(items: Iterable, limit: int = 10) -> str:
    """Return `'a', 'b' and 7 more`: enough to recognise a list, short enough to read."""
    items = list(items)
    shown = ', '.join(repr(item) for item in items[:limit])
    return f'{shown} and {len(items) - limit} more' if len(items) > limit else shown
