"""`VisionTransformer` of facebookresearch/mae (`models_vit.py`) and deit, whose files have the names of timm."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import side_of, with_class_row, with_patch_bias
from mmvitdense.checkpoints.targets.timm.arguments import common


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of the constructor."""
    found = {**common(options), 'img_size': side_of(options), 'qkv_bias': options['qkv_bias'] is not False}
    return {**found, 'global_pool': False}


def write(weights: Weights, options: Options) -> Weights:
    """Its names are those of this project; a table without a position of the class token gets one of zeros."""
    return with_class_row(with_patch_bias(weights), options)


TARGET = Target(
    name='VisionTransformer',
    first=True,
    library='official',
    about=__doc__,
    expresses={
        'pos_embed': ('absolute',),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (True,),
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'final_norm': ('all', 'last'),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('timm ViT',),
    container='model',
    opens='models_vit.VisionTransformer({arguments}).load_state_dict({loaded}["model"])',
    notes=lambda options: ['the official models of MAE and DeiT take images of the size of their table alone'],
)
