"""One linear layer on the maps of a ViT, as DINOv2 and DINOv3 are measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from mmvitdense.option_types import Count, DropRate, Positive
from mmvitdense.registry import MODELS


@MODELS.register_module()
class LinearSegHead(BaseDecodeHead):
    """Maps side by side, batch norm, one 1 x 1 convolution.

    With the defaults it is the head of DINOv2 (`dinov2/eval/segmentation/models/decode_heads/linear_head.py`),
    "linear" on the last map and "+ms" on those of the last four blocks; with `dropout_before_norm=True` and
    `dropout_ratio=0.1` that of DINOv3 (`dinov3/eval/segmentation/models/heads/linear_head.py`). Both have batch
    norm over all processes.

    Args:
        in_channels: Channels of the map, or of each map.
        num_classes: Number of classes.
        in_index: Which maps of the backbone are read; by default as many as there are `in_channels`, from the first.
        with_cls_token: Whether the class token, which the backbone gives with each map, is put beside it.
        resize_factors: By what each map is resized first, bilinearly, or by areas where it shrinks. All are then
            resized to the size of the first.
        norm_cfg: The norm; None for none.
        dropout_ratio: Share of the channels that are dropped.
        dropout_before_norm: Whether they are dropped before the norm; else before the convolution.
        **options: Of mmseg's `BaseDecodeHead`, such as `loss_decode` and `align_corners`.
    """

    def __init__(
        self,
        in_channels: Count | Sequence[Count],
        num_classes: Count,
        *,
        in_index: int | Sequence[int] | None = None,
        with_cls_token: bool = False,
        resize_factors: Sequence[Positive] | None = None,
        norm_cfg: dict | None = dict(type='SyncBN'),  # noqa: B006
        dropout_ratio: DropRate = 0.0,
        dropout_before_norm: bool = False,
        **options: Any,
    ):
        widths = [in_channels] if isinstance(in_channels, int) else list(in_channels)
        places = list(range(len(widths))) if in_index is None else in_index
        places = [places] if isinstance(places, int) else list(places)
        channels = sum(widths) * (2 if with_cls_token else 1)
        if options.setdefault('channels', channels) != channels:
            raise ValueError(
                f'channels={options["channels"]}, but maps of {widths} channels'
                f'{" and their class tokens" if with_cls_token else ""} make {channels}: leave channels out.'
            )
        if resize_factors is not None and len(resize_factors) != len(widths):
            raise ValueError(f'{len(resize_factors)} resize_factors for {len(widths)} maps: give one for each map.')
        super().__init__(
            in_channels=widths,
            in_index=places,
            num_classes=num_classes,
            norm_cfg=norm_cfg,
            dropout_ratio=dropout_ratio,
            input_transform='resize_concat',
            **options,
        )
        self.widths, self.with_cls_token, self.resize_factors = widths, with_cls_token, resize_factors
        self.dropout_before_norm = dropout_before_norm
        self.bn = build_norm_layer(norm_cfg, channels)[1] if norm_cfg else torch.nn.Identity()

    def forward(self, inputs: Sequence[Tensor | tuple[Tensor, Tensor]]) -> Tensor:
        """Score each class in each place of the first map.

        Args:
            inputs: For each block B x C x h x w, or a pair of it and the class token, B x C.

        Returns:
            B x classes x h x w.

        Raises:
            ValueError: The maps are not those that the options tell of, or their class tokens are not there, though the
                head reads them, or there, though it does not.
        """
        features = self._transform_inputs(inputs)
        if self.dropout_before_norm and self.dropout is not None:
            features = self.dropout(features)
        features = self.bn(features)
        return self.conv_seg(features) if self.dropout_before_norm else self.cls_seg(features)

    def _transform_inputs(self, inputs: Sequence[Tensor | tuple[Tensor, Tensor]]) -> Tensor:
        """The maps that the head reads, and their class tokens, in one of the size of the first."""
        found: list[Tensor] = []
        for place, index in enumerate(self.in_index):
            of_block, token = self._given(inputs, place, index)
            if self.resize_factors is not None:
                of_block = _scaled(of_block, self.resize_factors[place])
            size = found[0].shape[-2:] if found else of_block.shape[-2:]
            if of_block.shape[-2:] != size:
                of_block = F.interpolate(of_block, size, mode='bilinear', align_corners=self.align_corners)
            found.append(of_block)
            if token is not None:
                found.append(token[..., None, None].expand(-1, -1, *size))
        return torch.cat(found, dim=1)

    def _given(self, inputs: Sequence[Tensor | tuple[Tensor, Tensor]], place: int, index: int) -> tuple:
        """The map at an index, and its class token or None."""
        if not -len(inputs) <= index < len(inputs):
            raise ValueError(f'in_index {index}: the backbone gives {len(inputs)} maps, counted from 0.')
        given = inputs[index]
        features, token = given if isinstance(given, tuple | list) else (given, None)
        if features.shape[1] != self.widths[place]:
            raise ValueError(
                f'in_channels={self.widths[place]} for the map {index}, which has {features.shape[1]} channels.'
            )
        if self.with_cls_token != (token is not None):
            raise ValueError(
                f'with_cls_token={self.with_cls_token}, but the backbone gives maps '
                f'{"with their class tokens" if token is not None else "alone"}: give both the same with_cls_token.'
            )
        return features, token


def _scaled(features: Tensor, factor: float) -> Tensor:
    if factor >= 1:
        return F.interpolate(features, scale_factor=factor, mode='bilinear')
    return F.interpolate(features, scale_factor=factor, mode='area')
