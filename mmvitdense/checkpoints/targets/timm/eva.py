"""timm's `Eva`: rotary positions of DINOv3 and of EVA-02, no bias of the keys."""

from __future__ import annotations

import re
from typing import Any

import torch

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights, Where
from mmvitdense.checkpoints.targets.parts import (
    has_key_bias,
    split_gated,
    split_qkv,
    with_class_row,
    with_patch_bias,
    without_class_row,
)
from mmvitdense.layers import half_pairing

from .arguments import OPENS, SMOOTH, common
from .beit import separate_biases

_DINOV3, _EVA02 = 'dinov3', 'eva02'
_RULES = (
    (r'^register_tokens$', 'reg_token'),
    (r'\.ls([12])\.gamma$', r'.gamma_\1'),
    (r'\.attn\.inner_norm\.', '.attn.norm.'),
    (r'\.mlp\.w12\.', '.mlp.fc1.'),
    (r'\.mlp\.w3\.', '.mlp.fc2.'),
)
_PROJECTIONS = ('attn.q_proj', 'attn.k_proj', 'attn.v_proj')
_ALIGNED = 8


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of the constructor."""
    found = {
        **common(options),
        'qkv_bias': options['qkv_bias'] is not False,
        'qkv_fused': not options['ffn_norm'],
        'class_token': options['with_cls_token'],
        'global_pool': 'token' if options['with_cls_token'] else 'avg',
        'use_fc_norm': False,
        'use_post_transformer_norm': options['final_norm'] is not None,
        'use_pre_transformer_norm': options['pre_norm'],
        'num_reg_tokens': options['num_registers'],
        'use_abs_pos_emb': options['pos_embed'] == 'absolute',
        'no_embed_class': _leaves_class_row(options),
        'swiglu_mlp': options['ffn'] == 'swiglu',
        'scale_mlp': options['ffn_norm'],
        'scale_attn_inner': options['attn_inner_norm'],
        'use_rot_pos_emb': True,
        'dynamic_img_size': True,
        **_rope(options),
    }
    if _is_aligned(options):
        found['swiglu_align_to'] = _ALIGNED
    return found


def _rope(options: Options) -> dict[str, Any]:
    rope = options['rope']
    if rope['kind'] == _DINOV3:
        return {'rope_type': 'dinov3', 'rope_temperature': rope['base'], 'rope_rotate_half': True}
    grid = rope['pretrain_grid']
    return {'rope_temperature': rope['theta'], 'ref_feat_shape': (grid, grid)}


def _leaves_class_row(options: Options) -> bool:
    return bool(options['num_registers']) or not options['pos_embed_cls_slot']


def _is_aligned(options: Options) -> bool:
    """Whether the gated network is that of timm's DINOv3, whose width is rounded up; its halves have own names."""
    gated = options['ffn'] == 'swiglu' and not options['ffn_norm'] and options['pos_embed'] is None
    return gated and options['feedforward_channels'] % _ALIGNED == 0


def write(weights: Weights, options: Options) -> Weights:
    """Rename; rows of queries and keys in the order of timm's pairs of channels."""
    if not options['pre_norm']:
        weights = with_patch_bias(weights)
    if options['pos_embed'] == 'absolute':
        weights = (without_class_row if _leaves_class_row(options) else with_class_row)(weights, options)
    if options['rope']['kind'] == _EVA02:
        weights = _in_neighbouring_pairs(weights, options['embed_dims'] // options['num_heads'])
    if options['ffn_norm'] or _is_aligned(options):
        weights = split_gated(weights, 'fc1_g', 'fc1_x')
    split = split_qkv(weights, _PROJECTIONS, key_bias=False) if options['ffn_norm'] else separate_biases(weights)
    return rename(split, _RULES)


def _in_neighbouring_pairs(weights: Weights, channels: int) -> Weights:
    """The rows of queries and keys as they were before `half_pairing`."""
    order = half_pairing(channels).argsort()
    turned = dict(weights)
    for name in [name for name in weights if re.search(r'\.attn\.qkv\.(weight|bias)$', name)]:
        query, key, value = weights[name].chunk(3)
        parts = [part.unflatten(0, (-1, channels))[:, order].flatten(0, 1) for part in (query, key)]
        turned[name] = torch.cat([*parts, value])
    return turned


def refuses(weights: Weights, options: Options) -> str | None:
    """Other rotary positions, a bias of the keys, what a gated network alone has."""
    rope = options['rope']
    if rope.get('normalize', 'separate') != 'separate':
        return f"has rotary positions of normalize='separate' alone, and these have {rope['normalize']!r}"
    if has_key_bias(weights):
        return 'has no bias of the keys'
    if options['ffn_norm'] and options['ffn'] != 'swiglu':
        return 'has a norm in gated networks alone (ffn_norm)'
    if options['pre_norm'] and options['patch_bias']:
        return 'has no bias of the patch embedding beside a norm before the blocks (pre_norm)'
    return None


def notes(options: Options) -> list[str]:
    """The rounding of the periods."""
    if options['rope'].get('periods_dtype') == 'bfloat16':
        return ['timm computes the periods of rotary positions in float32, these weights come with bfloat16 (1e-5 off)']
    return []


TARGET = Target(
    name='Eva',
    library='timm',
    about=__doc__,
    expresses={
        'pos_embed': (None, 'absolute'),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': ANY,
        'num_registers': ANY,
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'ffn': ('mlp', 'swiglu'),
        'ffn_norm': ANY,
        'attn_inner_norm': ANY,
        'rope': Where(lambda rope: rope is not None and rope['kind'] in (_DINOV3, _EVA02)),
        'layer_scale_init': ANY,
        'pre_norm': ANY,
        'final_norm': ANY,
        'norm_eps': ANY,
    },
    entry='eva02_base_patch14_224',
    arguments=arguments,
    write=write,
    read_by=('DINOv3', 'EVA-02'),
    pos_resize=SMOOTH,
    refuses=refuses,
    notes=notes,
    opens=OPENS,
)
