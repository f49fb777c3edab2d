"""`ViTModel` of transformers, of which DeiT, MAE, DINO and others without LayerScale are."""

from __future__ import annotations

from typing import Any

import torch

from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import only_square, with_class_row, with_patch_bias

from .names import ACTIVATIONS, OPENS, PLAIN_RULE, common, encoder_names

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
    """Rename; a last norm that these weights lack has gains of one."""
    weights = with_class_row(with_patch_bias(weights), options)
    if options['final_norm'] is None:
        like = weights['blocks.0.norm1.weight']
        weights |= {'norm.weight': torch.ones_like(like), 'norm.bias': torch.zeros_like(like)}
    return encoder_names(weights, *_RULES)


def notes(options: Options) -> list[str]:
    """The pooler, images of another size, the last norm."""
    found = [
        'the pooler of ViTModel is not in the weights; give interpolate_pos_encoding=True for images of another size'
    ]
    if options['final_norm'] is None:
        found.append(
            'ViTModel ends with a norm, which these weights lack: their features are hidden_states[-1] of '
            'output_hidden_states=True'
        )
    return found


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
        'final_norm': ANY,
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('transformers ViT',),
    pos_resize=PLAIN_RULE,
    refuses=lambda weights, options: only_square(options),
    notes=notes,
    opens=OPENS,
)
