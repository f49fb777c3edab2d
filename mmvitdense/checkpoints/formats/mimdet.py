"""MIMDet: official files of both releases, the backbone alone or in a detector, and those of this project."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from .contract import Format
from .parts.detectron2_fpn import rename_fpn
from .parts.detectron2_heads import rename_heads
from .parts.implied_options import implied_options
from .parts.renaming import rename

_OFFICIAL = re.compile(r'^((?:.*\.)?)encoder\.patch_embed\.proj\.3\.3\.weight$')
_OWN = re.compile(r'^(backbone\.)?stem\.stages\.3\.conv\.weight$')
_BACKBONE = 'backbone.'
_DECODER_HEADS = 16
_STEM = r'^(|backbone\.)encoder\.patch_embed\.proj\.'
_RENAMES = (
    (_STEM + r'(\d)\.0\.', r'\1stem.stages.\2.conv.'),
    (_STEM + r'(\d)\.1\.', r'\1stem.stages.\2.norm.'),
    (_STEM + r'3\.3\.', r'\1stem.proj.'),
    (r'^(|backbone\.)encoder\.', r'\1vit.'),
    (r'^(|backbone\.)decoder\.(decoder_embed|conv_feat_proj|mask_token)\b', r'\1\2'),
    (r'^(|backbone\.)decoder\.decoder_', r'\1decoder.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the stem of MIMDet is there, under its official name or ours."""
    return any(_OFFICIAL.match(name) or _OWN.match(name) for name in state_dict)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to `MIMDet`, under 'backbone.' in a detector, beside 'neck.' (FPN) and the heads of mmdet.

    The mask token that release 1.2.0 left in its files, where nothing uses it, is dropped.
    """
    if any(_OWN.match(name) for name in state_dict):
        return dict(state_dict)
    (prefix,) = {match[1] for name in state_dict if (match := _OFFICIAL.match(name))}
    renamed = {}
    for name, value in state_dict.items():
        if prefix and name.startswith(prefix):
            name = f'{_BACKBONE}{name.removeprefix(prefix)}'
        renamed[name] = value
    weights = rename_heads(rename(rename_fpn(renamed), _RENAMES), norm='bn')
    for backbone in ('', _BACKBONE):
        if f'{backbone}conv_feat_proj.weight' in weights:
            weights.pop(f'{backbone}mask_token', None)
    return weights


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of `MIMDet`; `known` ones win: 'vit' and 'decoder' with those of its parts, others of its `vit`."""
    weights = {name.removeprefix(_BACKBONE): value for name, value in convert(state_dict).items()}
    given = {name: value for name, value in known.items() if name not in ('vit', 'decoder')}
    vit = _part_options(weights, 'vit.', {**given, **known.get('vit', {})})
    heads = math.gcd(_DECODER_HEADS, weights['decoder.pos_embed'].shape[-1])
    decoder = _part_options(weights, 'decoder.', {'num_heads': heads, **known.get('decoder', {})})
    if decoder['pretrain_img_size'] == vit['pretrain_img_size']:
        del decoder['pretrain_img_size']
    return {'vit': vit, 'decoder': decoder, 'fill': 'mask_token' if 'mask_token' in weights else 'conv_feat'}


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The heads of the decoder."""
    return {'decoder.num_heads': 'not in the weights; the decoder of MAE, from which MIMDet starts, has 16'}


def generation(state_dict: dict[str, Tensor]) -> str:
    """Both releases have files of the same names, but not the same fill for tokens that were not seen."""
    if any(name.endswith('mask_token') for name in convert(state_dict)):
        return "of release 1.0.0 or 1.1.1, whose models have fill='mask_token'"
    return "of release 1.2.0, whose models have fill='conv_feat'"


def _part_options(weights: dict[str, Tensor], prefix: str, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the encoder or decoder that are not those that `MIMDet` gives it."""
    part = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    # The stem stands for a patch embedding of 16 pixels.
    with torch.device('meta'):
        width = part['pos_embed'].shape[-1]
        embedding = {'patch_embed.proj.weight': torch.empty(width, 3, 16, 16), 'patch_embed.proj.bias': torch.empty(1)}
    implied = implied_options({**part, **embedding}, given, norm_eps=1e-5)
    for name in ('patch_size', 'with_cls_token', 'final_norm'):
        del implied[name]
    return implied


FORMAT = Format(
    name='MIMDet',
    about=__doc__,
    matches=matches,
    convert=convert,
    model='MIMDet',
    own_options=options,
    cannot_tell=cannot_tell,
    generation=generation,
)
