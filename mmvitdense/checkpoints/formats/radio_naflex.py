"""RADIO in timm's layout for images of any size (`naflexvit_*_radio_*`).

The table of positions is whole, and kernels of patches are matrices over (row, column, channel).
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from . import radio
from .contract import Format
from .parts.linear_patches import kernel_of_linear
from .parts.renaming import rename

ANCHOR = 'embeds.proj.weight'
_BLOCK = re.compile(r'blocks\.\d+\.((norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.(weight|bias)|ls[12]\.gamma)')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are positions as a map, a class token and registers; SigLIP 2 has the first alone."""
    body = strip_prefix(state_dict, ANCHOR)
    if body is None or not {'embeds.cls_token', 'embeds.reg_token', 'embeds.pos_embed'} <= body.keys():
        return False
    blocks = [name for name in body if name.startswith('blocks.')]
    return body['embeds.pos_embed'].ndim == 4 and bool(blocks) and all(_BLOCK.fullmatch(name) for name in blocks)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`."""
    rules = ((r'^embeds\.proj\.', 'patch_embed.proj.'), (r'^embeds\.', ''))
    weights = rename(strip_prefix(state_dict, ANCHOR), rules)
    weights['patch_embed.proj.weight'] = kernel_of_linear(weights['patch_embed.proj.weight'])
    weights['pos_embed'] = weights['pos_embed'].flatten(1, 2)
    return radio.with_tokens(weights, torch.cat([weights.pop('cls_token'), weights.pop('reg_token')], dim=1)[0])


FORMAT = Format(
    name='timm RADIO of any size',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: radio.families_of(convert(state_dict)),
    implied=lambda state_dict: radio.implied_of(convert(state_dict)),
    cannot_tell=lambda state_dict, options: radio.unsure_of_corners(convert(state_dict)),
)
