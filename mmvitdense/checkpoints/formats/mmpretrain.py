"""ViTs of mmpretrain (ViT, DeiT, MAE, CLIP, DINOv2, BEiT, SAM) and of mmsegmentation (ViT, BEiT, MAE).

The last norm of mmpretrain is called ``ln1``; ``ln2`` beside it norms the mean of the patches, and is taken where
there is no other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from .parts.implied_options import implied_options
from .parts.renaming import rename

NAME = 'mmpretrain or mmsegmentation ViT'
ANCHOR = 'layers.0.ln1.weight'
_RULES = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^pre_norm\.', 'norm_pre.'),
    (r'^ln1\.', 'norm.'),
    (r'^layers\.(\d+)\.', r'blocks.\1.'),
    (r'^(blocks\.\d+\.)ln([12])\.', r'\1norm\2.'),
    (r'^(blocks\.\d+\.)attn\.attn\.in_proj_(weight|bias)$', r'\1attn.qkv.\2'),
    (r'^(blocks\.\d+\.)attn\.attn\.out_proj\.', r'\1attn.proj.'),
    (r'^(blocks\.\d+\.)(attn|ffn)\.gamma([12])\.weight$', r'\1ls\3.gamma'),
    (r'^(blocks\.\d+\.)gamma_([12])$', r'\1ls\2.gamma'),
    (r'^(blocks\.\d+\.)ffn\.layers\.0\.0\.', r'\1mlp.fc1.'),
    (r'^(blocks\.\d+\.)ffn\.layers\.1\.', r'\1mlp.fc2.'),
    (r'^(blocks\.\d+\.)ffn\.(w12|w3)\.', r'\1mlp.\2.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks are called layers, their norms ln1, and the patch embedding a projection."""
    body = strip_prefix(state_dict, ANCHOR)
    return body is not None and 'patch_embed.projection.weight' in body


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``; 'channel_reduction.' of SAM keeps its name."""
    body = strip_prefix(state_dict, ANCHOR)
    rules = _RULES if 'ln1.weight' in body else (*_RULES, (r'^ln2\.', 'norm.'))
    weights = rename({name: x for name, x in body.items() if not name.endswith('relative_position_index')}, rules)
    if weights.get('pos_embed') is not None and weights['pos_embed'].ndim == 4:
        weights['pos_embed'] = weights['pos_embed'].flatten(1, 2)
    return join_query_and_value_bias(weights)


def join_query_and_value_bias(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make one bias of BEiT's 'q_bias' and 'v_bias', with zeros for the keys."""
    joined = {}
    for name, tensor in weights.items():
        if name.endswith('attn.q_bias'):
            value = weights[name.replace('q_bias', 'v_bias')]
            joined[name.replace('q_bias', 'qkv.bias')] = torch.cat([tensor, torch.zeros_like(tensor), value])
        elif not name.endswith('attn.v_bias'):
            joined[name] = tensor
    return joined


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of ``PlainViT``; ``known`` ones win. CLIP, which has a norm before the blocks, has QuickGELU."""
    weights = convert(state_dict)
    is_clip = 'norm_pre.weight' in weights
    return implied_options(
        weights,
        known,
        norm_eps=1e-5 if is_clip else None,
        act='quick_gelu' if is_clip else None,
        qkv_bias='qv' if any(name.endswith('attn.q_bias') for name in state_dict) else None,
    )


def guesses(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The activation of CLIP, and the resizing of positions, where there are some."""
    found = {}
    if options.get('pre_norm'):
        found['act'] = "that of OpenAI; LAION's CLIP has the exact 'gelu'"
    if options.get('pos_embed', 'absolute') and 'rel_pos' not in options:
        found['pos_resize'] = "that of mmpretrain; DINO and DINOv2 themselves have dict(by='scale')"
    return found
