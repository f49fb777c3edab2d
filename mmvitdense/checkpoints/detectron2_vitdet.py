"""ViTDet of detectron2: the ViT and its simple feature pyramid (``modeling/backbone/vit.py``)."""

from __future__ import annotations

import re

from torch import Tensor

NAME = 'detectron2 ViTDet'
# Where the convolutions to the common width stand in each level's Sequential, after the layers that change the scale.
_FIRST_CONV = {'2': 4, '3': 1, '4': 0, '5': 1}
_PYRAMID = re.compile(r'^simfp_([2345])\.(\d+)\.(.+)$')
_NET = re.compile(r'(^|\.)net\.blocks\.0\.attn\.qkv\.weight$')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the names are those of a detectron2 ViTDet, backbone alone or whole detector."""
    return any(_NET.search(name) for name in state_dict) and any('simfp_4.' in name for name in state_dict)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to 'backbone.' (PlainViT) and 'neck.' (SimpleFeaturePyramid); other names are kept as they are."""
    renamed = {}
    for name, value in state_dict.items():
        bare = name.removeprefix('backbone.')
        if bare.startswith('net.'):
            renamed[f'backbone.{bare.removeprefix("net.")}'] = value
        elif match := _PYRAMID.match(bare):
            renamed[f'neck.{_pyramid_name(*match.groups())}'] = value
        else:
            renamed[name] = value
    return renamed


def _pyramid_name(level: str, position: str, rest: str) -> str:
    index = int(level) - 2
    conv = int(position) - _FIRST_CONV[level]
    if conv < 0:
        return f'resample.{index}.{position}.{rest}'
    convs = ('lateral_convs', 'output_convs')[conv]
    return (
        f'{convs}.{index}.1.{rest.removeprefix("norm.")}' if rest.startswith('norm.') else f'{convs}.{index}.0.{rest}'
    )
