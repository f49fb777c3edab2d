"""Perception Encoder (core, lang, spatial) under its own names: the image tower alone, or both towers.

The pooling of the core models and the projection into the space of texts keep their names, as what is not of the ViT.
"""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from . import clip
from .contract import Format
from .parts import perception
from .parts.renaming import rename


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there is one tower under the names of CLIP with the signs of Perception Encoder."""
    body = strip_prefix(state_dict, clip.ANCHOR)
    return body is not None and {clip.BLOCK, 'positional_embedding'} <= body.keys() and perception.has_own_signs(body)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`."""
    weights = rename(strip_prefix(state_dict, clip.ANCHOR), clip.RULES)
    weights['pos_embed'] = weights['pos_embed'][None]
    if 'cls_token' in weights:
        weights['cls_token'] = weights['cls_token'].reshape(1, 1, -1)
    return weights


FORMAT = Format(
    name='Perception Encoder',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: perception.families_of(convert(state_dict)),
    implied=lambda state_dict: perception.implied_of(convert(state_dict)),
    notes=lambda state_dict: perception.notes_of(convert(state_dict)),
)
