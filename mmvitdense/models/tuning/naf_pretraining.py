"""Self-supervised training of NAF on images alone (arXiv 2511.18452; `train.py` of valeoai/NAF)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.option_types import Count, Share
from mmvitdense.registry import MODELS

from .upsampler_pretraining import Doubled, UpsamplerPretraining


@MODELS.register_module()
class NAFPretraining(UpsamplerPretraining):
    """Train NAF to make the map of an image out of the image and the map of it at a smaller size.

    As `train.py` of valeoai/NAF does: the ViT sees an image, and the image shrunk bilinearly to whole patches; NAF
    sees the image at 4 times the map's size, and makes the larger map of the smaller one. The loss is the mean square
    of the differences. One ViT is enough for a NAF that serves others.

    Args:
        backbone: A `LiftedViT` or its config, with a ViT that is frozen and a `NAF` that is not.
        factor: What the sides are shrunk by; of two numbers, one between them is drawn for each batch ('random' in the
            official code is .25 and .6).
        largest_guide: Sides of the image for NAF are at most so many pixels.
        data_preprocessor: As in mmengine; images are normalised as for the ViT.
        init_cfg: As in mmengine.

    Raises:
        ValueError: A part of the ViT would be trained, or NAF would not, or `factor` is no number or range above 0.
    """

    def __init__(
        self,
        backbone: dict[str, Any] | nn.Module,
        factor: Share | Sequence[Share] = 0.5,
        largest_guide: Count = 224,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(backbone, data_preprocessor, init_cfg)
        bounds = [factor, factor] if isinstance(factor, int | float) else list(factor)
        if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1] <= 1:
            raise ValueError(
                f'factor must be above 0 and at most 1, or two such numbers in ascending order, got {factor}'
            )
        self.factors, self.largest_guide = bounds, largest_guide

    def loss(self, inputs: Tensor) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            inputs: B x 3 x H x W, whole multiples of a patch.

        Returns:
            'loss_mse'.

        Raises:
            ValueError: The sides are no such multiples.
        """
        self.check_size(inputs, 1)
        low, high = self.factors
        factor = low if low == high else low + (high - low) * torch.rand(()).item()
        found, wanted, _ = self._made(inputs, factor)
        return {'loss_mse': F.mse_loss(found.float(), wanted.float())}

    def doubled(self, inputs: Tensor) -> Doubled:
        """As in the base, with the image as in the loss."""
        return self._made(inputs, 0.5)

    def _made(self, inputs: Tensor, factor: float) -> Doubled:
        patch = self.backbone.patch_size
        sides = [max(round(side * factor / patch), 1) * patch for side in inputs.shape[-2:]]
        with torch.no_grad():
            wanted = self.backbone.features(inputs)
            small = self.backbone.features(F.interpolate(inputs, sides, mode='bilinear', align_corners=False))
        size = tuple(wanted.shape[-2:])
        guide = [min(self.largest_guide, 4 * side) for side in size]
        guide = F.interpolate(inputs, guide, mode='bilinear', align_corners=False)
        return Doubled(self.backbone.lift(guide, small, size), wanted, small)
