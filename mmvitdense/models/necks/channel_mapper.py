"""Maps of a backbone at fewer channels, each by itself: what stands in the place of a pyramid network."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import constructed_undrawn, draw_xavier_linear
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.option_types import Count
from mmvitdense.registry import MODELS


@MODELS.register_module()
class ChannelMapperWithPooling(InitializedModule):
    """A convolution of single places and a ReLU on each map, and smaller maps by pooling the last.

    The neck of ViT-Adapter's Mask R-CNN without FPN (`mmdet_custom/models/necks/channel_mapper.py` of
    czczup/ViT-Adapter), whose names of parameters it has. mmdet's `ChannelMapper` makes further maps by convolutions.

    Args:
        in_channels: Channels of each map.
        out_channels: Channels of the results.
        num_outs: How many maps are returned: those given, and each further one the largest of 2 x 2 places of the one
            before; a last odd row or column is left out.
        init_cfg: As in mmengine.

    Raises:
        ValueError: `num_outs` is below the number of maps.
    """

    layer_rules = {nn.Conv2d: draw_xavier_linear}

    @constructed_undrawn
    def __init__(
        self,
        in_channels: Sequence[Count],
        out_channels: Count = 256,
        num_outs: Count | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.num_outs = len(in_channels) if num_outs is None else num_outs
        if self.num_outs < len(in_channels):
            raise ValueError(f'num_outs must be at least the {len(in_channels)} maps of in_channels, got {num_outs}')
        self.convs = nn.ModuleList(_Mapped(channels, out_channels) for channels in in_channels)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map B x C_i x h_i x w_i to B x out_channels x h_i x w_i, and further ones of half the size each."""
        if len(maps) != len(self.convs):
            raise ValueError(f'{len(maps)} maps are given, in_channels has {len(self.convs)}: give as many')
        found = [conv(each) for conv, each in zip(self.convs, maps)]
        while len(found) < self.num_outs:
            # Of a side of one place there is nothing to leave out.
            window = [min(side, 2) for side in found[-1].shape[-2:]]
            found.append(F.max_pool2d(found[-1], window, 2))
        return tuple(found)


class _Mapped(nn.Module):
    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.conv(maps))
