"""What checkpoints of mmengine's runner hold besides weights, for `torch.load(weights_only=True)`.

Besides tensors and plain containers such a file holds the message hub: `HistoryBuffer`s of logged numbers, which hold
numpy arrays and name their statistics methods, and numpy scalars. These few names are allowed here; everything else
stays refused.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

_NUMERIC = '?bhilqBHILQefdg'
_STATISTICS = ('min', 'max', 'mean', 'current')


@lru_cache(maxsize=1)
def run_objects() -> tuple[Any, ...]:
    """Classes and functions for `torch.serialization.add_safe_globals`; always the same ones."""
    import _codecs

    import numpy as np

    buffer = importlib.import_module('mmengine.logging.history_buffer').HistoryBuffer
    core = 'numpy.core' if np.__version__.startswith('1.') else 'numpy._core'
    multiarray = importlib.import_module(f'{core}.multiarray')
    allowed = [buffer, np.ndarray, np.dtype, *{type(np.dtype(code)) for code in _NUMERIC}]
    # numpy 1 and numpy 2 write different names, and each must read the other's files.
    for core in ('numpy.core', 'numpy._core'):
        allowed.append(_named(multiarray._reconstruct, f'{core}.multiarray', '_reconstruct'))
        allowed.append(_named(multiarray.scalar, f'{core}.multiarray', 'scalar'))
    # Pickle stores a method as getattr(class, name), and the bytes of a scalar as encode(text, 'latin1').
    return (*allowed, _named(_statistics_of(buffer), 'builtins', 'getattr'), _codecs.encode)


@contextmanager
def run_objects_allowed() -> Iterator[None]:
    """Inside, `torch.load(weights_only=True)` lets them through; afterwards those that it let through before.

    Below torch 2.5, which cannot take permissions back, they stay allowed.
    """
    from torch import serialization

    before = set(serialization.get_safe_globals())
    missing = [allowed for allowed in run_objects() if allowed not in before]
    if not hasattr(serialization, 'safe_globals'):
        serialization.add_safe_globals(missing)
        yield
        return
    with serialization.safe_globals(missing):
        yield


def _named(function: Callable[..., Any], module: str, name: str) -> Callable[..., Any]:
    """`function` under another name: torch knows what it allows by module and name."""

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__ = module
    alias.__name__ = alias.__qualname__ = name
    return alias


def _statistics_of(buffer: type) -> Callable[[Any, str], Any]:
    """The only use of `getattr` that is let through, since the real one would reach any object of the process."""
    from pickle import UnpicklingError

    def statistics_method(owner: Any, name: str) -> Any:
        if owner is not buffer or name not in _STATISTICS:
            raise UnpicklingError(
                f'the checkpoint asks for the attribute {name!r} of {owner!r}; only {buffer.__name__}.'
                f'{"/".join(_STATISTICS)} are allowed with weights_only=True'
            )
        return getattr(owner, name)

    return statistics_method
