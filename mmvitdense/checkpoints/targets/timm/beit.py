"""timm's `Beit`: tables of relative positions of each block or of all, no bias of the keys."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import ANY, Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import has_key_bias, with_class_row, with_patch_bias

from .arguments import OPENS, common

_RULES = ((r'\.ls([12])\.gamma$', r'.gamma_\1'),)


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of the constructor."""
    return {
        'init_values': 0.0,  # the entry has gains
        **common(options),
        'qkv_bias': options['qkv_bias'] is not False,
        'global_pool': 'token',
        'use_fc_norm': False,
        'use_abs_pos_emb': options['pos_embed'] == 'absolute',
        'use_rel_pos_bias': options['rel_pos'] == 'bias',
        'use_shared_rel_pos_bias': options['rel_pos'] == 'bias_shared',
    }


def write(weights: Weights, options: Options) -> Weights:
    """Rename; biases of queries and values under names of their own."""
    weights = with_patch_bias(weights)
    if options['pos_embed'] == 'absolute':
        weights = with_class_row(weights, options)
    return rename(separate_biases(weights), _RULES)


def separate_biases(weights: Weights) -> Weights:
    """'attn.q_bias' and 'attn.v_bias' in the place of 'attn.qkv.bias'."""
    found = {}
    for name, tensor in weights.items():
        if name.endswith('attn.qkv.bias'):
            query, _, value = tensor.chunk(3)
            found[name.replace('qkv.bias', 'q_bias')] = query
            found[name.replace('qkv.bias', 'v_bias')] = value
        else:
            found[name] = tensor
    return found


def refuses(weights: Weights, options: Options) -> str | None:
    """A bias of the keys."""
    return 'has no bias of the keys' if has_key_bias(weights) else None


TARGET = Target(
    name='Beit',
    library='timm',
    about=__doc__,
    expresses={
        'pos_embed': (None, 'absolute'),
        'pos_embed_cls_slot': ANY,
        'with_cls_token': (True,),
        'qkv_bias': ANY,
        'patch_bias': ANY,
        'rel_pos': ('bias', 'bias_shared'),
        'layer_scale_init': ANY,
        'final_norm': ('all', 'last'),
        'norm_eps': ANY,
    },
    entry='beit_base_patch16_224',
    arguments=arguments,
    write=write,
    read_by=('BEiT',),
    refuses=refuses,
    notes=lambda options: [
        'timm builds tables of relative positions for one size: give img_size to load them resized, by its own rule'
    ],
    opens=OPENS,
)
