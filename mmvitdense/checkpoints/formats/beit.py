"""BEiT and BEiT v2: tables of relative positions, shared while pre-training and of each block once fine-tuned."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from .contract import Format
from .parts.families import has_size_of_base, has_size_of_mae_lite
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
    """Rename to the layout of `PlainViT`; mask token, heads and class-token layers of BEiT v2 keep their names."""
    return convert_body(body_of(state_dict))


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """CCViT, where class-token layers predict pixels and not tokens; MAE-Lite, fine-tuned with such tables; else any of
    those with these names, of which SimMIM is without its decoder, as it is once fine-tuned."""
    body = body_of(state_dict)
    head, patch = body.get('cls_pt_lm_head.weight'), body['patch_embed.proj.weight']
    if has_size_of_mae_lite(body):
        return ('mae-lite',)
    if head is not None and len(head) == patch[0].numel():
        return ('ccvit',)
    return ('beit', 'beitv2', 'ccvit', 'simmim') if has_size_of_base(body) else ('beit', 'beitv2', 'ccvit')


def implied(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """The biases, which MAE-Lite has otherwise before it is fine-tuned."""
    return {'qkv_bias': 'qv'} if families(state_dict) == ('mae-lite',) else {}


FORMAT = Format(
    name='BEiT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
    implied=implied,
)
