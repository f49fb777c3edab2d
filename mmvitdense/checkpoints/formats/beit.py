"""BEiT and BEiT v2: tables of relative positions, shared while pre-training and of each block once fine-tuned."""

from __future__ import annotations

import re

from torch import Tensor

from .contract import Format
from .parts.timm_names import block_names, body_of, convert_body

SHARED = 'rel_pos_bias.relative_position_bias_table'
_BLOCK = re.compile(
    r'(norm[12]|attn\.proj|mlp\.fc[12])\.\w+|gamma_[12]|attn\.(qkv\.weight|[qv]_bias|relative_position_(bias_table|index))'
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether queries and values have a bias, and there are tables of relative positions, without SimMIM's decoder."""
    body = body_of(state_dict)
    return body is not None and is_beit(body) and 'decoder.0.weight' not in state_dict


def is_beit(body: dict[str, Tensor]) -> bool:
    """Whether the ViT has BEiT's blocks and tables."""
    names = block_names(body)
    return (
        'attn.q_bias' in names
        and (SHARED in body or 'attn.relative_position_bias_table' in names)
        and all(_BLOCK.fullmatch(name) for name in names)
    )


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``; mask token, heads and class-token layers of BEiT v2 keep their names."""
    return convert_body(body_of(state_dict))


FORMAT = Format(
    name='BEiT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('beit', 'beitv2'),
)
