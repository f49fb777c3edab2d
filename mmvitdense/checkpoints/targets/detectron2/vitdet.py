"""`ViT` of detectron2 (`modeling/backbone/vit.py`) with the pyramid and heads of ViTDet where there are such."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.targets.contract import ANY, Code, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import (
    only_square,
    ratio,
    side_of,
    tables_of_other_size,
    with_patch_bias,
)

from .heads import AROUND, around_names

_NET = 'backbone.net.'
_RULE = {'by': 'size', 'antialias': False, 'mode': 'bicubic'}


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of `detectron2.modeling.ViT`."""
    windows = options['window_size']
    return {
        'img_size': options['img_size'][0],
        'patch_size': options['patch_size'],
        'in_chans': options['in_channels'],
        'embed_dim': options['embed_dims'],
        'depth': options['num_layers'],
        'num_heads': options['num_heads'],
        'mlp_ratio': ratio(options),
        'qkv_bias': options['qkv_bias'] is not False,
        'norm_layer': Code(f'functools.partial(torch.nn.LayerNorm, eps={options["norm_eps"]!r})'),
        'use_abs_pos': options['pos_embed'] == 'absolute',
        'use_rel_pos': options['rel_pos'] == 'decomposed',
        'window_size': max(windows),
        'window_block_indexes': [index for index, side in enumerate(windows) if side],
        'residual_block_indexes': list(options['conv_blocks']),
        'pretrain_img_size': side_of(options),
        'pretrain_use_cls_token': options['pos_embed_cls_slot'],
    }


def write(weights: Weights, options: Options) -> Weights:
    """Rename; 'backbone.net.' for the ViT."""
    around = {name: tensor for name, tensor in weights.items() if name.startswith(AROUND)}
    vit = {name: tensor for name, tensor in weights.items() if name not in around}
    named = {f'{_NET}{name}': tensor for name, tensor in with_patch_bias(vit).items()}
    return {**named, **around_names(around, options['patch_size'])}


def refuses(weights: Weights, options: Options) -> str | None:
    """Windows of two sizes, tables of another size than the image, an oblong table."""
    if len(set(options['window_size']) - {0}) > 1:
        return 'has windows of one size'
    if options['img_size'][0] != options['img_size'][1]:
        return 'is built for square images'
    return tables_of_other_size(weights, options) or only_square(options)


TARGET = Target(
    name='ViT',
    library='detectron2',
    about=__doc__,
    expresses={
        'pos_embed': (None, 'absolute'),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (False,),
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'rel_pos': (None, 'decomposed'),
        'window_size': ANY,
        'conv_blocks': ANY,
        'final_norm': (None,),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('detectron2 ViTDet',),
    pos_resize=_RULE,
    refuses=refuses,
    carries=AROUND,
    container='model',
    opens='detectron2.modeling.ViT({arguments}), in a model that '
    'detectron2.checkpoint.DetectionCheckpointer(model).load({path}) fills',
)
