"""ECViT of EdgeCrafter: a stem of convolutions, one register, rotary positions of DINOv3, no last norm.

The backbone alone, or that of a detector, whose other parts are dropped. A stem whose norms were multiplied into its
convolutions gets norms that pass their input.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from .contract import Format
from .dinov3 import PERIODS, periods_of
from .parts.renaming import rename
from .parts.timm_names import block_names, body_of, convert_body

_BLOCK = re.compile(r'(norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.(weight|bias)')
_STEM = 'patch_embed.convs.0.'
_FUSED = re.compile(r'^(patch_embed\.convs\.\d+)\.conv_bn_fused\.(weight|bias)$')
_EPSILON = 1e-5  # of the norms


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are a stem, one register under the name of this code, and plain blocks."""
    body = body_of(state_dict)
    if body is None or 'register_token' not in body or not any(name.startswith(_STEM) for name in body):
        return False
    return all(_BLOCK.fullmatch(name) for name in block_names(body))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`."""
    return rename(convert_body(_unfused(body_of(state_dict))), ((r'^register_token$', 'register_tokens'),))


def _unfused(body: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = {}
    for name, tensor in body.items():
        match = _FUSED.match(name)
        if match is None:
            weights[name] = tensor
        elif match[2] == 'weight':
            weights[f'{match[1]}.conv.weight'] = tensor
        else:
            norm = {'weight': torch.ones_like(tensor), 'bias': tensor, 'running_mean': torch.zeros_like(tensor)}
            norm['running_var'] = torch.ones_like(tensor) - _EPSILON
            norm['num_batches_tracked'] = torch.tensor(0)
            weights.update({f'{match[1]}.norm.{part}': value for part, value in norm.items()})
    return weights


def implied(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """The heads, and the rounding of the periods, where these are in the file."""
    return periods_of(body_of(state_dict))


FORMAT = Format(
    name='ECViT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('ecvit',),
    implied=implied,
    tells_heads=lambda state_dict: PERIODS in body_of(state_dict),
)
