"""Files among the data of a config that mmengine reads by executing what they say: pickles and YAML."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .messages import DataError

_PICKLES = ('.pkl', '.pickle', '.p')
# mmengine's reader of YAML makes any object that the file asks for. A data set may read files of its own in a safe way,
# so that only those are refused whose keys mmengine and its libraries read themselves.
_YAML = ('.yaml', '.yml')
_READ_BY_MMENGINE = ('ann_file', 'proposal_file', 'class_weight')


def check_pickles(cfg: dict, split: str) -> None:
    """Refuse pickle files in what loads and scores a split, and in the weights of classes of a loss.

    Raises:
        DataError: An annotation, proposal or split file is a pickle, or one that mmengine reads is a pickle or YAML.
    """
    parts = [f'{split}_dataloader', f'{split}_evaluator']
    texts = [(key, path, True) for part in parts for key, path in _texts(cfg.get(part), part)]
    # Checkpoints in the model may be pickles: they are read without executing.
    texts += [(key, path, False) for key, path in _texts(cfg.get('model'), 'model')]
    for key, path, is_data in texts:
        name, is_read = path.lower(), key.rpartition('.')[2] in _READ_BY_MMENGINE
        if not name.endswith((*_PICKLES, *_YAML) if is_read else _PICKLES if is_data else ()):
            continue
        kind = 'pickle' if name.endswith(_PICKLES) else 'YAML'
        file = os.path.basename(path)
        raise DataError(
            f'{key}: {file!r} is a {kind} file, and reading one can run code that it holds: write its content as JSON '
            f"(if you trust it: mmengine.dump(mmengine.load('{file}'), 'FILE.json')) and give that file."
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
