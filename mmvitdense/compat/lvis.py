"""The package lvis beside numpy 1.24 and later.

lvis 0.5.3, the latest on the index, asks numpy for `np.float`, which was Python's float and is gone: LVIS evaluation
ends with an AttributeError after the last image.
"""

from types import ModuleType
from typing import Any

from .import_hooks import after_import

MODULE = 'lvis.eval'


def register() -> None:
    after_import(MODULE, _give_float)


class _NumpyWithFloat:
    """numpy as the module that asks for the old name sees it; nobody else does."""

    float = float

    def __init__(self, numpy: ModuleType) -> None:
        self._numpy = numpy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numpy, name)


def _give_float(module: ModuleType) -> None:
    if not hasattr(module.np, 'float'):
        module.np = _NumpyWithFloat(module.np)
