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

from mmvitdense.layers.position import sincos_position_table

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
_HEADS_OF_SIGLIP = {1536: 16}


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

    Files of DeiT, AugReg and DINO cannot be told apart, see ``guesses``: positions are resized as DeiT and MAE do,
    unless the file shows that it is of iBOT or of timm's CLIP, SigLIP and ViTs with registers.
    """
    body, weights = body_of(state_dict), convert(state_dict)
    known: dict[str, Any] = {}
    if 'norm_pre.weight' in weights:
        known.update(norm_eps=1e-5, pos_resize=_TIMM_RESIZE, act='gelu')
    elif 'attn_pool.latent' in body or 'reg_token' in body:
        known.update(pos_resize=_TIMM_RESIZE)
    elif 'masked_embed' in body:
        known.update(pos_resize={'by': 'scale'})
    elif weights['patch_embed.proj.weight'].shape[0] == 384 and _has_positions(weights, rows_first=True):
        known.update(num_heads=12)
    if 'cls_token' not in weights:
        known.update(act='gelu', num_heads=_HEADS_OF_SIGLIP.get(weights['patch_embed.proj.weight'].shape[0]))
    return implied_options(weights, given, **known)


def guesses(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The resizing of positions, the activation, and rotary positions of timm under the names of DeiT III."""
    body, weights = body_of(state_dict), convert(state_dict)
    found = {}
    if 'norm_pre.weight' in weights:
        found['act'] = "that of most models of OpenCLIP; those of OpenAI, MetaCLIP and DFN have 'quick_gelu'"
    elif 'cls_token' not in weights:
        found['act'] = "that of timm; some sizes of SigLIP have 'gelu_tanh'"
    if 'reg_token' in body:
        found['pos_resize'] = 'that of timm; RADIO itself resizes bilinearly to a square and crops'
    elif 'attn_pool.latent' in body:
        found['pos_resize'] = 'that of timm; transformers resizes SigLIP without antialias'
    elif not ('norm_pre.weight' in weights or 'attn_pool.latent' in body or _is_told_by_positions(body, weights)):
        found['pos_resize'] = (
            "that of DeiT and MAE; DINO has dict(by='scale'), AugReg and timm's own ViTs have dict(antialias=True)"
        )
    if 'gamma_1' in block_names(body):
        found['rope'] = 'DeiT III has none; vit_*_rope_ape of timm has the same names and rotary positions'
    return found


def _is_told_by_positions(body: dict[str, Tensor], weights: dict[str, Tensor]) -> bool:
    """Whether the file shows that it is of iBOT, MAE or MoCo v3, whose rule is known."""
    if {'masked_embed', 'decoder_embed.weight'} & body.keys():
        return True
    return any(_has_positions(weights, rows_first) for rows_first in (False, True))


def _is_packed(body: dict[str, Tensor]) -> bool:
    first, second = (body[f'blocks.0.mlp.fc{i}.weight'] for i in (1, 2))
    return first.ndim == 2 and first.shape[0] == 2 * second.shape[1]


def _has_positions(weights: dict[str, Tensor], rows_first: bool) -> bool:
    """Whether the positions are fixed sines and cosines: MoCo v3's (``vits.py``) have rows first, MAE's columns."""
    table = weights['pos_embed']
    side = math.isqrt(table.shape[1] - 1)
    if side**2 != table.shape[1] - 1 or table.is_meta or table.shape[2] % 4 or table[0, 0].any():
        return False
    expected = sincos_position_table((side, side), table.shape[2])
    if rows_first:
        expected = torch.cat(expected.chunk(2, dim=-1)[::-1], dim=-1)
    return bool((table[:, 1:].float() - expected).abs().max() < 1e-3)
