"""Checkpoints of this project: a backbone alone or the 'backbone.' of a trained detector or segmentor."""

from __future__ import annotations

import re

from torch import Tensor

from mmvitdense.layers import RECORD

from .contract import Format
from .parts.adapter_parts import VIT, find_adapter, holds_adapter

_PROJECTION = 'patch_embed.proj.weight'
_HEADS = {'neck', 'rpn_head', 'roi_head', 'bbox_head', 'decode_head', 'panoptic_head'}
_NAMES = re.compile(
    r'^(pos_embed|sine_conv\.conv\.\w+|cls_token|register_tokens|patch_embed\.(proj|norm|convs\.\d+\.(conv|norm))\.\w+|norm(_pre)?\.\w+|blocks\.\d+\.('
    r'norm[12]\.\w+|attn\.((qkv|proj|inner_norm|value_conv)\.\w+|rel_pos_[hw]|relative_position_bias_table)|'
    r'mlp\.(fc[12]|w12|w3|norm)\.\w+|ls[12]\.gamma|residual\.\w+\.\w+)|'
    r'(rel_pos_bias|window_rel_pos_bias\.\d+)\.relative_position_bias_table)$'
)
_PARTS = {
    *('pos_embed', 'sine_conv', 'cls_token', 'register_tokens', 'patch_embed', 'norm', 'norm_pre', 'blocks'),
    *('rel_pos_bias', 'window_rel_pos_bias'),
}
# A ViT without any of these is named as timm names it, and is left to that format.
_PARTICULAR = re.compile(
    r'rel_pos_[hw]$|^register_tokens$|\.residual\.|relative_position_bias_table$|inner_norm|value_conv|mlp\.(w12|norm)\.'
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether this is a model of this project.

    That is a `backbone.` with timm's names beside a neck or head, a `PlainViT` alone with an option that no other
    format spells in the same way, or a `ViTCoMer` or `ViTAdapter` with its ViT under 'vit.'.
    """
    if holds_adapter(state_dict):
        found = find_adapter(state_dict)
        return found is not None and found.prefix in ('', 'backbone.') and f'{VIT}{_PROJECTION}' in found.backbone
    parts = {name.split('.')[0] for name in state_dict}
    if 'backbone.blocks.0.attn.qkv.weight' in state_dict and parts & _HEADS:
        return True
    names = [name.removeprefix('backbone.') for name in state_dict]
    if 'blocks.0.attn.qkv.weight' not in names:
        return False
    if _records(state_dict):  # heads, mask tokens and decoders of the file that was converted are beside
        names = [name for name in names if name.split('.')[0] in _PARTS]
    if _records_axial_positions(state_dict):
        return True
    if not all(_NAMES.match(name) for name in names):
        return False
    # Nor is there a format of timm's layout without a table of positions.
    if 'pos_embed' in names and not any(_PARTICULAR.search(name) for name in names):
        return False
    if any('.mlp.w12.' in name for name in names) and any('.mlp.fc1.' in name for name in names):
        return False
    # The image encoder of SAM has the same names with a position table of height x width.
    return 'pos_embed' not in state_dict or state_dict['pos_embed'].ndim == 3


def _records_axial_positions(state_dict: dict[str, Tensor]) -> bool:
    """Whether a record says that there are rotary positions which the names of Perception Encoder do not show."""
    return any(record.get('rope') == 'axial' for record in _records(state_dict))


def _records(state_dict: dict[str, Tensor]) -> list[dict]:
    """What models and conversions of this project record in a state dict."""
    metadata = getattr(state_dict, '_metadata', None) or {}
    return [values[RECORD] for values in metadata.values() if RECORD in values]


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the checkpoint as it is."""
    return dict(state_dict)


FORMAT = Format(
    name='mmvitdense',
    about=__doc__,
    matches=matches,
    convert=convert,
    tells_options=False,
)
