"""`ViTModel` of transformers, of which DeiT, MAE, DINO and others without LayerScale are."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import only_square, with_class_row, with_patch_bias

from .names import ACTIVATIONS, PLAIN_RULE, common, encoder_names

_RULES = (
    (r'\.norm1\.', '.layernorm_before.'),
    (r'\.norm2\.', '.layernorm_after.'),
    (r'\.mlp\.fc1\.', '.intermediate.dense.'),
    (r'\.mlp\.fc2\.', '.output.dense.'),
)


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of config.json."""
    return {
        **common('ViTModel', 'vit', options),
        'intermediate_size': options['feedforward_channels'],
        'qkv_bias': options['qkv_bias'] is not False,
    }


def write(weights: Weights, options: Options) -> Weights:
    """Rename."""
    return encoder_names(with_class_row(with_patch_bias(weights), options), *_RULES)


TARGET = Target(
    name='ViTModel',
    first=True,
    library='transformers',
    about=__doc__,
    expresses={
        'pos_embed': ('absolute',),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (True,),
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'act': tuple(ACTIVATIONS),
        'final_norm': ('all', 'last'),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('transformers ViT',),
    pos_resize=PLAIN_RULE,
    refuses=lambda weights, options: only_square(options),
    notes=lambda options: [
        'the pooler of ViTModel is not in the weights; give interpolate_pos_encoding=True for images of another size'
    ],
)
