"""Telling the format of a checkpoint from its names."""

from __future__ import annotations

import re
from inspect import signature
from types import ModuleType

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

from . import (
    beit,
    benchmarking_vitdet,
    clip,
    detectron2_vitdet,
    dinov2,
    dinov3,
    eva02,
    flax_vit,
    mimdet,
    mmpretrain,
    mmpretrain_eva02,
    plain_vit,
    sam,
    simmim,
    timm_vit,
    tips,
    vit_adapter,
    vit_comer,
)
from .refused import why_refused
from .transformers import beit as transformers_beit
from .transformers import clip as transformers_clip
from .transformers import dinov2 as transformers_dinov2
from .transformers import dinov3 as transformers_dinov3
from .transformers import sam as transformers_sam
from .transformers import tips as transformers_tips
from .transformers import vit as transformers_vit
from .transformers import vitdet as transformers_vitdet

FORMATS: tuple[ModuleType, ...] = (
    plain_vit,
    detectron2_vitdet,
    mimdet,
    benchmarking_vitdet,
    mmpretrain,
    mmpretrain_eva02,
    timm_vit,
    beit,
    simmim,
    dinov2,
    tips,
    dinov3,
    sam,
    eva02,
    flax_vit,
    clip,
    transformers_beit,
    transformers_clip,
    transformers_dinov2,
    transformers_dinov3,
    transformers_sam,
    transformers_tips,
    transformers_vit,
    transformers_vitdet,
    vit_comer,
    vit_adapter,
)

_FIRST_BLOCK = re.compile(r'^(.*\.)?(?:blocks|layers?|resblocks)\.0\.(.+)$')


def detect(state_dict: dict[str, Tensor]) -> ModuleType:
    """Return the format of a checkpoint, a module of this package with ``NAME``, ``matches`` and ``convert``.

    Raises:
        CheckpointError: No format matches or several do, or one does and the model is another; the message shows what
            was seen.
    """
    if reason := why_refused(state_dict):
        raise CheckpointError(reason)
    found = [form for form in FORMATS if form.matches(state_dict)]
    if len(found) == 1:
        return found[0]
    names = ', '.join(list(state_dict)[:4])
    if found:
        raise CheckpointError(
            f'{len(found)} ViT formats, {" and ".join(form.NAME for form in found)}, have these {len(state_dict)} '
            f'names: {names}, ...: save the weights of one model alone'
        )
    raise CheckpointError(
        f'no known ViT format has these {len(state_dict)} names: {names}, ...{_blocks_seen(state_dict)}; known are '
        f'{", ".join(form.NAME for form in FORMATS)}'
    )


def _blocks_seen(state_dict: dict[str, Tensor]) -> str:
    """The names of the first block, which tell a format from its relatives."""
    seen = sorted({match[2] for name in state_dict if (match := _FIRST_BLOCK.match(name))})
    return f' with {", ".join(seen)} in the first block' if seen else ''


def convert(state_dict: dict[str, Tensor], num_heads: int | None = None) -> dict[str, Tensor]:
    """Detect the format and return the names of ``PlainViT``, under 'backbone.' if the file holds more than a ViT.

    ``num_heads`` is needed by the formats that are converted by it, see ``convert_as``.
    """
    return convert_as(detect(state_dict), state_dict, num_heads)


def convert_as(form: ModuleType, state_dict: dict[str, Tensor], num_heads: int | None = None) -> dict[str, Tensor]:
    """Convert by a format. Where channels of a head change places, ``num_heads`` says how many there are of it.

    Such a format knows the heads of published widths and of files that tell them itself.
    """
    if num_heads is not None and 'num_heads' in signature(form.convert).parameters:
        return form.convert(state_dict, num_heads=num_heads)
    return form.convert(state_dict)
