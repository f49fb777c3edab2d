"""Reading golden files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

DIRECTORY = Path(__file__).parents[1] / 'golden'


def read_golden(name: str) -> dict[str, Any]:
    """A file of `tests/golden`: 'meta', and dicts of tensors under 'sd', 'in', 'out', 'mid', 'cot' and 'grad'."""
    with np.load(DIRECTORY / f'{name}.npz') as file:
        parts: dict[str, Any] = {'meta': json.loads(str(file['meta']))}
        for key in file.files:
            kind, _, rest = key.partition('/')
            if rest:
                parts.setdefault(kind, {})[rest] = torch.from_numpy(file[key])
    return parts
