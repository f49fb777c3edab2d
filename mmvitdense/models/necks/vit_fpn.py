"""The maps of a plain ViT brought to four strides, for a feature pyramid network."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from mmvitdense.layers import UpConv2d, constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.registry import MODELS


def _draw_lecun(conv: nn.ConvTranspose2d) -> None:
    """LeCun's initialisation, from a normal distribution cut off at two deviations, which leaves 0.88 of one."""
    std = 1 / math.sqrt(conv.weight[0].numel()) / 0.87962566
    nn.init.trunc_normal_(conv.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(conv.bias)


@MODELS.register_module()
class ViTFPN(InitializedModule):
    """Four maps of a plain ViT at four sizes: 4, 2, 1 and 1/2 of what they were.

    The resolution-changing modules of the detection-transfer study (Benchmarking Detection Transfer Learning with
    Vision Transformers, arXiv 2111.11429 section 2.1), as in hustvl/MIMDet `models/benchmarking.py`. They take the
    outputs of the last block of each quarter of the depth, the first for the largest map, keep all channels, and
    replace the stages of a convolutional backbone. A feature pyramid network follows them: mmdet's as a second neck,
    `neck=[dict(type='mmvitdense.ViTFPN', ...), dict(type='FPN', ...)]`; mmseg's UPerNet has its own.

    Args:
        in_channels: Channels of each map, and of each output.
        num_groups: Groups of the norm between the two steps to the largest map.
        init_cfg: As in mmengine.
    """

    layer_rules = {nn.ConvTranspose2d: _draw_lecun}

    @constructed_undrawn
    def __init__(self, in_channels: int, num_groups: int = 32, init_cfg: dict | list[dict] | None = None):
        super().__init__(init_cfg)
        if in_channels % num_groups:
            raise ValueError(f'in_channels must be a multiple of num_groups, got {in_channels} and {num_groups}')
        self.resample = nn.ModuleList(
            [
                nn.Sequential(
                    _twice_as_large(in_channels),
                    nn.GroupNorm(num_groups, in_channels, eps=1e-5),
                    nn.GELU(),
                    _twice_as_large(in_channels),
                ),
                _twice_as_large(in_channels),
                nn.Identity(),
                # Rounded up: the last row of an odd map has its place, as the strides of a convolutional backbone do.
                nn.MaxPool2d(2, stride=2, ceil_mode=True),
            ]
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Change the sizes.

        Args:
            maps: Four of B x in_channels x H x W, in order of depth.

        Returns:
            The same with sides of 4H, 2H, H and H/2 rounded up: strides 4, 8, 16 and 32 after patches of 16 pixels.

        Raises:
            ValueError: There are not four maps.
        """
        if len(maps) != len(self.resample):
            raise ValueError(
                f'ViTFPN takes four maps of the backbone, got {len(maps)}: set its out_indices to the last block of '
                'each quarter of the depth, (2, 5, 8, 11) for 12 blocks'
            )
        return tuple(resample(source) for resample, source in zip(self.resample, maps))


def _twice_as_large(channels: int) -> UpConv2d:
    return UpConv2d(channels, channels)
