"""timm's `VisionTransformerSAM`: windows and decomposed relative positions, no class token."""

from __future__ import annotations

from typing import Any

import torch

from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import (
    grid_of,
    tables_of_other_size,
    with_patch_bias,
    without_class_row,
)
from mmvitdense.layers import resize_position_table

from .arguments import OPENS, SMOOTH, common

_NECK = 'neck.0.weight'


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of the constructor."""
    windows = set(options['window_size']) - {0}
    return {
        **common(options, 'img_size'),
        'qkv_bias': options['qkv_bias'] is not False,
        'use_abs_pos': options['pos_embed'] == 'absolute',
        'use_rel_pos': options['rel_pos'] == 'decomposed',
        'window_size': max(windows, default=0),
        'global_attn_indexes': tuple(i for i, side in enumerate(options['window_size']) if not side),
        'neck_chans': len(weights[_NECK]) if _NECK in weights else 0,
    }


def write(weights: Weights, options: Options) -> Weights:
    """Rename; the table of positions is a map of the size of the image, a last norm the neck."""
    weights = with_patch_bias(weights)
    if options['pos_embed'] == 'absolute':
        weights = without_class_row(weights, options)
        target = tuple(side // options['patch_size'] for side in options['img_size'])
        table = resize_position_table(weights['pos_embed'], grid_of(options), target, **options['pos_resize'])
        weights['pos_embed'] = table.unflatten(1, target)
    if _NECK not in weights:
        width = options['embed_dims']
        weights['neck.weight'] = weights.pop('norm.weight', torch.ones(width))
        weights['neck.bias'] = weights.pop('norm.bias', torch.zeros(width))
    return weights


def refuses(weights: Weights, options: Options) -> str | None:
    """Windows of two sizes, tables of another size than the image."""
    if options['rel_pos'] is None and not any(options['window_size']):
        return 'has windows or relative positions'
    if len(set(options['window_size']) - {0}) > 1:
        return 'has windows of one size'
    return tables_of_other_size(weights, options)


def notes(options: Options) -> list[str]:
    """What the neck is, and what became of the positions."""
    found = []
    if options['final_norm'] is None:
        found.append(
            'timm ends this model with a norm or a neck: the last map of forward_intermediates(image, norm=False) is '
            'the output'
        )
    if options['pos_embed'] == 'absolute' and options['img_size'] != options['pretrain_img_size']:
        found.append(
            f'the positions are those of {options["img_size"][0]} x {options["img_size"][1]} pixels, resized from '
            f'{options["pretrain_img_size"][0]} x {options["pretrain_img_size"][1]}'
        )
    return found


TARGET = Target(
    name='VisionTransformerSAM',
    library='timm',
    about=__doc__,
    expresses={
        'pos_embed': (None, 'absolute'),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (False,),
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'rel_pos': (None, 'decomposed'),
        'window_size': ANY,
        'layer_scale_init': ANY,
        'final_norm': (None, 'last', 'all'),
        'final_norm_eps': (None, 1e-6),
        'norm_eps': ANY,
    },
    entry='samvit_base_patch16',
    arguments=arguments,
    write=write,
    read_by=('SAM',),
    pos_resize=SMOOTH,
    refuses=refuses,
    notes=notes,
    carries=('neck.',),
    opens=OPENS,
)
