"""`DinoVisionTransformer` of facebookresearch/dinov2, with and without registers."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.targets.contract import ANY, Code, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import (
    MASK_TOKEN,
    only_square,
    ratio,
    side_of,
    with_class_row,
    with_mask_token,
    with_patch_bias,
)

_ALIGNED = 8
_EPSILON = 1e-6
_BLOCK = Code('functools.partial(dinov2.layers.NestedTensorBlock, attn_class=dinov2.layers.MemEffAttention)')


def _as_plain(options: Options) -> Options:
    """With the width that the model is given, that of a plain network, of which a gated one has two thirds."""
    hidden = options['feedforward_channels']
    return {**options, 'feedforward_channels': hidden * 3 // 2 if options['ffn'] == 'swiglu' else hidden}


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of the constructor; its rule of resizing positions is an option."""
    rule = options['pos_resize']
    return {
        'img_size': side_of(options),
        'patch_size': options['patch_size'],
        'in_chans': options['in_channels'],
        'embed_dim': options['embed_dims'],
        'depth': options['num_layers'],
        'num_heads': options['num_heads'],
        'mlp_ratio': ratio(_as_plain(options)),
        'qkv_bias': options['qkv_bias'] is not False,
        'block_fn': Code(
            'functools.partial(dinov2.layers.NestedTensorBlock, attn_class=dinov2.layers.MemEffAttention)'
        ),
        'ffn_layer': 'swiglufused' if options['ffn'] == 'swiglu' else 'mlp',
        'init_values': None if options['layer_scale_init'] is None else 1e-5,
        'block_chunks': 0,
        'num_register_tokens': options['num_registers'],
        'interpolate_antialias': rule['antialias'],
        'interpolate_offset': rule.get('offset', 0.0),
    }


def write(weights: Weights, options: Options) -> Weights:
    """Its names are those of this project; add what the model has and these weights may lack."""
    return with_mask_token(with_class_row(with_patch_bias(weights), options), 1, options['embed_dims'])


def refuses(weights: Weights, options: Options) -> str | None:
    """Another epsilon, another way of resizing, gated networks of another width, an oblong table."""
    if options['norm_eps'] != _EPSILON:
        return f'has norms of epsilon {_EPSILON} alone, and these have {options["norm_eps"]}'
    rule = options['pos_resize']
    if rule['by'] == 'tile' or rule['mode'] != 'bicubic' or rule.keys() & {'square', 'align_corners'}:
        return 'resizes positions bicubically alone'
    if options['ffn'] == 'swiglu' and options['feedforward_channels'] % _ALIGNED:
        return f'has gated networks of a multiple of {_ALIGNED} channels, not of {options["feedforward_channels"]}'
    return only_square(options)


TARGET = Target(
    name='DinoVisionTransformer',
    library='official',
    about=__doc__,
    expresses={
        'pos_embed': ('absolute',),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (True,),
        'num_registers': ANY,
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'ffn': ('mlp', 'swiglu'),
        'layer_scale_init': (1.0,),
        'final_norm': ('all', 'last'),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('DINOv2', 'TIPS'),
    pos_resize=ANY,
    refuses=refuses,
    carries=(MASK_TOKEN,),
    container='',
    opens='dinov2.models.vision_transformer.DinoVisionTransformer({arguments}).load_state_dict({loaded})',
)
