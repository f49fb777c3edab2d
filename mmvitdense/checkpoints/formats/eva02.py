"""EVA-02 (tiny and small with fused, base and large with split projections; of CLIP) and EVA-01, official and timm's.

EVA-02 rotates neighbouring channels of queries and keys together. `PlainViT` rotates channels half a head apart, so
the rows of both projections are put into the order that makes this the same function.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from mmvitdense.layers import half_pairing

from .contract import Format
from .parts.implied_options import check_heads, implied_options
from .parts.timm_names import block_names, body_of, convert_body, has_gated_mlp

_BLOCK = re.compile(
    r'(norm[12]|attn\.(proj|inner_attn_ln|norm)|mlp\.(fc[12]|fc1_[gx]|w[123]|w12|ffn_ln|norm))\.\w+'
    r'|attn\.((qkv|[qkv]_proj)\.weight|[qv]_proj\.bias|[qv]_bias|rope\.freqs_(cos|sin))|gamma_[12]'
)
# The blocks of the enormous EVA-02 have the norms after the branches, which names do not show.
_POST_NORM_WIDTH = 1792


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether queries and values have a bias and keys none, and there is a table of absolute positions alone."""
    body = body_of(state_dict)
    if body is None or 'pos_embed' not in body or body['pos_embed'].shape[-1] == _POST_NORM_WIDTH:
        return False
    names = block_names(body)
    return bool(names & {'attn.q_bias', 'attn.q_proj.bias'}) and all(_BLOCK.fullmatch(name) for name in names)


def convert(state_dict: dict[str, Tensor], num_heads: int | None = None) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; mask token and heads keep their names.

    `num_heads` is needed for widths that nobody published, in files without a table of frequencies.
    """
    body = body_of(state_dict)
    weights = convert_body(body)
    if not has_gated_mlp(body):
        return weights
    embed_dims = weights['pos_embed'].shape[-1]
    num_heads = _num_heads(body, weights) if num_heads is None else num_heads
    check_heads(embed_dims, num_heads)
    order = half_pairing(embed_dims // num_heads)
    for name in [name for name in weights if re.search(r'\.attn\.qkv\.(weight|bias)$', name)]:
        query, key, value = weights[name].chunk(3)
        turned = [part.unflatten(0, (-1, len(order)))[:, order].flatten(0, 1) for part in (query, key)]
        weights[name] = torch.cat([*turned, value])
    return weights


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """EVA-02, or none for EVA-01, whose networks are plain and which has no rotary positions."""
    return ('eva02',) if has_gated_mlp(body_of(state_dict)) else ()


def implied(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """Keys without bias, and the heads where there is a table of frequencies, as wide as one."""
    known: dict[str, Any] = {} if families(state_dict) else {'qkv_bias': 'qv'}
    heads = _heads_of_table(body_of(state_dict))
    return known if heads is None else {**known, 'num_heads': heads}


def tells_heads(state_dict: dict[str, Tensor]) -> bool:
    """Whether there is a table of frequencies, as wide as a head."""
    return any(name.endswith('rope.freqs_cos') for name in state_dict)


def _num_heads(body: dict[str, Tensor], weights: dict[str, Tensor]) -> int:
    heads = _heads_of_table(body)
    return implied_options(weights, {}, ('eva02',))['num_heads'] if heads is None else heads


def _heads_of_table(body: dict[str, Tensor]) -> int | None:
    table = next((tensor for name, tensor in body.items() if name.endswith('rope.freqs_cos')), None)
    return None if table is None else body['pos_embed'].shape[-1] // table.shape[1]


FORMAT = Format(
    name='EVA-02',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
    implied=implied,
    tells_heads=tells_heads,
    ordered_by_heads=True,
)
