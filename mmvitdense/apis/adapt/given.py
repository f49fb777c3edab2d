"""Options that a person gave, which nothing changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

LENGTHS = ('train_cfg.max_iters', 'train_cfg.max_epochs')
BATCH_AND_LENGTH = ('train_dataloader.batch_size', 'optim_wrapper.accumulative_counts', *LENGTHS)
"""Options that change what a run does, and not what its recipe is meant for."""


class Given:
    """Keys of `--cfg-options`.

    Args:
        keys: The keys.
    """

    def __init__(self, keys: Iterable[str] = ()):
        self._keys = tuple(keys)

    def __contains__(self, key: str) -> bool:
        """Whether a key, a part of it, or what it is a part of, was given."""
        return any(f'{key}.'.startswith(f'{one}.') or f'{one}.'.startswith(f'{key}.') for one in self._keys)

    def left(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options without those that were given."""
        return {key: value for key, value in options.items() if key not in self}
