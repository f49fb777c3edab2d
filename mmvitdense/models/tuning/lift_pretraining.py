"""Self-supervised training of LiFT on images alone (arXiv 2403.14625, section 3)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmvitdense.registry import MODELS

from .upsampler_pretraining import Doubled, UpsamplerPretraining, cosine_distance

_LOSSES = ('cosine', 'l1', 'l2')


@MODELS.register_module()
class LiFTPretraining(UpsamplerPretraining):
    """Train LiFT to make the map of an image out of the image and the map of it at half the size.

    As `train_lift.py` of saksham-s/lift does: the ViT sees an image, every second and every fourth of its pixels,
    without smoothing; LiFT doubles the maps of the two smaller ones, and is compared with that of the next larger one.

    Args:
        backbone: A `LiftedViT` or its config, with a ViT that is frozen and a LiFT that is not.
        loss: What two maps are compared by: 'cosine', one less the cosine of the features of each place; 'l1'; 'l2'.
        data_preprocessor: As in mmengine; images are normalised as for the ViT.
        init_cfg: As in mmengine.

    Raises:
        ValueError: A part of the ViT would be trained, or LiFT would not.
    """

    def __init__(
        self,
        backbone: dict[str, Any] | nn.Module,
        loss: Literal['cosine', 'l1', 'l2'] = 'cosine',
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        if loss not in _LOSSES:
            raise ValueError(f'loss must be one of {_LOSSES}, got {loss!r}')
        super().__init__(backbone, data_preprocessor, init_cfg)
        self.loss_kind = loss

    def loss(self, inputs: Tensor) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs: B x 3 x H x W, whole multiples of four patches.

        Returns:
            'loss_half' and 'loss_quarter', of the image at half and at a quarter of its size.

        Raises:
            ValueError: The sides are no such multiples.
        """
        self.check_size(inputs, 4)
        images = [inputs, inputs[..., ::2, ::2], inputs[..., ::4, ::4]]
        with torch.no_grad():
            maps = [self.backbone.features(image) for image in images]
        lifted = [self.backbone.lift(image, small) for image, small in zip(images[1:], maps[1:])]
        return {
            name: self._distance(found, wanted).mean()
            for name, found, wanted in zip(('loss_half', 'loss_quarter'), lifted, maps)
        }

    def doubled(self, inputs: Tensor) -> Doubled:
        """As in the base, with every second pixel of the image for ViT and LiFT."""
        half = inputs[..., ::2, ::2]
        wanted, small = self.backbone.features(inputs), self.backbone.features(half)
        return Doubled(self.backbone.lift(half, small), wanted, small)

    def _distance(self, found: Tensor, wanted: Tensor) -> Tensor:
        if self.loss_kind == 'cosine':
            return cosine_distance(found, wanted)
        return (found - wanted).abs() if self.loss_kind == 'l1' else (found - wanted) ** 2
