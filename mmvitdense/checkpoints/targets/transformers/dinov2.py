"""`Dinov2Model` of transformers: LayerScale, plain and gated networks, no registers."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import (
    MASK_TOKEN,
    only_square,
    only_whole_ratio,
    ratio,
    with_class_row,
    with_mask_token,
    with_patch_bias,
)

from .names import ACTIVATIONS, OPENS, PLAIN_RULE, SOME, common, encoder_names

_RULES = (
    (r'\.ls([12])\.gamma$', r'.layer_scale\1.lambda1'),
    (r'\.mlp\.w12\.', '.mlp.weights_in.'),
    (r'\.mlp\.w3\.', '.mlp.weights_out.'),
)
_ALIGNED = 8

EXPRESSES = {
    'pos_embed': ('absolute',),
    'pos_embed_cls_slot': ANY,
    'with_cls_token': (True,),
    'qkv_bias': ANY,
    'patch_bias': ANY,
    'ffn': ('mlp', 'swiglu'),
    'act': tuple(ACTIVATIONS),
    'layer_scale_init': (1.0,),
    'final_norm': ('all', 'last'),
    'norm_eps': ANY,
}
WITH_REGISTERS = {**EXPRESSES, 'num_registers': SOME}


def settings(model: str, model_type: str, options: Options) -> dict[str, Any]:
    """What config.json has of the models of this kind."""
    return {
        **common(model, model_type, options),
        'mlp_ratio': ratio(_as_plain(options)),
        'use_swiglu_ffn': options['ffn'] == 'swiglu',
        'qkv_bias': options['qkv_bias'] is not False,
    }


def _as_plain(options: Options) -> Options:
    """With the width that transformers is given, that of a plain network, of which a gated one has two thirds."""
    hidden = options['feedforward_channels']
    return {**options, 'feedforward_channels': hidden * 3 // 2 if options['ffn'] == 'swiglu' else hidden}


def write(weights: Weights, options: Options) -> Weights:
    """Rename."""
    weights = with_mask_token(with_class_row(with_patch_bias(weights), options), 1, options['embed_dims'])
    return encoder_names(weights, *_RULES)


def refuses(weights: Weights, options: Options) -> str | None:
    """A gated network of another width, an oblong table."""
    if options['ffn'] == 'swiglu' and options['feedforward_channels'] % _ALIGNED:
        return f'has gated networks of a multiple of {_ALIGNED} channels, not of {options["feedforward_channels"]}'
    return only_whole_ratio(_as_plain(options)) or only_square(options)


TARGET = Target(
    name='Dinov2Model',
    library='transformers',
    about=__doc__,
    expresses=EXPRESSES,
    arguments=lambda options, weights: settings('Dinov2Model', 'dinov2', options),
    write=write,
    read_by=('transformers DINOv2',),
    pos_resize=PLAIN_RULE,
    refuses=refuses,
    carries=(MASK_TOKEN,),
    opens=OPENS,
)
