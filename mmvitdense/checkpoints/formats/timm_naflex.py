"""SigLIP 2 NaFlex in timm's layout (`NaFlexVit`), also as OpenCLIP keeps it ('visual.trunk.'), and timm's own.

Those of timm (`naflexvit_base_patch16_gap`, ...) have registers and LayerScale, and another rule of resizing.
"""

from __future__ import annotations

import re

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from .contract import Format
from .parts.linear_patches import kernel_of_linear
from .parts.renaming import rename

ANCHOR = 'embeds.proj.weight'
_BLOCK = re.compile(r'^blocks\.\d+\.((norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.(weight|bias)|ls[12]\.gamma)$')
_EMBEDDING = {ANCHOR, 'embeds.proj.bias', 'embeds.pos_embed'}
_REGISTERS = 'embeds.reg_token'
_RULES = (
    (r'^embeds\.proj\.', 'patch_embed.proj.'),
    (r'^embeds\.pos', 'pos'),
    (r'^embeds\.reg_token$', 'register_tokens'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the patch embedding is a linear layer, with a table of positions and no class token, before plain blocks.

    RADIO has a class token.
    """
    body = strip_prefix(state_dict, ANCHOR)
    if body is None or body[ANCHOR].ndim != 2 or 'blocks.0.attn.qkv.weight' not in body:
        return False
    parts = {name for name in body if name.startswith('embeds.')}
    return parts - {_REGISTERS} == _EMBEDDING and all(_BLOCK.match(name) for name in body if name.startswith('blocks.'))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the pooling keeps its names."""
    rules = (
        (r'^embeds\.proj\.', 'patch_embed.proj.'),
        (r'^embeds\.pos', 'pos'),
        (r'^embeds\.reg_token$', 'register_tokens'),
    )
    weights = rename(strip_prefix(state_dict, ANCHOR), rules)
    if 'norm.weight' not in weights:  # of the mean of the patches
        weights = rename(weights, ((r'^fc_norm\.', 'norm.'),))
    weights['patch_embed.proj.weight'] = kernel_of_linear(weights['patch_embed.proj.weight'])
    weights['pos_embed'] = weights['pos_embed'].flatten(1, 2)
    return weights


def _is_of_timm(state_dict: dict[str, Tensor]) -> bool:
    return _REGISTERS in strip_prefix(state_dict, ANCHOR)


_RULE = 'that of naflexvit_*_gap and *_map of timm; naflexvit_*_par_gap have dict(antialias=True, square=True)'

FORMAT = Format(
    name='timm NaFlex',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: () if _is_of_timm(state_dict) else ('siglip2-naflex',),
    implied=lambda state_dict: {'pos_resize': {'antialias': True}} if _is_of_timm(state_dict) else {},
    cannot_tell=lambda state_dict, options: {'pos_resize': _RULE} if _is_of_timm(state_dict) else {},
)
