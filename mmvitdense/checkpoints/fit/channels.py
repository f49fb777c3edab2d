"""Patch embeddings for images of another number of channels, such as RGB -> 13 bands of Sentinel-2."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

REPEAT = 'repeat'


def fit_channels(weight: Tensor, channels: int, how: str | Sequence[int] | None) -> Tensor:
    """Make the kernel of a patch embedding take images of another number of channels.

    Args:
        weight: C x in_channels x p x p.
        channels: Channels wanted.
        how: 'repeat' repeats the kernels of the channels in their order and scales them by the ratio of both numbers,
            as timm does (`timm/models/_manipulate.py:adapt_input_conv`), so that an image whose channels are all the
            same has the same tokens; fewer channels than three of RGB are one, whose kernel is the sum. A list of
            channels of the file, one for each channel of the model, takes their kernels as they are: bands 3, 2, 1 of
            Sentinel-2 for RGB.

    Returns:
        C x channels x p x p.

    Raises:
        CheckpointError: Nothing is asked for, or the list is none for these channels.
    """
    own = weight.shape[1]
    if how is None:
        raise CheckpointError(
            f'the weights are for images of {own} channels, the model has in_channels={channels}: give the model '
            f"in_channels={own}, or ask for init_cfg=dict(..., channels='repeat') or channels=[...] with a channel of "
            'the file for each of the model, which makes other weights of them'
        )
    if how == REPEAT:
        if channels == 1:
            return weight.sum(1, keepdim=True)
        repeated = weight.repeat(1, math.ceil(channels / own), 1, 1)[:, :channels]
        return repeated * (own / channels)
    if len(how) != channels or not all(0 <= index < own for index in how):
        raise CheckpointError(
            f'channels must name {channels} channels of the {own} of the file, counted from 0, got {list(how)}'
        )
    return weight[:, torch.as_tensor(list(how))]
