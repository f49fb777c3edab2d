"""Upsampling of the last map of a ViT by dense maps of its patch embedding (VPNeXt, arXiv 2502.16654)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmvitdense.registry import MODELS


@MODELS.register_module()
class VPNeXtHead(BaseDecodeHead):
    """The last map of a ViT, doubled in size step by step, each time beside a map of the same size.

    An unofficial reading, as no code is public: upsampling by a real pyramid of the ViT is the paper's, the layers are
    those of DeepLab v3+'s decoder at each step. The backbone is `VPNeXtViT`; `ContextReplayHead` goes beside it.

    Args:
        in_channels: Channels of the last map and of those that help it grow.
        channels: Channels of the decoder.
        num_classes: Number of classes.
        in_index: Which maps of the backbone are read: the last one of the ViT, then the others from small to large.
        low_level_channels: Channels that a map that helps is brought to.
        **options: Of mmseg's `BaseDecodeHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        *,
        num_classes: int,
        in_index: Sequence[int] = (2, 3, 4),
        low_level_channels: int = 48,
        **options: Any,
    ):
        super().__init__(
            in_channels=list(in_channels),
            in_index=list(in_index),
            channels=channels,
            num_classes=num_classes,
            input_transform='multiple_select',
            **options,
        )
        first, *others = in_channels
        layer = dict(norm_cfg=self.norm_cfg, padding=1)
        self.reduce = ConvModule(first, channels, 3, **layer)
        self.low_level = nn.ModuleList(ConvModule(c, low_level_channels, 1, norm_cfg=self.norm_cfg) for c in others)
        self.fuse = nn.ModuleList(
            nn.Sequential(
                ConvModule(channels + low_level_channels, channels, 3, **layer),
                ConvModule(channels, channels, 3, **layer),
            )
            for _ in others
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Score each class at each place of the largest map, B x classes x h x w."""
        last, *others = self._transform_inputs(inputs)
        features = self.reduce(last)
        for each, low_level, fuse in zip(others, self.low_level, self.fuse):
            grown = F.interpolate(features, each.shape[-2:], mode='bilinear', align_corners=self.align_corners)
            features = fuse(torch.cat([grown, low_level(each)], dim=1))
        return self.cls_seg(features)
