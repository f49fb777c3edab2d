"""The image encoder of SAM, in its own layout and in timm's."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from .contract import Format
from .parts.timm_names import block_names, body_of, convert_body
from .parts.window_plan import guessed_windows

_BLOCK = re.compile(
    r'(norm[12]|attn\.(qkv|proj)|mlp\.(?P<mlp>lin|fc)[12])\.\w+|ls[12]\.gamma|attn\.rel_pos_[hw]',
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the blocks have decomposed relative positions, and SAM's neck follows or its table is a map."""
    body = body_of(state_dict)
    if body is None or not ('neck.0.weight' in body or ('pos_embed' in body and body['pos_embed'].ndim == 4)):
        return False
    found = [_BLOCK.fullmatch(name) for name in block_names(body)]
    if not all(found) or 'attn.rel_pos_h' not in block_names(body):
        return False
    return len({match['mlp'] for match in found} - {None}) == 1


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the convolutions after the ViT ('neck.') keep their names."""
    weights = convert_body(body_of(state_dict))
    if 'pos_embed' in weights and weights['pos_embed'].ndim == 4:
        weights['pos_embed'] = weights['pos_embed'].flatten(1, 2)
    return weights


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The windows, unless the lengths of tables of relative positions show them."""
    return guessed_windows(convert(state_dict))


FORMAT = Format(
    name='SAM',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('sam',),
    cannot_tell=cannot_tell,
)
