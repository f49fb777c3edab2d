"""Weights that the model of a config starts from, looked at before a run."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from mmvitdense.checkpoints import CheckpointError, read_file


def check_initial_weights(cfg: Any) -> None:
    """Read, and first fetch, every checkpoint that an `init_cfg` of the model names.

    mmengine does so when the training starts, after it has made the work dir. Addresses that only mmengine knows
    (`torchvision://`, `open-mmlab://`, ...) are left to it.

    Raises:
        CheckpointError: One is absent, damaged or cannot be fetched; the message names its place in the config.
    """
    seen = set()
    for place, checkpoint in _checkpoints(cfg.get('model'), 'model'):
        if checkpoint in seen or ('://' in checkpoint and not checkpoint.startswith(('http:', 'https:', 'file:'))):
            continue
        seen.add(checkpoint)
        try:
            read_file(checkpoint)
        except CheckpointError as error:
            raise CheckpointError(f'{place}: {error}') from error


def without_initial_weights(cfg: Any) -> Any:
    """A copy of a config whose model starts from no file, and is drawn instead."""
    cfg = copy.deepcopy(cfg)
    _forget_checkpoints(cfg.get('model'))
    return cfg


def _forget_checkpoints(node: Any) -> None:
    if isinstance(node, (list, tuple)):
        for value in node:
            _forget_checkpoints(value)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == 'init_cfg':
                parts = value if isinstance(value, (list, tuple)) else [value]
                kept = [part for part in parts if not (isinstance(part, dict) and part.get('checkpoint'))]
                if len(kept) < len(parts):
                    node[key] = kept or None
            else:
                _forget_checkpoints(value)


def _checkpoints(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """The place and the value of each `init_cfg.checkpoint`."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'init_cfg':
                for index, part in enumerate(value if isinstance(value, (list, tuple)) else [value]):
                    if isinstance(part, dict) and isinstance(part.get('checkpoint'), str):
                        number = f'.{index}' if isinstance(value, (list, tuple)) else ''
                        yield f'{path}.init_cfg{number}.checkpoint', part['checkpoint']
            else:
                yield from _checkpoints(value, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _checkpoints(value, f'{path}.{index}')
