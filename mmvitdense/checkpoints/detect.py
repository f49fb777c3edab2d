"""Telling the format of a checkpoint from its names."""

from __future__ import annotations

from types import ModuleType

from torch import Tensor

from . import (
    clip,
    detectron2_vitdet,
    mmpretrain,
    plain_vit,
    timm_vit,
    transformers_beit,
    transformers_clip,
    transformers_dinov2,
    transformers_dinov3,
    transformers_sam,
    transformers_vit,
    transformers_vitdet,
)
from .reading import CheckpointError

# A more particular format stands before the general one that would match it too.
FORMATS: tuple[ModuleType, ...] = (
    plain_vit,
    detectron2_vitdet,
    timm_vit,
    clip,
    mmpretrain,
    transformers_beit,
    transformers_clip,
    transformers_dinov2,
    transformers_dinov3,
    transformers_sam,
    transformers_vit,
    transformers_vitdet,
)


def detect(state_dict: dict[str, Tensor]) -> ModuleType:
    """Return the format of a checkpoint, a module of this package with ``NAME``, ``matches`` and ``convert``.

    Raises:
        CheckpointError: No format matches; the message shows the first names.
    """
    for form in FORMATS:
        if form.matches(state_dict):
            return form
    names = ', '.join(list(state_dict)[:4])
    raise CheckpointError(
        f'no known ViT format has these {len(state_dict)} names: {names}, ...; known are '
        f'{", ".join(form.NAME for form in FORMATS)}'
    )


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Detect the format and return the names of ``PlainViT``, under 'backbone.' if the file holds more than a ViT."""
    return detect(state_dict).convert(state_dict)
