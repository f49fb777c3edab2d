"""timm's `Eva` as Perception Encoder: rotary positions by the index of patches, a norm before the blocks."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights, Where

from .arguments import OPENS, SMOOTH, common


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of the constructor; without a grid of reference indices are as they are, as in the official code."""
    return {
        **common(options),
        'qkv_bias': True,
        'class_token': options['with_cls_token'],
        'global_pool': 'token' if options['with_cls_token'] else 'avg',
        'use_fc_norm': False,
        'use_post_transformer_norm': options['final_norm'] is not None,
        'use_pre_transformer_norm': True,
        'attn_type': 'rope',
        'use_rot_pos_emb': True,
        'rope_temperature': options['rope']['theta'],
        'rope_grid_indexing': 'xy',
        'rope_grid_offset': float(options['rope']['offset']),
        'dynamic_img_size': True,
    }


def write(weights: Weights, options: Options) -> Weights:
    """Rename the gains."""
    return rename(weights, ((r'\.ls([12])\.gamma$', r'.gamma_\1'),))


TARGET = Target(
    name='Eva of Perception Encoder',
    library='timm',
    about=__doc__,
    expresses={
        'pos_embed': ('absolute',),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': ANY,
        'patch_bias': (False,),
        'rope': Where(lambda rope: rope is not None and rope['kind'] == 'axial' and rope['pretrain_grid'] is None),
        'layer_scale_init': ANY,
        'pre_norm': (True,),
        'final_norm': ANY,
        'norm_eps': ANY,
    },
    entry='eva_giant_patch14_224',  # timm's own Perception Encoders scale indices to one grid
    arguments=arguments,
    write=write,
    read_by=('timm Perception Encoder', 'timm ViT'),
    pos_resize=SMOOTH,
    refuses=lambda weights, options: (
        'has positions of the class token as it has one'
        if options['with_cls_token'] != options['pos_embed_cls_slot']
        else None
    ),
    opens=OPENS,
)
