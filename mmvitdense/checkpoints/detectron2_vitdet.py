"""ViTDet of detectron2: the ViT and its pyramid (``modeling/backbone/vit.py``), alone or in a (Cascade) Mask R-CNN."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from .detectron2_heads import rename_heads
from .implied_options import implied_options

NAME = 'detectron2 ViTDet'
ANCHOR = 'net.blocks.0.attn.qkv.weight'
# Where the convolutions to the common width stand in each level's Sequential, after the layers that change the scale.
_FIRST_CONV = {'2': 4, '3': 1, '4': 0, '5': 1}
_PYRAMID = re.compile(r'^simfp_([2345])\.(\d+)\.(.+)$')
_NET = re.compile(rf'(^|\.){re.escape(ANCHOR)}$')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the names are those of a detectron2 ViTDet, backbone alone or whole detector."""
    return any(_NET.search(name) for name in state_dict) and any('simfp_4.' in name for name in state_dict)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to 'backbone.' (PlainViT), 'neck.' (SimpleFeaturePyramid) and the heads of mmdet.

    Names that are none of these are kept as they are. Tensors that are settings, not weights, are dropped: means of
    pixels, anchors, frequencies of LVIS classes.
    """
    renamed = {}
    for name, value in state_dict.items():
        bare = name.removeprefix('backbone.')
        if bare.startswith('net.'):
            renamed[f'backbone.{bare.removeprefix("net.")}'] = value
        elif match := _PYRAMID.match(bare):
            renamed[f'neck.{_pyramid_name(*match.groups())}'] = value
        else:
            renamed[name] = value
    return rename_heads(renamed)


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of ``PlainViT``; ``known`` ones win."""
    weights = convert(state_dict)
    weights = {n.removeprefix('backbone.'): value for n, value in weights.items() if n.startswith('backbone.')}
    convolved = {int(name.split('.')[1]) for name in weights if name.startswith('blocks.') and '.residual.' in name}
    return implied_options(weights, known, conv_blocks=tuple(sorted(convolved)) or None)


def _pyramid_name(level: str, position: str, rest: str) -> str:
    index = int(level) - 2
    conv = int(position) - _FIRST_CONV[level]
    if conv < 0:
        return f'resample.{index}.{position}.{rest}'
    convs = ('lateral_convs', 'output_convs')[conv]
    return (
        f'{convs}.{index}.1.{rest.removeprefix("norm.")}' if rest.startswith('norm.') else f'{convs}.{index}.0.{rest}'
    )
