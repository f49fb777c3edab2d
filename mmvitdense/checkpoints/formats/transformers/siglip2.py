"""The image tower of SigLIP 2 NaFlex in `transformers` (`Siglip2VisionModel`), also in the model of both towers."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.parts.linear_patches import kernel_of_linear

from .clip import ANCHOR, BLOCK, convert_tower
from .settings import settings


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are the blocks of SigLIP, and the patch embedding is a linear layer."""
    body = strip_prefix(state_dict, ANCHOR)
    return body is not None and BLOCK in body and body[ANCHOR].ndim == 2


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the head of the tower keeps its name."""
    body = strip_prefix(state_dict, ANCHOR)
    return convert_tower({**body, ANCHOR: kernel_of_linear(body[ANCHOR])})


FORMAT = Format(
    name='transformers SigLIP 2 NaFlex',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('siglip2-naflex',),
    config=settings,
)
