"""mmengine's checkpoints under `torch.load(weights_only=True)`, the default since torch 2.6.

Besides tensors and plain containers such a file holds the message hub: `HistoryBuffer`s of logged numbers, which hold
numpy arrays and name their statistics methods, and numpy scalars. The original mmengine does not tell torch, so that
it cannot resume from its own files. The onedl line does tell torch, but then reads a file that holds anything else by
executing it. Here the few names are allowed, for as long as the process lives, and everything else stays refused.
"""

import importlib
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from .import_hooks import after_import

_NUMERIC = '?bhilqBHILQefdg'
_STATISTICS = ('min', 'max', 'mean', 'current')


def register() -> None:
    """Arrange for the names to be allowed when mmengine defines `HistoryBuffer`, which precedes every checkpoint."""
    after_import('mmengine.logging.history_buffer', _allow)
    after_import('mmengine.runner.checkpoint', _refuse)


def _allow(history_buffer: ModuleType) -> None:
    import _codecs

    import numpy as np
    import torch

    buffer = history_buffer.HistoryBuffer
    multiarray = importlib.import_module(f'{_numpy_core(np)}.multiarray')
    allowed = [buffer, np.ndarray, np.dtype, *{type(np.dtype(code)) for code in _NUMERIC}]
    # numpy 1 and numpy 2 write different names, and each must read the other's files.
    for core in ('numpy.core', 'numpy._core'):
        allowed.append(_named(multiarray._reconstruct, f'{core}.multiarray', '_reconstruct'))
        allowed.append(_named(multiarray.scalar, f'{core}.multiarray', 'scalar'))
    # Pickle stores a method as getattr(class, name), and the bytes of a scalar as encode(text, 'latin1').
    allowed += [_named(_statistics_of(buffer), 'builtins', 'getattr'), _codecs.encode]
    torch.serialization.add_safe_globals(allowed)


def _numpy_core(numpy: ModuleType) -> str:
    return 'numpy.core' if numpy.__version__.startswith('1.') else 'numpy._core'


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


def _refuse(checkpoint: ModuleType) -> None:
    """Let nothing that a checkpoint holds be executed, wherever it comes from.

    Addresses: ``torch.hub`` reads what it fetches with ``weights_only=False`` unless it is told otherwise. Files: the
    loader of onedl-mmengine reads a refused file once more with ``weights_only=False``, and withdraws the permission
    for the classes above after each file. The original line has no such function: it calls ``torch.load``, as the
    replacement does.
    """
    import torch

    def load(file: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        return torch.load(file, map_location=map_location, weights_only=weights_only)

    if hasattr(checkpoint, '_safe_torch_load'):
        checkpoint._safe_torch_load = load
    checkpoint.load_url = partial(checkpoint.load_url, weights_only=True)
