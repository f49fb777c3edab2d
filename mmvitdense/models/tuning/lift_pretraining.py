"""Self-supervised training of LiFT on images alone (arXiv 2403.14625, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmvitdense.registry import MODELS

_LOSSES = ('cosine', 'l1', 'l2')


@MODELS.register_module()
class LiFTPretraining(BaseModel):
    """Train LiFT to make the map of an image out of the image and the map of it at half the size.

    As ``train_lift.py`` of saksham-s/lift does: the ViT sees an image, every second and every fourth of its pixels,
    without smoothing; LiFT doubles the maps of the two smaller ones, and is compared with that of the next larger one.

    Its checkpoints have the names of a detector or segmentor with the same backbone.

    Args:
        backbone: A ``LiftedViT`` or its config, with a ViT that is frozen and a LiFT that is not.
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
        super().__init__(data_preprocessor, init_cfg)
        if loss not in _LOSSES:
            raise ValueError(f'loss must be one of {_LOSSES}, got {loss!r}')
        self.backbone = backbone if isinstance(backbone, nn.Module) else MODELS.build(backbone)
        self.loss_kind = loss
        if any(parameter.requires_grad for parameter in self.backbone.vit.parameters()):
            raise ValueError("LiFTPretraining needs a ViT that is frozen: give vit=dict(frozen_stages='all')")
        if not any(parameter.requires_grad for parameter in self.backbone.lift.parameters()):
            raise ValueError('LiFTPretraining trains LiFT: give the backbone frozen_lift=False')

    def forward(
        self, inputs: Tensor, data_samples: Sequence[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[BaseDataElement] | tuple[Tensor, ...]:
        """As mmengine calls it: 'loss' for losses, 'predict' for distances, 'tensor' for the maps of the backbone."""
        if mode == 'loss':
            return self.loss(inputs)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.backbone(inputs)
        raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}")

    def loss(self, inputs: Tensor) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs: B x 3 x H x W, whole multiples of four patches.

        Returns:
            'loss_half' and 'loss_quarter', of the image at half and at a quarter of its size.

        Raises:
            ValueError: The sides are no such multiples.
        """
        self._check_size(inputs, 4)
        images = [inputs, inputs[..., ::2, ::2], inputs[..., ::4, ::4]]
        with torch.no_grad():
            maps = [self.backbone.features(image) for image in images]
        lifted = [self.backbone.lift(image, small) for image, small in zip(images[1:], maps[1:])]
        return {
            name: self._distance(found, wanted).mean()
            for name, found, wanted in zip(('loss_half', 'loss_quarter'), lifted, maps)
        }

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: Sequence[BaseDataElement] | None = None) -> list[BaseDataElement]:
        """How far the doubled map of the image at half its size is from that of the image, for ``LiftMetric``.

        Args:
            inputs: B x 3 x H x W, whole multiples of two patches.
            data_samples: The samples, which are extended.

        Returns:
            A sample for each image with ``lift`` and ``bilinear``, the mean of one less the cosine of the features,
            for LiFT and for bilinear interpolation.
        """
        self._check_size(inputs, 2)
        half = inputs[..., ::2, ::2]
        wanted, small = self.backbone.features(inputs), self.backbone.features(half)
        stretched = F.interpolate(small, scale_factor=2, mode='bilinear', align_corners=False)
        distances = [_cosine_distance(found, wanted) for found in (self.backbone.lift(half, small), stretched)]
        samples = list(data_samples or (BaseDataElement() for _ in inputs))
        for sample, *values in zip(samples, *(each.flatten(1).mean(1).tolist() for each in distances)):
            sample.set_data(dict(zip(('lift', 'bilinear'), values)))
        return samples

    def _distance(self, found: Tensor, wanted: Tensor) -> Tensor:
        if self.loss_kind == 'cosine':
            return _cosine_distance(found, wanted)
        return (found - wanted).abs() if self.loss_kind == 'l1' else (found - wanted) ** 2

    def _check_size(self, inputs: Tensor, patches: int) -> None:
        multiple = patches * self.backbone.patch_size
        if any(side % multiple for side in inputs.shape[-2:]):
            raise ValueError(
                f'images have {tuple(inputs.shape[-2:])} pixels: their sides must be multiples of {multiple}, '
                f"{patches} patches of the ViT; write such a size into dict(type='Resize', scale=..., keep_ratio=False)"
            )


def _cosine_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """One less the cosine of the features of each place, B x h x w."""
    return 1 - F.cosine_similarity(found.float(), wanted.float(), dim=1)
