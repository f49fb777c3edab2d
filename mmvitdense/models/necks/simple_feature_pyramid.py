"""The simple feature pyramid of ViTDet."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import LayerNorm2d, UpConv2d, constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.option_types import Count, Positive
from mmvitdense.registry import MODELS


@MODELS.register_module()
class SimpleFeaturePyramid(InitializedModule):
    """Maps of several strides, each made from one map of a plain ViT alone (ViTDet, arXiv 2203.16527 section 3).

    The layers are those of detectron2 (`modeling/backbone/vit.py:SimpleFeaturePyramid`): transposed convolutions
    or max-pooling to the scale, then a 1x1 and a 3x3 convolution without bias, each followed by a norm, without
    activation.

    Args:
        in_channels: Channels of the map.
        out_channels: Channels of every level.
        scale_factors: Size of each level relative to the map, from large to small, out of 4, 2, 1, 0.5
            and 0.25 (two poolings, for maps that are twice as dense as those of a ViT; not in detectron2).
        num_outs: Number of levels returned; those beyond `scale_factors` are the last level sub-sampled by 2 (p6
            of ViTDet). As many as `scale_factors` when None.
        extra_convs: Make those levels each from the one before by a 3x3 convolution of stride 2 and a norm, as heads
            that predict from P6 and P7 expect (an option of ours, not in detectron2).
        in_index: Which map of the backbone is taken.
        norm_eps: Epsilon of the norms.
        init_cfg: As in mmengine.
    """

    @constructed_undrawn
    def __init__(
        self,
        in_channels: Count,
        out_channels: Count = 256,
        scale_factors: Sequence[Positive] = (4, 2, 1, 0.5),
        num_outs: Count | None = None,
        extra_convs: bool = False,
        in_index: int = -1,
        norm_eps: Positive = 1e-6,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        num_outs = len(scale_factors) if num_outs is None else num_outs
        if num_outs < len(scale_factors):
            raise ValueError(
                f'num_outs must be at least the {len(scale_factors)} levels of scale_factors, got {num_outs}: shorten '
                'scale_factors instead'
            )
        num_extra = num_outs - len(scale_factors)
        self.in_index = in_index
        self.resample = nn.ModuleList()
        self.lateral_convs = nn.ModuleList()
        self.output_convs = nn.ModuleList()
        for factor in scale_factors:
            resample, channels = _resample(in_channels, factor, norm_eps)
            self.resample.append(resample)
            self.lateral_convs.append(_conv_norm(channels, out_channels, 1, norm_eps))
            self.output_convs.append(_conv_norm(out_channels, out_channels, 3, norm_eps))
        self.extra = nn.ModuleList(
            _conv_norm(out_channels, out_channels, 3, norm_eps, stride=2) if extra_convs else nn.MaxPool2d(1, stride=2)
            for _ in range(num_extra)
        )

    def forward(self, maps: Sequence[Tensor] | Tensor) -> tuple[Tensor, ...]:
        """Make the levels.

        Args:
            maps: The outputs of the backbone, or one map of B x in_channels x H x W.

        Returns:
            One B x out_channels x (factor*H) x (factor*W) per level, largest first, odd sizes rounded down when
            halved by `scale_factors`, but not to less than one, and up in the levels beyond.
        """
        source = maps if isinstance(maps, Tensor) else maps[self.in_index]
        levels = [
            output(lateral(resample(source)))
            for resample, lateral, output in zip(self.resample, self.lateral_convs, self.output_convs)
        ]
        for extra in self.extra:
            levels.append(extra(levels[-1]))
        return tuple(levels)


class _HalfSize(nn.Module):
    """The largest of each two by two; a side of one stays, which detectron2 refuses."""

    def forward(self, maps: Tensor) -> Tensor:
        kernel = [2 if side > 1 else 1 for side in maps.shape[-2:]]
        return F.max_pool2d(maps, kernel, stride=2)


def _resample(channels: int, factor: float, eps: float) -> tuple[nn.Sequential, int]:
    """Layers that change the scale, and the channels that come out."""
    if factor == 4:
        half, quarter = channels // 2, channels // 4
        first, second = UpConv2d(channels, half), UpConv2d(half, quarter)
        return nn.Sequential(first, LayerNorm2d(half, eps=eps), nn.GELU(), second), quarter
    if factor == 2:
        return nn.Sequential(UpConv2d(channels, channels // 2)), channels // 2
    if factor == 1:
        return nn.Sequential(), channels
    if factor == 0.5:
        return nn.Sequential(_HalfSize()), channels
    if factor == 0.25:
        return nn.Sequential(_HalfSize(), _HalfSize()), channels
    raise ValueError(f'scale_factors must be out of 4, 2, 1, 0.5 and 0.25, got {factor}')


def _conv_norm(in_channels: int, out_channels: int, kernel: int, eps: float, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, LayerNorm2d(out_channels, eps=eps))
