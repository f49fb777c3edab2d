"""DINOv3 and LingBot-Vision in their own layout and in timm's: rotary positions, registers, no bias of the keys."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

from .contract import Format
from .parts.timm_names import block_names, body_of, convert_body

PERIODS = 'rope_embed.periods'
# Channels of the only size of LingBot-Vision whose networks are gated; DINOv3's have 384, 1280 and 4096.
_GIANT = 1536
_OFFICIAL = re.compile(
    r'(norm[12]|attn\.(qkv|proj)|mlp\.(fc[12]|w[123]))\.(weight|bias)|ls[12]\.gamma|attn\.qkv\.bias_mask'
)
_TIMM = re.compile(
    r'(norm[12]|attn\.proj|mlp\.(fc1|fc1_[gx]|fc2))\.\w+|gamma_[12]|attn\.(qkv\.weight|[qv]_bias|[qkv]_proj\.\w+)'
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are a class token, registers under one of the two names, LayerScale, and no table of positions.

    timm's own ViTs with rotary positions, which are not DINOv3's, have registers alone.
    """
    body = body_of(state_dict)
    if body is None or 'pos_embed' in body or 'cls_token' not in body:
        return False
    names = block_names(body)
    if 'storage_tokens' in body or PERIODS in body:
        return 'ls1.gamma' in names and all(_OFFICIAL.fullmatch(name) for name in names)
    return 'reg_token' in body and 'gamma_1' in names and all(_TIMM.fullmatch(name) for name in names)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; mask token and norms of class tokens keep their names.

    The bias of query, key and value is multiplied by the mask that the file has for it, which is zero for the keys.
    A mask that was never filled is not finite, and means the same.
    """
    body = dict(body_of(state_dict))
    for name in [name for name in body if name.endswith('.qkv.bias')]:
        body[name] = body[name] * _mask(body, name)
    return convert_body(body)


def _mask(body: dict[str, Tensor], name: str) -> Tensor:
    bias = body[name]
    mask = body.get(f'{name}_mask', torch.full_like(bias, torch.nan))
    ones = torch.ones_like(bias[: len(bias) // 3])
    return mask if mask.isfinite().all() else torch.cat([ones, 0 * ones, ones])


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """DINOv3 and LingBot-Vision, which small to large models do not distinguish; see `families_of`."""
    return families_of(convert(state_dict))


def families_of(weights: dict[str, Tensor]) -> tuple[str, ...]:
    """Whose blocks these are, given names of `PlainViT`: gated ones are the giant's of LingBot-Vision, or DINOv3's.

    The licences differ, and nothing in a file with other blocks says whose it is.
    """
    if 'blocks.0.mlp.w3.weight' not in weights:
        return 'dinov3', 'lingbot-vision'
    return ('lingbot-vision',) if weights['patch_embed.proj.weight'].shape[0] == _GIANT else ('dinov3',)


def implied(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """The heads, and the rounding of the periods, where these are in the file."""
    return periods_of(body_of(state_dict))


def periods_of(body: dict[str, Tensor]) -> dict[str, Any]:
    """Options that the periods of rotary positions show, as many as a quarter of the channels of a head."""
    if PERIODS not in body:
        return {}
    periods, width = body[PERIODS], body['patch_embed.proj.weight'].shape[0]
    return {'num_heads': width // (4 * len(periods)), 'rope': {'kind': 'dinov3', **_rope(periods)}}


def tells_heads(state_dict: dict[str, Tensor]) -> bool:
    """Whether the periods are in the file, as many as a quarter of the channels of a head."""
    return PERIODS in body_of(state_dict)


def _rope(periods: Tensor, base: float = 100.0) -> dict[str, Any]:
    expected = base ** (torch.arange(len(periods), dtype=torch.float32) / len(periods))
    if torch.allclose(periods.float(), expected, rtol=1e-5):
        return {}
    if torch.allclose(periods.float(), expected, rtol=2**-8):
        return {'periods_dtype': 'bfloat16'}
    raise CheckpointError(
        f'{PERIODS} go from {periods[0]:.4g} to {periods[-1]:.4g}, which is not the series of base {base:g} that '
        'DINOv3 publishes: give the options by hand'
    )


FORMAT = Format(
    name='DINOv3',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
    implied=implied,
    tells_heads=tells_heads,
)
