"""`BeitModel` of transformers: tables of relative positions of each block or of all, no bias of the keys."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import has_key_bias, only_square, with_class_row, with_patch_bias

from .names import ACTIVATIONS, OPENS, PLAIN_RULE, common, encoder_names

_RULES = (
    (r'\.norm1\.', '.layernorm_before.'),
    (r'\.norm2\.', '.layernorm_after.'),
    (r'\.mlp\.fc1\.', '.intermediate.dense.'),
    (r'\.mlp\.fc2\.', '.output.dense.'),
    (r'\.ls([12])\.gamma$', r'.lambda_\1'),
    (r'^rel_pos_bias\.', 'encoder.relative_position_bias.'),
    (
        r'\.attn\.relative_position_bias_table$',
        '.attention.attention.relative_position_bias.relative_position_bias_table',
    ),
)


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of config.json."""
    return {
        **common('BeitModel', 'beit', options),
        'intermediate_size': options['feedforward_channels'],
        'use_absolute_position_embeddings': options['pos_embed'] == 'absolute',
        'use_relative_position_bias': options['rel_pos'] == 'bias',
        'use_shared_relative_position_bias': options['rel_pos'] == 'bias_shared',
        'layer_scale_init_value': 0.0 if options['layer_scale_init'] is None else 0.1,
        'use_mask_token': False,
        'use_mean_pooling': False,
        'drop_path_rate': 0.0,
    }


def write(weights: Weights, options: Options) -> Weights:
    """Rename."""
    weights = with_patch_bias(weights)
    if options['pos_embed'] == 'absolute':
        weights = with_class_row(weights, options)
    return encoder_names(weights, *_RULES, key_bias=False)


def refuses(weights: Weights, options: Options) -> str | None:
    """A bias of the keys, an oblong table."""
    return 'has no bias of the keys' if has_key_bias(weights) else only_square({**options, 'pos_embed': 'absolute'})


TARGET = Target(
    name='BeitModel',
    library='transformers',
    about=__doc__,
    expresses={
        'pos_embed': (None, 'absolute'),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (True,),
        'qkv_bias': (True, 'qv'),
        'patch_bias': ANY,
        'act': tuple(ACTIVATIONS),
        'rel_pos': ('bias', 'bias_shared'),
        'layer_scale_init': ANY,
        'final_norm': ('all', 'last'),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('transformers BEiT',),
    pos_resize=PLAIN_RULE,
    refuses=refuses,
    notes=lambda options: [
        'transformers resizes tables of relative positions bilinearly for images of another size, BEiT geometrically'
    ],
    opens=OPENS,
)
