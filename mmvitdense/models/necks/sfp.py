"""The feature pyramid of Co-DETR's ViTs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmvitdense.layers import LayerNorm2d, constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.registry import MODELS


def _draw(conv: nn.Conv2d) -> None:
    """Xavier's, as released."""
    nn.init.xavier_uniform_(conv.weight)


@MODELS.register_module()
class SFP(InitializedModule):
    """Levels of strides 4 to 64 (or 8 to 64), each made from one map of a ViT (`mmdet/models/necks/sfp.py` of
    Sense-X/Co-DETR).

    It differs from ViTDet's (`SimpleFeaturePyramid`): pixels are repeated and a 3x3 convolution follows, in place of
    transposed convolutions; every convolution but the last has a norm and a GELU behind it; the coarse levels come from
    the map too, each by a max-pooling of 3 pixels.

    Args:
        in_channels: Channels of the map.
        out_channels: Channels of every level.
        with_p2: Whether there is a level of stride 4.
        lateral_channels: Channels of further maps, the first of the size of the largest level. Each is added to its
            level by a 1x1 convolution, as on ViT-CoMer (branch Co-DETR of Traffic-X/ViT-CoMer).
        norm_eps: Epsilon of the norms.
        init_cfg: As in mmengine.

    Raises:
        ValueError: There are more further maps than levels.
    """

    layer_rules = {nn.Conv2d: _draw}

    @constructed_undrawn
    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        with_p2: bool = True,
        lateral_channels: Sequence[int] = (),
        norm_eps: float = 1e-6,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.with_p2 = with_p2

        def level(*before: nn.Module, channels: int) -> nn.Sequential:
            first = _conv(channels, out_channels, 1, norm_eps)
            second = _conv(out_channels, out_channels, 3, norm_eps)
            return nn.Sequential(*before, *first, nn.GELU(), *second)

        half, quarter = in_channels // 2, in_channels // 4
        if with_p2:
            once, twice = _twice(in_channels, half, norm_eps), _twice(half, quarter, norm_eps)
            self.p2 = level(*once, *twice, channels=quarter)
        self.p3 = level(*_twice(in_channels, half, norm_eps), channels=half)
        self.p4 = level(channels=in_channels)
        self.p5 = level(nn.MaxPool2d(3, stride=2, padding=1), channels=in_channels)
        smaller = (*_conv(in_channels, in_channels, 3, norm_eps, stride=2), nn.GELU())
        self.p6 = level(nn.MaxPool2d(3, stride=2, padding=1), *smaller, channels=in_channels)
        num_levels = 5 if with_p2 else 4
        if len(lateral_channels) > num_levels:
            raise ValueError(
                f'lateral_channels has {len(lateral_channels)} maps and there are {num_levels} levels; expected at '
                'most as many: leave some out.'
            )
        # Numbered from one, as in published files.
        self.laterals = nn.ModuleDict(
            {
                str(number): nn.Conv2d(channels, out_channels, 1, bias=False)
                for number, channels in enumerate(lateral_channels, 1)
            }
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Make the levels.

        Args:
            maps: The map of the ViT, B x in_channels x H x W, and the further ones, each of the size of its level.

        Returns:
            One B x out_channels x h x w per level, largest first: 4H x 4W, 2H x 2W, H x W, and twice halved, odd sizes
            rounded up.
        """
        source, *others = maps
        if len(others) != len(self.laterals):
            raise ValueError(
                f'SFP got {1 + len(others)} maps; expected {1 + len(self.laterals)}, the map of the ViT and one '
                'for each of lateral_channels.'
            )
        names = ('p2', 'p3', 'p4', 'p5', 'p6') if self.with_p2 else ('p3', 'p4', 'p5', 'p6')
        levels = [getattr(self, name)(source) for name in names]
        for index, (lateral, other) in enumerate(zip(self.laterals.values(), others)):
            levels[index] = levels[index] + lateral(other)
        return tuple(levels)


def _conv(
    in_channels: int, out_channels: int, kernel: int, eps: float, stride: int = 1
) -> tuple[nn.Conv2d, LayerNorm2d]:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    return conv, LayerNorm2d(out_channels, eps=eps)


def _twice(in_channels: int, out_channels: int, eps: float) -> tuple[nn.Module, ...]:
    """Layers to twice the size."""
    return nn.Upsample(scale_factor=2), *_conv(in_channels, out_channels, 3, eps), nn.GELU()
