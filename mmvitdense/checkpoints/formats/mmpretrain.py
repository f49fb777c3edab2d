"""ViTs of mmpretrain (ViT, DeiT, MAE, CLIP, DINOv2, BEiT, SAM), mmsegmentation (ViT, BEiT, MAE) and OpenMixup (A2MIM).

The last norm of mmpretrain is called `ln1`; `ln2` beside it norms the mean of the patches, and is taken where
there is no other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix
from mmvitdense.layers.positions.table_rows import square_side

from .contract import Format
from .parts.families import plain_families
from .parts.renaming import rename
from .parts.window_plan import guessed_windows, table_sides

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
    """Rename to the layout of `PlainViT`; 'channel_reduction.' of SAM keeps its name."""
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


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """What the parts of the ViT leave."""
    weights = convert(state_dict)
    if 'norm_pre.weight' in weights:
        return 'clip', 'openclip', 'datacomp'
    if any(name.endswith('relative_position_bias_table') for name in weights):
        return ('a2mim',) if 'pos_embed' in weights else ('beit', 'beitv2')
    if table_sides(weights):
        return ('sam',)
    if 'cls_token' not in weights:
        return ()
    if 'blocks.0.ls1.gamma' not in weights:
        return plain_families(weights)
    return ('dinov2',) if square_side(weights['pos_embed'].shape[1]) is None else ('deit3',)


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The windows of SAM, unless the lengths of tables of relative positions show them."""
    return guessed_windows(convert(state_dict)) if options.get('rel_pos') == 'decomposed' else {}


FORMAT = Format(
    name='mmpretrain or mmsegmentation ViT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
    cannot_tell=cannot_tell,
)
