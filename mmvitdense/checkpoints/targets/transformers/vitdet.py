"""`VitDetModel` of transformers: windows, decomposed relative positions, convolutional propagation, no tokens."""

from __future__ import annotations

import math
from typing import Any

import torch

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import (
    grid_of,
    only_square,
    only_whole_ratio,
    ratio,
    side_of,
    tables_of_other_size,
    with_class_row,
    with_patch_bias,
)

from .names import ACTIVATIONS, OPENS, PLAIN_RULE, common

_RULES = (
    (r'^pos_embed$', 'embeddings.position_embeddings'),
    (r'^patch_embed\.proj\.', 'embeddings.projection.'),
    (r'^blocks\.(\d+)\.attn\.', r'encoder.layer.\1.attention.'),
    (r'^blocks\.', 'encoder.layer.'),
)


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of config.json."""
    windows = options['window_size']
    return {
        **common('VitDetModel', 'vitdet', options),
        'image_size': side_of(options, 'img_size'),
        'pretrain_image_size': side_of(options),
        'mlp_ratio': ratio(options),
        'qkv_bias': options['qkv_bias'] is not False,
        'use_absolute_position_embeddings': True,  # the model cannot be built without
        'use_relative_position_embeddings': options['rel_pos'] == 'decomposed',
        'window_size': max(windows),
        'window_block_indices': [index for index, side in enumerate(windows) if side],
        'residual_block_indices': list(options['conv_blocks']),
    }


def write(weights: Weights, options: Options) -> Weights:
    """Rename; the table, of zeros where there is none, has a row for the class token, which the model does not have."""
    weights = with_patch_bias(weights)
    if options['pos_embed'] is None:
        kernel = weights['patch_embed.proj.weight']
        weights['pos_embed'] = torch.zeros(1, math.prod(grid_of(options)), len(kernel), dtype=kernel.dtype)
    return rename(with_class_row(weights, options), _RULES)


def refuses(weights: Weights, options: Options) -> str | None:
    """Windows of two sizes, tables of another size than the image, an oblong table."""
    if len(set(options['window_size']) - {0}) > 1:
        return 'has windows of one size'
    return (
        tables_of_other_size(weights, options)
        or only_whole_ratio(options)
        or only_square({**options, 'pos_embed': 'absolute'})
    )


TARGET = Target(
    name='VitDetModel',
    library='transformers',
    about=__doc__,
    expresses={
        'pos_embed': (None, 'absolute'),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (False,),
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'act': tuple(ACTIVATIONS),
        'rel_pos': (None, 'decomposed'),
        'window_size': ANY,
        'conv_blocks': ANY,
        'final_norm': (None,),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('transformers ViTDet',),
    pos_resize=PLAIN_RULE,
    refuses=refuses,
    opens=OPENS,
)
