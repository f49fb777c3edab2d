"""DINO (Zhang et al. 2022) with the decoder that was published, whatever the installed mmdet has."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmdet.models import detectors
from mmdet.models.layers import MLP
from torch import Tensor

from mmvitdense.registry import MODELS


class ReferencePointHead(MLP):
    """The layer that makes a decoder's query positions from its boxes, fed by mmdet of either line.

    A box (x, y, width, height) comes as sines and cosines of 2 pi times each number, divided by 10000^(2 k / F). The
    released code, and mmdet 3.3.0 at 256 channels, have F = channels / 2, which makes 2 x channels numbers. Later
    mmdet has F = channels and twice as many, so published weights do not fit it. All the frequencies of a smaller F
    are among those of a multiple of it: here they are taken out, and the layer is the published one.

    Args:
        channels: Width of the decoder.

    Raises:
        ValueError: mmdet's encoding does not hold the published one, as mmdet 3.3.0's, whose F is always 128, holds
            it where channels / 2 divides 128.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(2 * channels, channels, channels, 2)
        self.channels = channels

    def forward(self, encoding: Tensor) -> Tensor:
        """Query positions, B x N x channels, from the encoding of N boxes, B x N x 4F."""
        given, step = encoding.size(-1), encoding.size(-1) // (2 * self.channels)
        if step * 2 * self.channels != given:
            raise ValueError(
                f'a decoder of {self.channels} channels got boxes encoded in {given} numbers by the installed mmdet; '
                f'expected a multiple of {2 * self.channels}: choose a width that divides {given // 2}.'
            )
        pairs = encoding.unflatten(-1, (4, -1, step, 2))
        return super().forward(pairs[..., 0, :].flatten(-3))


@MODELS.register_module()
class DINO(detectors.DINO):
    """mmdet's `DINO` with the published decoder: weights of the released code and of mmdet 3.3.0 fit, and the model
    is the same beside mmdet 3.3.0 and onedl-mmdetection. Weights trained by onedl-mmdetection's own `DINO` do not fit
    (their `decoder.ref_point_head.layers.0.weight` has twice as many columns).

    Raises:
        ValueError: An image has fewer places on its maps than there are queries.
    """

    def __init__(self, *args: Any, bbox_head: dict, dn_cfg: dict, **kwargs: Any) -> None:
        # mmdet writes into both, and refuses what it has written when it gets the same config for another model.
        super().__init__(*args, bbox_head=copy.deepcopy(bbox_head), dn_cfg=copy.deepcopy(dn_cfg), **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        self.decoder.ref_point_head = ReferencePointHead(self.embed_dims)

    def pre_decoder(self, memory: Tensor, *args: Any, **kwargs: Any) -> tuple[dict, dict]:
        """As its base, of the output of the encoder, B x N x C."""
        if not torch.jit.is_tracing() and memory.shape[1] < self.num_queries:
            raise ValueError(
                f'DINO chooses {self.num_queries} queries and the maps of these images have {memory.shape[1]} places; '
                'expected at least as many places: lower num_queries or give larger images.'
            )
        return super().pre_decoder(memory, *args, **kwargs)
