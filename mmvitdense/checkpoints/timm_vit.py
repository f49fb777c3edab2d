"""Plain ViTs in timm's layout: MAE, DeiT, DeiT III, AugReg, DINO, iBOT, MoCo v3 and timm's own.

``PlainViT`` uses the same names, so that only prefixes and spellings of LayerScale change. The distillation token of
DeiT becomes a register with the position it has, which computes the same. MoCo v3 keeps a momentum encoder beside the
base encoder; the base encoder is taken.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from . import tips
from .dinov2 import is_dinov2
from .implied_options import implied_options
from .timm_names import block_names, body_of, convert_body

NAME = 'timm ViT'
_BLOCK = re.compile(r'(norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.\w+|gamma_[12]|ls[12]\.gamma')
# Signs of families that have the same blocks and something else before them: registers of official code, other
# positions, a convolutional stem.
_FOREIGN = re.compile(
    r'^(register_token|storage_tokens|rope|rel_pos_bias|shared_rel_pos|pos_embed_|patch_embed\.(?!proj\.))|(^|\.)periods$'
)
_TIMM_RESIZE = {'by': 'size', 'antialias': True}


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether this is a ViT of timm's layout with a table of positions and nothing that this format does not know."""
    body = body_of(state_dict)
    if body is None or 'pos_embed' not in body or body['pos_embed'].ndim != 3:
        return False
    if is_dinov2(body) or tips.matches(state_dict) or any(_FOREIGN.search(name) for name in body):
        return False
    if 'blocks.0.mlp.fc1.weight' in body and _is_packed(body):
        return False
    return all(_BLOCK.fullmatch(name) for name in block_names(body))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``; heads and decoders keep their names."""
    return convert_body(body_of(state_dict))


def options(state_dict: dict[str, Tensor], **given: Any) -> dict[str, Any]:
    """Options of ``PlainViT``; ``given`` ones win.

    Files of DeiT, AugReg, DINO and MAE cannot be told apart for sure. Positions are resized as MAE and DeiT do, unless
    the file shows that it is of iBOT or of timm's CLIP and SigLIP. For DINO give ``pos_resize=dict(by='scale')``, for
    OpenAI's weights in timm's CLIP ``act='quick_gelu'``.
    """
    body, weights = body_of(state_dict), convert(state_dict)
    known: dict[str, Any] = {}
    if 'norm_pre.weight' in weights:
        known.update(norm_eps=1e-5, pos_resize=_TIMM_RESIZE)
    elif 'attn_pool.latent' in body or 'reg_token' in body:
        known.update(pos_resize=_TIMM_RESIZE)
    elif 'masked_embed' in body:
        known.update(pos_resize={'by': 'scale'})
    elif weights['patch_embed.proj.weight'].shape[0] == 384 and _has_moco_positions(weights):
        known.update(num_heads=12)
    return implied_options(weights, given, **known)


def _is_packed(body: dict[str, Tensor]) -> bool:
    first, second = (body[f'blocks.0.mlp.fc{i}.weight'] for i in (1, 2))
    return first.ndim == 2 and first.shape[0] == 2 * second.shape[1]


def _has_moco_positions(weights: dict[str, Tensor]) -> bool:
    """Whether the positions are the fixed sines and cosines of MoCo v3 (``vits.py``), which has rows first.

    MAE has columns first.
    """
    table = weights.get('pos_embed')
    if table is None or math.isqrt(table.shape[1] - 1) ** 2 != table.shape[1] - 1:
        return False
    side, quarter = math.isqrt(table.shape[1] - 1), table.shape[2] // 4
    omega = 1e4 ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * omega
    outer, inner = angles[:, None].expand(-1, side, -1), angles[None].expand(side, -1, -1)
    expected = torch.cat([outer.sin(), outer.cos(), inner.sin(), inner.cos()], dim=-1).flatten(0, 1)
    return not table[0, 0].any() and bool((table[0, 1:].double() - expected).abs().max() < 1e-3)
