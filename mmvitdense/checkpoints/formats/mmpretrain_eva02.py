"""EVA-02 of mmpretrain (`ViTEVA02`), whose queries, keys and values are fused.

mmpretrain computes rotary positions that are not EVA-02's; the tables of frequencies in published files replace them.
Here they give the number of heads.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from . import eva02
from .contract import Format
from .parts.renaming import rename

ANCHOR = 'layers.0.norm1.weight'
_RULES = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^layers\.', 'blocks.'),
    (r'^ln1\.', 'norm.'),
    (r'^ln2\.', 'fc_norm.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks are called layers, and there are a gated network and a table of frequencies."""
    body = strip_prefix(state_dict, ANCHOR)
    signs = {'patch_embed.projection.weight', 'layers.0.mlp.w12.weight', 'rope.freqs_cos'}
    return body is not None and signs <= body.keys()


def convert(state_dict: dict[str, Tensor], num_heads: int | None = None) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`, with queries and keys in its order of channels."""
    return eva02.convert(_official(state_dict), num_heads)


def implied(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """The heads: a table of frequencies is a sign of the format."""
    return eva02.implied(_official(state_dict))


def _official(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    return rename(strip_prefix(state_dict, ANCHOR), _RULES)


FORMAT = Format(
    name='mmpretrain EVA-02',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('eva02',),
    implied=implied,
    tells_heads=lambda state_dict: True,
    ordered_by_heads=True,
)
