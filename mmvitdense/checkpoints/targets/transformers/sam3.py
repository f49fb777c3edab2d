"""`Sam3ViTModel` of transformers: windows, rotary positions that span one, a norm before the blocks, none after."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights, Where
from mmvitdense.checkpoints.targets.parts import (
    only_square,
    patch_bias_in_positions,
    side_of,
    split_qkv,
    without_class_row,
)

from .names import ACTIVATIONS, OPENS, common

_PARTS = tuple(f'attention.{part}_proj' for part in 'qkv')
_RULES = (
    (r'^pos_embed$', 'embeddings.position_embeddings'),
    (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.projection.'),
    (r'^norm_pre\.', 'layer_norm.'),
    (r'^blocks\.', 'layers.'),
    (r'\.norm([12])\.', r'.layer_norm\1.'),
    (r'\.attn\.proj\.', '.attention.o_proj.'),
)


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of config.json."""
    windows = options['window_size']
    return {
        **common('Sam3ViTModel', 'sam3_vit_model', options),
        'intermediate_size': options['feedforward_channels'],
        'image_size': side_of(options, 'img_size'),
        'pretrain_image_size': side_of(options),
        'window_size': max(windows),
        'global_attn_indexes': [index for index, side in enumerate(windows) if not side],
        'rope_parameters': {'rope_type': 'axial', 'rope_theta': options['rope']['theta']},
    }


def write(weights: Weights, options: Options) -> Weights:
    """Rename; a bias of the patches stands in the positions."""
    weights = patch_bias_in_positions(without_class_row(weights, options))
    return rename(split_qkv(weights, _PARTS), _RULES)


def refuses(weights: Weights, options: Options) -> str | None:
    """Windows of two sizes or none, rotary positions that do not span one, an oblong image or table."""
    windows = set(options['window_size']) - {0}
    if len(windows) != 1:
        return 'has windows of one size'
    if options['rope']['pretrain_grid'] != max(windows) or options['rope']['offset']:
        return 'has rotary positions that span a window (pretrain_grid of rope), counted from 0'
    if options['img_size'][0] != options['img_size'][1]:
        return 'is built for square images'
    if options['pos_resize']['by'] != 'tile' and options['img_size'] != options['pretrain_img_size']:
        return f"repeats its positions (pos_resize by 'tile'), and these are resized by {options['pos_resize']['by']!r}"
    return only_square(options)


TARGET = Target(
    name='Sam3ViTModel',
    library='transformers',
    about=__doc__,
    expresses={
        'pos_embed': ('absolute',),
        'pos_embed_cls_slot': ANY,
        'patch_bias': ANY,
        'act': tuple(ACTIVATIONS),
        'rope': Where(lambda rope: rope is not None and rope['kind'] == 'axial'),
        'window_size': ANY,
        'pre_norm': (True,),
        'final_norm': (None,),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('transformers SAM 3',),
    refuses=refuses,
    notes=lambda options: [
        'transformers builds tables of rotary positions for images of {} x {} pixels alone'.format(*options['img_size'])
    ],
    opens=OPENS,
)
