"""All options of a `PlainViT` in one spelling, whichever way a config gives them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmvitdense.layers.positions.rotary import KINDS

from .plain_vit import PlainViT
from .presets import preset_options
from .vit_sizes import patch_grid, resolve_sizes, window_sizes

_SIZES = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
# What changes nothing of what a model computes in evaluation mode.
_TRAINING = ('init_cfg', 'drop_path_rate', 'frozen_stages', 'tuned_blocks', 'with_cp', 'out_indices')
_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(PlainViT.__init__).parameters.items()
    if parameter.default is not inspect.Parameter.empty
}
_RULE = {'by': 'size', 'offset': 0.1, 'antialias': False, 'mode': 'bicubic'}


def resolved_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the options of a model by its preset and defaults.

    Args:
        options: Keyword arguments of `PlainViT`.

    Returns:
        All arguments that decide about what the model computes, so that two models that compute the same from the same
        weights have the same: sizes without 'arch' and 'preset', 'img_size' and 'pretrain_img_size' as (height, width)
        of whole patches, 'window_size' of each block, 'pos_resize' and 'rope' with all their keys, 'layer_scale_init'
        1.0 or None. An option that another one makes useless has its default.

    Raises:
        ValueError: A preset, an architecture or a size is none.
    """
    given = dict(options)
    preset = given.pop('preset', None)
    if preset is not None:
        given = preset_options(preset, given)
    full = {**_DEFAULTS, **{key: value for key, value in given.items() if key not in _TRAINING}}
    full = {key: value for key, value in full.items() if key not in (*_TRAINING, 'preset')}
    full.update(zip(_SIZES, resolve_sizes(full.pop('arch'), *(full[name] for name in _SIZES))))
    side = full['patch_size']
    pretrained = full['img_size'] if full['pretrain_img_size'] is None else full['pretrain_img_size']
    for name, size in (('pretrain_img_size', pretrained), ('img_size', full['img_size'])):
        full[name] = tuple(count * side for count in patch_grid(name, size, side))
    full['window_size'] = window_sizes(full['window_size'], full.pop('global_blocks'), full['num_layers'])
    full['conv_blocks'] = tuple(full['conv_blocks'])
    full['layer_scale_init'] = None if full['layer_scale_init'] is None else 1.0
    full['pos_resize'] = _rule(full['pos_resize'])
    full['rope'] = _rope(full['rope'])
    return _without_useless(full)


def _rule(pos_resize: Mapping[str, Any] | None) -> dict[str, Any]:
    rule = {**_RULE, **(pos_resize or {})}
    if rule['by'] != 'scale':
        del rule['offset']
    return {key: value for key, value in rule.items() if value or key not in ('align_corners', 'square')}


def _rope(rope: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not rope or rope.get('kind') not in KINDS:
        return None
    parameters = inspect.signature(KINDS[rope['kind']].__init__).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items() if name not in ('self', 'head_dims')}
    return {**defaults, **rope}


def _without_useless(full: dict[str, Any]) -> dict[str, Any]:
    if full['pos_embed'] != 'absolute':
        full.update(pos_embed_cls_slot=False, pos_resize=_rule(None))
    elif full['pos_embed_cls_slot'] is None:
        full['pos_embed_cls_slot'] = full['with_cls_token']
    if not any(full['window_size']):
        full['window_pad'] = _DEFAULTS['window_pad']
    if full['rel_pos'] not in ('bias', 'bias_shared'):
        full['rel_pos_at'] = _DEFAULTS['rel_pos_at']
    if not full['conv_blocks']:
        full['conv_block_kind'] = _DEFAULTS['conv_block_kind']
    if full['ffn'] != 'mlp':
        full['act'] = _DEFAULTS['act']
    if full['final_norm_eps'] == full['norm_eps'] or full['final_norm'] is None:
        full['final_norm_eps'] = None
    return full
