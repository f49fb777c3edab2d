"""Weights of a ``PlainViT`` under the names of timm, where timm has the same model.

That is ``VisionTransformer`` (with registers, a norm before the blocks, LayerScale, packed SwiGLU), ``Beit`` and
``VisionTransformerSAM``.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from mmvitdense.layers.positions.table_rows import square_side

from .files.reading import CheckpointError

_BLOCK_KEYS = re.compile(
    r'^blocks\.\d+\.((norm[12]|attn\.(qkv|proj)|mlp\.(fc[12]|w12|w3))\.\w+|ls[12]\.gamma'
    r'|attn\.(rel_pos_[hw]|relative_position_bias_table))$'
)
_GATED = ((r'\.mlp\.w12\.', '.mlp.fc1.'), (r'\.mlp\.w3\.', '.mlp.fc2.'))


def to_timm(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights of a ``PlainViT`` to timm's layout; names that are not those of a ViT stay.

    Args:
        weights: Names of ``PlainViT``, as a format's ``convert`` returns them.

    Raises:
        CheckpointError: timm has no such model, or needs more than the weights to compute the same.
    """
    _check(weights)
    has_biases = any(name.endswith('relative_position_bias_table') for name in weights)
    has_tables = any(name.endswith('rel_pos_h') for name in weights)
    renamed = _without_cls_row_beside_registers(weights)
    for name, tensor in list(renamed.items()):
        new = name
        for pattern, replacement in _GATED:
            new = re.sub(pattern, replacement, new)
        if name == 'register_tokens':
            new = 'reg_token'
        elif has_biases and name.endswith('attn.qkv.bias'):
            query, _, value = tensor.chunk(3)
            renamed[name.replace('qkv.bias', 'q_bias')] = query
            renamed[name.replace('qkv.bias', 'v_bias')] = value
            del renamed[name]
            continue
        elif has_biases:
            new = re.sub(r'\.ls([12])\.gamma$', r'.gamma_\1', new)
        if name == 'pos_embed' and has_tables:
            side = square_side(tensor.shape[1])
            tensor = tensor.unflatten(1, (side, side))
        if new != name:
            del renamed[name]
        renamed[new] = tensor
    return renamed


def _without_cls_row_beside_registers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm has no position of the class token beside registers: it is added to the token, which computes the same."""
    weights = dict(weights)
    table = weights.get('pos_embed')
    if 'register_tokens' in weights and table is not None and square_side(table.shape[1]) is None:
        weights['cls_token'] = weights['cls_token'] + table[:, :1]
        weights['pos_embed'] = table[:, 1:]
    return weights


def _check(weights: dict[str, Tensor]) -> None:
    unknown = [name for name in weights if name.startswith('blocks.') and not _BLOCK_KEYS.match(name)]
    biases = [name for name in weights if name.endswith('relative_position_bias_table')]
    gated = 'blocks.0.mlp.w12.weight' in weights
    reason = None
    if any(name.startswith('interactions.') for name in weights):
        reason = 'it has neither ViT-CoMer nor ViT-Adapter'
    elif unknown:
        reason = f'it has no {unknown[0]} in its ViT'
    elif 'pos_embed' not in weights and not biases and 'blocks.0.attn.rel_pos_h' not in weights:
        reason = 'there are no positions, so that they are rotary, which timm has under other names'
    elif gated and 'blocks.0.ls1.gamma' not in weights:
        reason = 'EVA-02 rotates channels in another order'
    elif biases and any(_key_bias(tensor).any() for name, tensor in weights.items() if name.endswith('qkv.bias')):
        reason = 'its BEiT has no bias of the keys'
    elif 'blocks.0.attn.rel_pos_h' in weights and 'cls_token' in weights:
        reason = 'its SAM has no class token'
    elif (
        weights.get('pos_embed') is not None
        and 'blocks.0.attn.rel_pos_h' in weights
        and square_side(weights['pos_embed'].shape[1]) is None
    ):
        reason = 'its SAM has no position of a class token'
    if reason:
        raise CheckpointError(f'timm has no layout for these weights: {reason}. Write the layout of mmvitdense')


def _key_bias(bias: Tensor) -> Tensor:
    return torch.chunk(bias, 3)[1]
