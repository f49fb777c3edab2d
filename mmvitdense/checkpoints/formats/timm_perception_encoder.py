"""Perception Encoder (core, lang, spatial) in timm's layout (`vit_pe_*`), also inside of other models."""

from __future__ import annotations

import re

from torch import Tensor

from .contract import Format
from .parts import perception
from .parts.timm_names import block_names, body_of, convert_body

_BLOCK = re.compile(r'(norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.(weight|bias)|gamma_[12]|ls[12]\.gamma')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are a table of positions, a norm before plain blocks and the signs of Perception Encoder."""
    body = body_of(state_dict)
    if body is None or 'pos_embed' not in body or not perception.has_timm_signs(body):
        return False
    return all(_BLOCK.fullmatch(name) for name in block_names(body))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`."""
    return convert_body(body_of(state_dict))


FORMAT = Format(
    name='timm Perception Encoder',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: perception.families_of(convert(state_dict)),
    implied=lambda state_dict: perception.implied_of(convert(state_dict)),
    notes=lambda state_dict: perception.notes_of(convert(state_dict)),
)
