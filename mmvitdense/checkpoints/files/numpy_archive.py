"""Archives of arrays (`.npz`), as Flax models of Google are published."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def load_archive(path: str) -> dict[str, Tensor]:
    """Read all arrays of numbers; pickled objects are refused by numpy."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: _tensor(archive[name]) for name in archive.files}


def _tensor(array: np.ndarray) -> Tensor:
    if array.dtype.kind == 'V' and array.dtype.itemsize == 2:  # numpy does not know bfloat16 and keeps its bytes
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
