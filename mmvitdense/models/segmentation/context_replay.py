"""Visual context replay: what the last map of a ViT knows of a place, replayed onto earlier maps in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmvitdense.layers import deformable_conv
from mmvitdense.registry import MODELS

_TAPS = 9
MODES = ('local', 'global', 'both')


class ContextReplay(BaseModule):
    """Replay of the context of the last map onto others.

    Local: a deformable 3 x 3 convolution of each map, whose offsets and weights of sampling points are learned from the
    last map and shared. Global: each place becomes the mean of the others, weighted by how alike they are in the last
    map.

    Args:
        num_maps: Earlier maps.
        channels: Channels of all maps.
        norm_cfg: Norm of the convolutions.
        mode: 'local', 'global' or 'both', local before global.
        detach_context: Whether no gradient reaches the last map.
    """

    def __init__(self, num_maps: int, channels: int, norm_cfg: dict | None, mode: str, detach_context: bool):
        super().__init__()
        if mode not in MODES:
            raise ValueError(f'mode must be one of {", ".join(map(repr, MODES))}, got {mode!r}.')
        self.detach_context = detach_context
        self.is_local, self.is_global = mode != 'global', mode != 'local'
        if self.is_local:
            self.offsets = nn.Conv2d(channels, 3 * _TAPS, 3, padding=1)
            # The kernel is drawn as one of a plain convolution, and applied to sampled values by `_local`.
            layers = [ConvModule(channels, channels, 3, norm_cfg=norm_cfg, bias=False) for _ in range(num_maps)]
            self.kernels = nn.ModuleList(layers)
        if self.is_global:
            half = channels // 2
            self.query, self.key = nn.Conv2d(channels, half, 1), nn.Conv2d(channels, half, 1)
            self.values = nn.ModuleList(nn.Conv2d(channels, half, 1) for _ in range(num_maps))
            self.outputs = nn.ModuleList(nn.Conv2d(half, channels, 1) for _ in range(num_maps))

    def init_weights(self) -> None:
        """Start with the offsets of a plain convolution."""
        super().init_weights()
        if self.is_local:
            nn.init.zeros_(self.offsets.weight)
            nn.init.zeros_(self.offsets.bias)

    def forward(self, maps: Sequence[Tensor], last: Tensor) -> list[Tensor]:
        """Replay onto maps of B x channels x h x w, all of the size of the last."""
        context = last.detach() if self.detach_context else last
        maps = list(maps)
        if self.is_local:
            maps = self._local(maps, context)
        return self._global(maps, context) if self.is_global else maps

    def _local(self, maps: list[Tensor], context: Tensor) -> list[Tensor]:
        offsets, weights = self.offsets(context).split([2 * _TAPS, _TAPS], dim=1)
        weights = weights.sigmoid()
        found = []
        for each, layer in zip(maps, self.kernels):
            sampled = deformable_conv(each, offsets, weights, layer.conv.weight)
            found.append(layer.activate(layer.norm(sampled) if layer.with_norm else sampled))
        return found

    def _global(self, maps: list[Tensor], context: Tensor) -> list[Tensor]:
        query, key = (layer(context).flatten(2).mT for layer in (self.query, self.key))
        found = []
        for each, value, output in zip(maps, self.values, self.outputs):
            mean = F.scaled_dot_product_attention(query, key, value(each).flatten(2).mT)
            found.append(each + output(mean.mT.unflatten(2, each.shape[-2:])))
        return found


@MODELS.register_module()
class ContextReplayHead(BaseDecodeHead):
    """An auxiliary head that classifies earlier maps of a ViT after `ContextReplay`, in training alone.

    After VPNeXt (arXiv 2502.16654, "Visual Context Replay"), of which no code is public: that offsets come from the
    last layer, kernels are of each layer, and affinities from high-level features is from the paper; widths, order and
    loss are our reading. It serves any decode head, as `auxiliary_head` of mmseg, which does not run in inference.
    With a ViT that is frozen it trains nothing but itself.

    Args:
        in_channels: Channels of each map, the last one of all included.
        channels: Channels of the replay.
        num_classes: Number of classes.
        in_index: Which maps of the backbone are read, the last one at the end.
        mode: 'local', 'global' or 'both'.
        detach_context: Whether no gradient reaches the last map.
        **options: Of mmseg's `BaseDecodeHead`; `loss_decode` counts for each map.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 512,
        *,
        num_classes: int,
        in_index: Sequence[int] = (0, 1, 2),
        mode: str = 'both',
        detach_context: bool = False,
        dropout_ratio: float = 0.0,
        **options: Any,
    ):
        if len(in_index) < 2:
            raise ValueError(f'in_index must name earlier maps and then the last one, got {list(in_index)}.')
        super().__init__(
            in_channels=list(in_channels),
            in_index=list(in_index),
            channels=channels,
            num_classes=num_classes,
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            **options,
        )
        self.reduce = nn.ModuleList(ConvModule(c, channels, 1, norm_cfg=self.norm_cfg) for c in in_channels)
        self.replay = ContextReplay(len(in_index) - 1, channels, self.norm_cfg, mode, detach_context)
        self.classifiers = nn.ModuleList(nn.Conv2d(channels, self.out_channels, 1) for _ in in_index[:-1])
        self.conv_seg = nn.Identity()

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Score each class at each place of each earlier map: B x classes x h x w for each."""
        *maps, last = (reduce(each) for reduce, each in zip(self.reduce, self._transform_inputs(inputs)))
        replayed = self.replay(maps, last)
        if self.dropout is not None:
            replayed = [self.dropout(each) for each in replayed]
        return [classify(each) for classify, each in zip(self.classifiers, replayed)]

    def loss(self, inputs: Sequence[Tensor], batch_data_samples: list[SegDataSample], train_cfg: Any) -> dict:
        """The loss of each earlier map, under 'replay0.' and so on."""
        losses = {}
        for index, scores in enumerate(self.forward(inputs)):
            found = self.loss_by_feat(scores, batch_data_samples)
            losses |= {f'replay{index}.{name}': value for name, value in found.items()}
        return losses
