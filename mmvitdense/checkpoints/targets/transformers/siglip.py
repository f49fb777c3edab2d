"""`SiglipVisionModel` of transformers, without its head: no class token."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import only_square, with_patch_bias, without_class_row

from .clip import tower_names
from .names import ACTIVATIONS, OPENS, PLAIN_RULE, common


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of config.json."""
    found = common('SiglipVisionModel', 'siglip_vision_model', options)
    return {**found, 'intermediate_size': options['feedforward_channels'], 'vision_use_head': False}


TARGET = Target(
    name='SiglipVisionModel',
    library='transformers',
    about=__doc__,
    expresses={
        'pos_embed': ('absolute',),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (False,),
        'qkv_bias': (True, 'qv'),
        'patch_bias': ANY,
        'act': tuple(ACTIVATIONS),
        'final_norm': ('all', 'last'),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=lambda weights, options: tower_names(without_class_row(with_patch_bias(weights), options)),
    read_by=('transformers CLIP or SigLIP',),
    pos_resize=PLAIN_RULE,
    refuses=lambda weights, options: only_square(options),
    notes=lambda options: ['give interpolate_pos_encoding=True for images of another size'],
    opens=OPENS,
)
