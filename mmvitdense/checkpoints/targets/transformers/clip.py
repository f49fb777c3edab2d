"""`CLIPVisionModel` of transformers: a norm before the blocks, no bias of the patch embedding."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import only_square, split_qkv, with_class_row

from .names import ACTIVATIONS, OPENS, PLAIN_RULE, common

_PARTS = tuple(f'self_attn.{part}_proj' for part in 'qkv')
_RULES = (
    (r'^cls_token$', 'embeddings.class_embedding'),
    (r'^pos_embed$', 'embeddings.position_embedding.weight'),
    (r'^patch_embed\.proj\.', 'embeddings.patch_embedding.'),
    (r'^norm_pre\.', 'pre_layrnorm.'),  # spelled so
    (r'^norm\.', 'post_layernorm.'),
    (r'^blocks\.', 'encoder.layers.'),
    (r'\.norm([12])\.', r'.layer_norm\1.'),
    (r'\.attn\.proj\.', '.self_attn.out_proj.'),
)


def tower_names(weights: Weights) -> Weights:
    """Names of the image towers of CLIP and SigLIP."""
    weights = dict(weights)
    weights['pos_embed'] = weights['pos_embed'][0]
    if 'cls_token' in weights:
        weights['cls_token'] = weights['cls_token'].flatten()
    return rename(split_qkv(weights, _PARTS), _RULES)


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of config.json."""
    found = common('CLIPVisionModel', 'clip_vision_model', options)
    return {**found, 'intermediate_size': options['feedforward_channels']}


TARGET = Target(
    name='CLIPVisionModel',
    library='transformers',
    about=__doc__,
    expresses={
        'pos_embed': ('absolute',),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (True,),
        'qkv_bias': (True, 'qv'),
        'patch_bias': (False,),
        'act': tuple(ACTIVATIONS),
        'pre_norm': (True,),
        'final_norm': ('all', 'last'),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=lambda weights, options: tower_names(with_class_row(weights, options)),
    read_by=('transformers CLIP or SigLIP',),
    pos_resize=PLAIN_RULE,
    refuses=lambda weights, options: only_square(options),
    notes=lambda options: [
        'last_hidden_state of CLIPVisionModel is that before the last norm, post_layernorm, which it applies to the '
        'class token alone; give interpolate_pos_encoding=True for images of another size'
    ],
    opens=OPENS,
)
