"""MAE of video (HVM-1, eminorhan/hvm-1; facebookresearch/mae_st), as a model of one image.

A kernel of the patch embedding spans several frames: an image stands still, so that its kernel is the sum over them.
Positions in time are one row, the mean of all, added to those in space. A clip of one such step, all frames the same,
has the features of the image; the published use, a clip of many steps that attend to each other, has others.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from .contract import Format
from .parts.renaming import QKV, stack

ANCHOR = 'pos_embed_spatial'

_BLOCK = re.compile(r'^blocks\.\d+\.((norm[12]|attn\.([qkv]|proj)|mlp\.fc[12])\.\w+)$')
_TIME = ('pos_embed_spatial', 'pos_embed_temporal', 'pos_embed_class')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether positions in space and time are apart, and the patches span several frames."""
    body = strip_prefix(state_dict, ANCHOR)
    if body is None or 'pos_embed_temporal' not in body or 'blocks.0.attn.q.weight' not in body:
        return False
    kernel = body.get('patch_embed.proj.weight')
    blocks = [name for name in body if name.startswith('blocks.')]
    return kernel is not None and kernel.ndim == 5 and all(_BLOCK.match(name) for name in blocks)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the decoder keeps its names."""
    body = strip_prefix(state_dict, ANCHOR)
    weights = {name: tensor for name, tensor in body.items() if name not in _TIME}
    weights['patch_embed.proj.weight'] = body['patch_embed.proj.weight'].sum(2)
    weights['pos_embed'] = body['pos_embed_spatial'] + body['pos_embed_temporal'].mean(1, keepdim=True)
    if 'pos_embed_class' in body:
        weights['cls_token'] = weights['cls_token'] + body['pos_embed_class']
    return stack(weights, QKV, 'attn.qkv')


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """What became of time, and that the published use is another."""
    frames = strip_prefix(state_dict, ANCHOR)['patch_embed.proj.weight'].shape[2]
    return {
        'pos_embed': f'the kernel of the patches is the sum over its {frames} frames, and the positions in time are '
        'their mean: features of a clip of one step that stands still, not those of the published use, which repeats '
        'an image over all steps'
    }


FORMAT = Format(
    name='video MAE',
    about=__doc__,
    matches=matches,
    convert=convert,
    cannot_tell=cannot_tell,
)
