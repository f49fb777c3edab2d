"""Work that one process does for all that train together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mmengine.dist import broadcast_object_list, is_distributed, is_main_process

T = TypeVar('T')


def on_main_process(work: Callable[[], T]) -> T:
    """Run `work` on the first process; every process returns its result or raises the exception that it raised."""
    if not is_distributed():
        return work()
    outcome: list[Any] = [None, None]
    if is_main_process():
        try:
            outcome[0] = work()
        except Exception as error:  # whatever it is, the other processes must not wait for it
            outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
