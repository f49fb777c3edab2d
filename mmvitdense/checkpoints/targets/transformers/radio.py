"""`RadioModel` of transformers: positions without the class token, on a square that is cropped, no last norm.

Its files have the names of NVIDIA (`radio_model.model.patch_generator...`).
"""

from __future__ import annotations

from typing import Any

import torch

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import (
    only_square,
    patch_bias_in_positions,
    ratio,
    side_of,
    without_class_row,
)

from .names import ACTIVATIONS, OPENS, SOME, common

_MODEL = 'radio_model.model.'
_RULES = (
    (r'^pos_embed$', f'{_MODEL}patch_generator.pos_embed'),
    (r'^patch_embed\.proj\.', f'{_MODEL}patch_generator.embedder.'),
    (r'^blocks\.', f'{_MODEL}blocks.'),
    (r'\.ls([12])\.gamma$', r'.layer_scale\1.lambda1'),
)
_RULE = {'by': 'size', 'antialias': False, 'mode': 'bilinear', 'square': True}


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of config.json. The class token is the only summary, and pixels come normalised."""
    return {
        **common('RadioModel', 'radio', options),
        'mlp_ratio': float(ratio(options)),
        'qkv_bias': options['qkv_bias'] is not False,
        'max_img_size': side_of(options),
        'num_cls_tokens': 1,
        'num_registers': options['num_registers'],
        'summary_idxs': [0],
        'norm_mean': [0.0] * options['in_channels'],
        'norm_std': [1.0] * options['in_channels'],
    }


def write(weights: Weights, options: Options) -> Weights:
    """Rename; patches are projected as rows, their bias stands in the positions, gains are one without LayerScale."""
    weights = patch_bias_in_positions(without_class_row(weights, options))
    tokens = torch.cat([weights.pop('cls_token'), weights.pop('register_tokens')], dim=1)[0]
    weights[f'{_MODEL}patch_generator.cls_token.token'] = tokens
    for name, value in (('norm_mean', 0.0), ('norm_std', 1.0)):
        weights[f'radio_model.input_conditioner.{name}'] = torch.full((options['in_channels'], 1, 1), value)
    weights['radio_model.summary_idxs'] = torch.zeros(1, dtype=torch.long)
    weights['patch_embed.proj.weight'] = weights['patch_embed.proj.weight'].flatten(1)
    for name in [name for name in weights if name.endswith('.norm1.weight')]:
        for part in ('ls1.gamma', 'ls2.gamma'):
            weights.setdefault(name.replace('norm1.weight', part), torch.ones_like(weights[name]))
    return rename(weights, _RULES)


TARGET = Target(
    name='RadioModel',
    library='transformers',
    about=__doc__,
    expresses={
        'pos_embed': ('absolute',),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (True,),
        'num_registers': SOME,
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'act': tuple(ACTIVATIONS),
        'layer_scale_init': ANY,
        'final_norm': (None,),
        'norm_eps': ANY,
    },
    arguments=arguments,
    write=write,
    read_by=('RADIO',),
    pos_resize=_RULE,
    refuses=lambda weights, options: only_square(options),
    notes=lambda options: ['RadioModel normalises nothing here (norm_mean 0, norm_std 1): give it normalised pixels'],
    opens=OPENS,
)
