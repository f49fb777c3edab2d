"""`DINOv3ViTModel` of transformers: rotary positions, registers, LayerScale, plain and gated networks."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights, Where
from mmvitdense.checkpoints.targets.parts import (
    MASK_TOKEN,
    has_key_bias,
    split_gated,
    split_qkv,
    with_mask_token,
    with_patch_bias,
)

from .names import ACTIVATIONS, OPENS, SOME, common

_PARTS = tuple(f'attention.{part}_proj' for part in 'qkv')
_RULES = (
    (r'^(cls_token|register_tokens|mask_token)$', r'embeddings.\1'),
    (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.'),
    (r'^blocks\.', 'layer.'),
    (r'\.attn\.proj\.', '.attention.o_proj.'),
    (r'\.ls([12])\.gamma$', r'.layer_scale\1.lambda1'),
    (r'\.mlp\.fc1\.', '.mlp.up_proj.'),
    (r'\.mlp\.(fc2|w3)\.', '.mlp.down_proj.'),
)


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of config.json."""
    biased = options['qkv_bias'] is not False
    found = {
        **common('DINOv3ViTModel', 'dinov3_vit', options),
        'intermediate_size': options['feedforward_channels'],
        'use_gated_mlp': options['ffn'] == 'swiglu',
        'query_bias': biased,
        'key_bias': has_key_bias(weights),
        'value_bias': biased,
        'num_register_tokens': options['num_registers'],
        'rope_theta': options['rope']['base'],
        'pos_embed_shift': None,
        'pos_embed_jitter': None,
        'pos_embed_rescale': None,
    }
    return {**found, 'hidden_act': 'silu'} if found['use_gated_mlp'] else found


def write(weights: Weights, options: Options) -> Weights:
    """Rename."""
    weights = with_mask_token(with_patch_bias(weights), 1, 1, options['embed_dims'])
    weights = split_gated(weights, 'gate_proj', 'up_proj')
    return rename(split_qkv(weights, _PARTS, key_bias=has_key_bias(weights)), _RULES)


def refuses(weights: Weights, options: Options) -> str | None:
    """Other rotary positions."""
    rope = options['rope']
    if rope['normalize'] != 'separate':
        return f"has rotary positions of normalize='separate' alone, and these have {rope['normalize']!r}"
    return None


def notes(options: Options) -> list[str]:
    """The rounding of the periods."""
    if options['rope']['periods_dtype'] == 'bfloat16':
        return [
            'transformers computes the periods of rotary positions in float32, these weights come with bfloat16 '
            '(1e-5 off)'
        ]
    return []


TARGET = Target(
    name='DINOv3ViTModel',
    library='transformers',
    about=__doc__,
    expresses={
        'pos_embed': (None,),
        'with_cls_token': (True,),
        'num_registers': SOME,
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'ffn': ('mlp', 'swiglu'),
        'act': tuple(ACTIVATIONS),
        'rope': Where(lambda rope: rope is not None and rope['kind'] == 'dinov3'),
        'layer_scale_init': (1.0,),
        'final_norm': ('all', 'last'),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('transformers DINOv3',),
    refuses=refuses,
    carries=(MASK_TOKEN,),
    notes=notes,
    opens=OPENS,
)
