"""Self-supervised training of what makes maps of a ViT denser, on images alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmvitdense.registry import MODELS


class Doubled(NamedTuple):
    """A doubled map of the image at half its size, the map that it stands for, and that it was made of."""

    found: Tensor
    wanted: Tensor
    small: Tensor


class UpsamplerPretraining(BaseModel):
    """Base of the trainings of a `MapUpsampler` on maps of one image at several sizes.

    Its checkpoints have the names of a detector or segmentor with the same backbone.

    Args:
        backbone: A `LiftedViT` or its config, with a ViT that is frozen and an upsampler that is not.
        data_preprocessor: As in mmengine; images are normalised as for the ViT.
        init_cfg: As in mmengine.

    Raises:
        ValueError: A part of the ViT would be trained, or the upsampler would not.
    """

    def __init__(
        self,
        backbone: dict[str, Any] | nn.Module,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = backbone if isinstance(backbone, nn.Module) else MODELS.build(backbone)
        name = type(self).__name__
        if any(parameter.requires_grad for parameter in self.backbone.vit.parameters()):
            raise ValueError(f"{name} needs a ViT that is frozen: give vit=dict(frozen_stages='all')")
        if not any(parameter.requires_grad for parameter in self.backbone.lift.parameters()):
            what = type(self.backbone.lift).__name__
            raise ValueError(f'{name} trains {what}: give the backbone frozen_lift=False')

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
        """Losses of a batch, B x 3 x H x W."""
        raise NotImplementedError

    def doubled(self, inputs: Tensor) -> Doubled:
        """Maps of a batch whose sides are multiples of two patches."""
        raise NotImplementedError

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: Sequence[BaseDataElement] | None = None) -> list[BaseDataElement]:
        """How far the doubled map of the image at half its size is from that of the image, for `LiftMetric`.

        Args:
            inputs: B x 3 x H x W, whole multiples of two patches.
            data_samples: The samples, which are extended.

        Returns:
            A sample for each image with `lift` and `bilinear`, the mean of one less the cosine of the features,
            for the upsampler and for bilinear interpolation.
        """
        self.check_size(inputs, 2)
        found, wanted, small = self.doubled(inputs)
        stretched = F.interpolate(small, scale_factor=2, mode='bilinear', align_corners=False)
        distances = [cosine_distance(maps, wanted) for maps in (found, stretched)]
        samples = list(data_samples or (BaseDataElement() for _ in inputs))
        for sample, *values in zip(samples, *(each.flatten(1).mean(1).tolist() for each in distances)):
            sample.set_data(dict(zip(('lift', 'bilinear'), values)))
        return samples

    def check_size(self, inputs: Tensor, patches: int) -> None:
        """Raise a `ValueError` where the sides of images are no multiples of so many patches."""
        multiple = patches * self.backbone.patch_size
        if any(side % multiple for side in inputs.shape[-2:]):
            raise ValueError(
                f'images have {tuple(inputs.shape[-2:])} pixels: their sides must be multiples of {multiple}, '
                f"{patches} patches of the ViT; write such a size into dict(type='Resize', scale=..., keep_ratio=False)"
            )


def cosine_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """One less the cosine of the features of each place, B x h x w."""
    return 1 - F.cosine_similarity(found.float(), wanted.float(), dim=1)
