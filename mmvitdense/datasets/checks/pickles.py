"""Files of pickled objects among the data of a config: reading one may run code that it holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .messages import DataError

_SUFFIXES = ('.pkl', '.pickle', '.p')


def check_pickles(cfg: dict, split: str) -> None:
    """Refuse pickle files in what loads and scores a split, as mmengine reads annotations of that suffix by executing.

    Raises:
        DataError: An annotation, proposal or split file is a pickle.
    """
    for part in ('dataloader', 'evaluator'):
        for key, path in _texts(cfg.get(f'{split}_{part}'), f'{split}_{part}'):
            if path.lower().endswith(_SUFFIXES):
                raise DataError(
                    f'{key}: {os.path.basename(path)!r} is a pickle file, and reading one can run code that it holds: '
                    "write its content as JSON (if you trust it: mmengine.dump(mmengine.load('FILE.pkl'), "
                    "'FILE.json')) and give that file."
                )


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name in value:
            yield from _texts(value[name], f'{key}.{name}')
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _texts(item, f'{key}.{index}')
