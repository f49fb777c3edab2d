"""SigLIP 2 NaFlex in timm's layout (`NaFlexVit`), also as OpenCLIP keeps it ('visual.trunk.')."""

from __future__ import annotations

import re

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from .contract import Format
from .parts.linear_patches import kernel_of_linear
from .parts.renaming import rename

ANCHOR = 'embeds.proj.weight'
_BLOCK = re.compile(r'^blocks\.\d+\.(norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.(weight|bias)$')
_EMBEDDING = {ANCHOR, 'embeds.proj.bias', 'embeds.pos_embed'}


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the patch embedding is a linear layer, with a table of positions and no other token, before plain blocks.

    RADIO and timm's own models of this class have class and register tokens.
    """
    body = strip_prefix(state_dict, ANCHOR)
    if body is None or body[ANCHOR].ndim != 2 or 'blocks.0.attn.qkv.weight' not in body:
        return False
    parts = {name for name in body if name.startswith('embeds.')}
    return parts == _EMBEDDING and all(_BLOCK.match(name) for name in body if name.startswith('blocks.'))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the pooling keeps its names."""
    weights = rename(
        strip_prefix(state_dict, ANCHOR), ((r'^embeds\.proj\.', 'patch_embed.proj.'), (r'^embeds\.pos', 'pos'))
    )
    weights['patch_embed.proj.weight'] = kernel_of_linear(weights['patch_embed.proj.weight'])
    weights['pos_embed'] = weights['pos_embed'].flatten(1, 2)
    return weights


FORMAT = Format(
    name='timm SigLIP 2 NaFlex',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('siglip2-naflex',),
)
