"""Which part of a ViT is frozen, by its options."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral

from torch import nn


def frozen_count(frozen_stages: int | str, num_layers: int) -> int:
    """The number of first blocks that are frozen, -1 for a ViT of which nothing is.

    Args:
        frozen_stages: That number, or 'all' for the whole ViT, which is `num_layers`.
        num_layers: Blocks of the ViT.

    Raises:
        ValueError: There are not so many blocks.
    """
    if frozen_stages == 'all':
        return num_layers
    if not isinstance(frozen_stages, Integral) or not -1 <= frozen_stages <= num_layers:
        raise ValueError(
            f"frozen_stages must be -1 to {num_layers} (the number of blocks) or 'all', got {frozen_stages!r}"
        )
    return int(frozen_stages)


def frozen_blocks(blocks: Sequence[nn.Module], frozen: int, tuned: Sequence[int]) -> list[nn.Module]:
    """The first `frozen` blocks without those at the indices `tuned`.

    Raises:
        ValueError: One of `tuned` is not among the frozen ones, so that naming it changes nothing.
    """
    if surplus := [index for index in tuned if index >= max(frozen, 0)]:
        raise ValueError(
            f'tuned_blocks names the blocks {surplus}, which frozen_stages={frozen} does not freeze: give '
            "frozen_stages='all', or leave them out"
        )
    return [block for index, block in enumerate(blocks[: max(frozen, 0)]) if index not in tuned]


def freeze(modules: Iterable[nn.Module], parameters: Iterable[nn.Parameter] = ()) -> None:
    """Take modules and parameters out of the training: no gradients, and of modules their evaluation mode."""
    for module in modules:
        module.eval().requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(False)
