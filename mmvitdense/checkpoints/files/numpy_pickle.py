"""Pickle files of arrays (`.pkl` of detectron2), read without running anything they contain."""

from __future__ import annotations

import importlib
import pickle
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np
import torch

# What a pickle of plain arrays refers to, whatever the version of numpy that wrote it. None of these can run code.
_ARRAYS = {
    ('numpy', 'ndarray'),
    ('numpy', 'dtype'),
    *((f'numpy.{core}.multiarray', name) for core in ('core', '_core') for name in ('_reconstruct', 'scalar')),
    ('numpy.core.numeric', '_frombuffer'),
    ('numpy._core.numeric', '_frombuffer'),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if (module, name) == ('_codecs', 'encode'):  # bytes in a pickle of protocol 2
            return _encode
        if (module, name) in _ARRAYS:
            # 'numpy.core' is gone from numpy 2 but for a warning, 'numpy._core' is not in numpy 1.
            core = '_core' if hasattr(np, '_core') else 'core'
            parts = module.split('.')
            if len(parts) == 3:
                module = f'numpy.{core}.{parts[2]}'
            return getattr(importlib.import_module(module), name)
        raise pickle.UnpicklingError(f'GLOBAL {module}.{name}')


def _encode(text: str, encoding: str) -> bytes:
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'bytes encoded as {encoding}')
    return text.encode('latin1')


def load_arrays(file: BinaryIO) -> Any:
    """Unpickle dicts, lists, numbers, text and numpy arrays; arrays become tensors.

    Args:
        file: The open file, which is read as it is unpickled.

    Raises:
        pickle.UnpicklingError: Something else is in the pickle; 'GLOBAL module.name' names it.
    """
    return _to_tensors(_ArraysOnly(file, encoding='latin1').load())


def _to_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        # Each array goes as its tensor comes, which is a copy.
        return {key: _to_tensors(value.pop(key)) for key in list(value)}
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
        # Arrays of a pickle may be read-only or of the byte order of another machine.
        return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder('=')))
    return value
