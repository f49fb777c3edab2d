"""Patch embeddings that are a linear layer over the pixels of a patch, as SigLIP 2 NaFlex and RADIO keep them."""

from __future__ import annotations

import math

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

_CHANNELS = 3


def kernel_of_linear(weight: Tensor, colours_first: bool = False) -> Tensor:
    """Turn D x (rows * columns * 3) of a square patch, colours in turn for each pixel, into D x 3 x rows x columns.

    Args:
        weight: The matrix.
        colours_first: Whether its columns are colour by colour instead, as those of RADIO.

    Raises:
        CheckpointError: The patch is no square of three colours.
    """
    side = math.isqrt(weight.shape[1] // _CHANNELS)
    if side * side * _CHANNELS != weight.shape[1]:
        raise CheckpointError(
            f'the patch embedding takes {weight.shape[1]} numbers of a patch, which is no square of pixels of three '
            'colours: give weights of a ViT of RGB images'
        )
    if colours_first:
        return weight.unflatten(1, (_CHANNELS, side, side))
    return weight.unflatten(1, (side, side, _CHANNELS)).permute(0, 3, 1, 2)
