"""`VisionTransformer` of mmpretrain: a class token or none, LayerScale, packed gated networks, a first norm."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import (
    only_square,
    side_of,
    with_class_row,
    with_patch_bias,
    without_class_row,
)

_RULES = (
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'^norm_pre\.', 'pre_norm.'),
    (r'^norm\.', 'ln1.'),
    (r'^blocks\.', 'layers.'),
    (r'\.norm([12])\.', r'.ln\1.'),
    (r'\.ls1\.gamma$', '.attn.gamma1.weight'),
    (r'\.ls2\.gamma$', '.ffn.gamma2.weight'),
    (r'\.mlp\.fc1\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.fc2\.', '.ffn.layers.1.'),
    (r'\.mlp\.(w12|w3)\.', r'.ffn.\1.'),
)
_RULE = {'by': 'size', 'antialias': False, 'mode': 'bicubic'}
_ACTIVATIONS = {'gelu': 'GELU', 'quick_gelu': 'mmpretrain.QuickGELU'}
_ALIGNED = 8


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of the constructor; a gated network has two thirds of the width that is given."""
    is_gated, hidden = options['ffn'] == 'swiglu', options['feedforward_channels']
    layers: dict[str, Any] = {'act_cfg': {'type': _ACTIVATIONS[options['act']]}}
    return {
        'arch': {
            'embed_dims': options['embed_dims'],
            'num_layers': options['num_layers'],
            'num_heads': options['num_heads'],
            'feedforward_channels': hidden * 3 // 2 if is_gated else hidden,
        },
        'img_size': side_of(options),
        'patch_size': options['patch_size'],
        'in_channels': options['in_channels'],
        'qkv_bias': options['qkv_bias'] is not False,
        'norm_cfg': {'type': 'LN', 'eps': options['norm_eps']},
        'final_norm': options['final_norm'] is not None,
        'with_cls_token': options['with_cls_token'],
        'out_type': 'featmap',
        'layer_scale_init_value': 0.0 if options['layer_scale_init'] is None else 1e-5,
        'pre_norm': options['pre_norm'],
        'layer_cfgs': {'ffn_type': 'swiglu_fused'} if is_gated else layers,
    }


def write(weights: Weights, options: Options) -> Weights:
    """Rename."""
    weights = (with_class_row if options['with_cls_token'] else without_class_row)(weights, options)
    return rename(weights if options['pre_norm'] else with_patch_bias(weights), _RULES)


def refuses(weights: Weights, options: Options) -> str | None:
    """A bias of the patches beside a first norm, gated networks of another width, an oblong table."""
    if options['pre_norm'] and options['patch_bias']:
        return 'has no bias of the patch embedding beside a norm before the blocks (pre_norm)'
    if options['ffn'] == 'swiglu' and options['feedforward_channels'] % _ALIGNED:
        return f'has gated networks of a multiple of {_ALIGNED} channels, not of {options["feedforward_channels"]}'
    return only_square(options)


TARGET = Target(
    name='VisionTransformer',
    first=True,
    library='mmpretrain',
    about=__doc__,
    expresses={
        'pos_embed': ('absolute',),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': ANY,
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'ffn': ('mlp', 'swiglu'),
        'act': tuple(_ACTIVATIONS),
        'layer_scale_init': ANY,
        'pre_norm': ANY,
        'final_norm': ANY,
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('mmpretrain or mmsegmentation ViT',),
    pos_resize=_RULE,
    refuses=refuses,
    opens='mmpretrain.models.VisionTransformer({arguments}).load_state_dict({loaded}["state_dict"])',
)
