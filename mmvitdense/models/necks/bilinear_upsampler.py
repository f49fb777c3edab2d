"""Bilinear interpolation in the place of LiFT or NAF, which these are measured against."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from mmvitdense.registry import MODELS

from .map_upsampler import MapUpsampler


@MODELS.register_module()
class BilinearUpsampler(MapUpsampler):
    """The map of a ViT stretched, without weights and without a look at the image."""

    def denser(self, image: Tensor, maps: Tensor, doublings: Sequence[int]) -> list[Tensor]:
        """See `MapUpsampler`."""
        return [F.interpolate(maps, scale_factor=2**n, mode='bilinear', align_corners=False) for n in doublings]
