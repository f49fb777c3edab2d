"""Semantic segmentation from the maps of a backbone, of which kMaX-DeepLab has a loss in training alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .kmax_conv import ConvNorm, draw_cut_normal
from .kmax_pixel_decoder import resized

_RATES = (6, 12, 18)


class ASPP(nn.Module):
    """Convolutions of three rates, a 1x1 one and the mean of the map, joined (`kmax_transformer_decoder.py:ASPP`).

    Args:
        in_channels: Channels of the map.
        channels: Channels of each branch and of the result.
        norm_cfg: See `build_norm2d`.
    """

    def __init__(self, in_channels: int, channels: int, norm_cfg: dict):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNorm(in_channels, channels, norm_cfg),
                *(ConvNorm(in_channels, channels, norm_cfg, kernel_size=3, dilation=rate) for rate in _RATES),
            ]
        )
        self.pooled = ConvNorm(in_channels, channels, norm_cfg)
        self.project = ConvNorm(5 * channels, channels, norm_cfg)
        self.dropout = nn.Dropout(0.1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x in_channels x h x w to B x channels x h x w.

        Raises:
            ValueError: In training, the batch over which means of images are normed has one.
        """
        mean = maps.mean(dim=(2, 3), keepdim=True)
        try:
            pooled = self.pooled(mean).expand(-1, -1, *maps.shape[-2:])
        except ValueError as error:  # torch's, of one value for a channel
            raise ValueError(
                "KMaX with semantic='aspp' norms the mean of each image over the batch, and got a batch of "
                f'{len(maps)} in training: give two images, several processes with SyncBN, or semantic=None'
            ) from error
        return self.dropout(self.project(torch.cat([*(branch(maps) for branch in self.branches), pooled], dim=1)))


class ASPPSemantic(nn.Module):
    """ASPP on the smallest map, two larger ones joined, a classifier (`SemanticPredictor`).

    Args:
        in_channels: Of the map of stride 32, of that of stride 8 and of the largest.
        channels: Width.
        num_classes: Classes without the one more that it predicts and no loss trains.
        norm_cfg: See `build_norm2d`.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, num_classes: int, norm_cfg: dict):
        super().__init__()
        self.aspp = ASPP(in_channels[0], channels, norm_cfg)
        thin = (channels // 4, channels // 8)
        self.laterals = nn.ModuleList(ConvNorm(given, each, norm_cfg) for given, each in zip(in_channels[1:], thin))
        self.fuses = nn.ModuleList(_separable(channels + each, channels, norm_cfg) for each in thin)
        self.mix = _separable(channels, channels, norm_cfg)
        self.cls_embed = nn.Conv2d(channels, num_classes + 1, 1)

    def reset_parameters(self) -> None:
        """Start with weak logits."""
        draw_cut_normal(self.cls_embed.weight, 0.01)
        nn.init.zeros_(self.cls_embed.bias)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map three maps, smallest first, to logits, B x (num_classes + 1) x h x w of the largest."""
        found = self.aspp(maps[0])
        side = found.shape[-1]
        for lateral, fuse, given in zip(self.laterals, self.fuses, maps[1:]):
            found = fuse(torch.cat([resized(found, given.shape[-2:], side), lateral(given)], dim=1))
        return self.cls_embed(self.mix(found))


class ConvSemantic(nn.Module):
    """Two convolutions and a classifier on the smallest map, as for Cityscapes; arguments as in `ASPPSemantic`."""

    def __init__(self, in_channels: Sequence[int], channels: int, num_classes: int, norm_cfg: dict):
        super().__init__()
        self.mix = _separable(in_channels[0], channels, norm_cfg)
        self.cls_embed = nn.Conv2d(channels, num_classes, 1)

    reset_parameters = ASPPSemantic.reset_parameters

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map the first of three maps, B x C x h x w, to logits, B x num_classes x h x w."""
        return self.cls_embed(self.mix(maps[0]))


SEMANTIC = {'aspp': ASPPSemantic, 'conv': ConvSemantic}


def _separable(in_channels: int, channels: int, norm_cfg: dict) -> nn.Sequential:
    return nn.Sequential(
        ConvNorm(in_channels, in_channels, norm_cfg, kernel_size=5, depthwise=True),
        ConvNorm(in_channels, channels, norm_cfg),
    )
