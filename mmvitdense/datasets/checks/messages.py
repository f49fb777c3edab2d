"""What checks say: the error that stops a run, lines for the log, and lists short enough to read."""

import logging
from collections.abc import Iterable

from mmengine.logging import print_log


class DataError(ValueError):
    """The data and the config do not fit; the message names what was found and what mends it."""


def note(message: str) -> None:
    """Log what was found to be right, or was not checked."""
    print_log(message, logger='current', level=logging.INFO)


def warn(message: str) -> None:
    """Log what looks wrong but does not stop a run."""
    print_log(message, logger='current', level=logging.WARNING)


def listed(items: Iterable, limit: int = 10) -> str:
    """Return ``'a', 'b' and 7 more``: enough to recognise a list, short enough to read."""
    items = list(items)
    shown = ', '.join(repr(item) for item in items[:limit])
    return f'{shown} and {len(items) - limit} more' if len(items) > limit else shown
