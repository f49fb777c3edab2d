"""ViTDet of detectron2: the ViT and its pyramid (`modeling/backbone/vit.py`), alone or in a (Cascade) Mask R-CNN."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from mmvitdense.layers.positions.table_rows import square_table

from .contract import Format
from .parts.detectron2_heads import rename_heads
from .parts.implied_options import implied_options
from .parts.window_plan import guessed_windows, windows_of_vitdet

ANCHOR = 'net.blocks.0.attn.qkv.weight'
_PYRAMID = re.compile(r'^simfp_(\d+)\.(\d+)\.(.+)$')
_LEVEL = re.compile(r'(^|\.)simfp_\d+\.\d+\.')
_VIT = 'backbone.net.'
_NET = re.compile(rf'(^|\.){re.escape(ANCHOR)}$')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the names are those of a detectron2 ViTDet: backbone alone, whole detector, or its ViT alone."""
    if not any(_NET.search(name) for name in state_dict):
        return False
    return any(_LEVEL.search(name) for name in state_dict) or _is_vit_alone(state_dict)


def _is_vit_alone(state_dict: dict[str, Tensor]) -> bool:
    """Whether all is of detectron2's `ViT`, which has neither a class token nor a last norm."""
    if not all(name.startswith(_VIT) for name in state_dict):
        return False
    return not {f'{_VIT}cls_token', f'{_VIT}norm.weight'} & state_dict.keys()


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to 'backbone.' (PlainViT), 'neck.' (SimpleFeaturePyramid) and the heads of mmdet.

    Names that are none of these are kept as they are. Tensors that are settings, not weights, are dropped: means of
    pixels, anchors, frequencies of LVIS classes.
    """
    renamed = {}
    matched = [match.groups() for name in state_dict if (match := _PYRAMID.match(name.removeprefix('backbone.')))]
    levels = _first_convs(matched)
    for name, value in state_dict.items():
        bare = name.removeprefix('backbone.')
        if bare.startswith('net.'):
            renamed[f'backbone.{bare.removeprefix("net.")}'] = value
        elif match := _PYRAMID.match(bare):
            level, position, rest = match.groups()
            renamed[f'neck.{_pyramid_name(levels[level], position, rest)}'] = value
        else:
            renamed[name] = value
    return rename_heads(renamed)


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of `PlainViT`; `known` ones win."""
    return vitdet_options(_vit(state_dict), known)


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The windows, unless the lengths of tables of relative positions show them."""
    return guessed_windows(_vit(state_dict))


def vitdet_options(weights: dict[str, Tensor], given: dict[str, Any]) -> dict[str, Any]:
    """Options of the ViT of a detector, from names of `PlainViT`; `given` ones win."""
    square = square_table(weights['pos_embed'].shape[1]) if 'pos_embed' in weights else None
    known = {} if 'window_size' in given else windows_of_vitdet(weights, square and square[0])
    return implied_options(weights, given, **known)


def _vit(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = convert(state_dict)
    return {n.removeprefix('backbone.'): value for n, value in weights.items() if n.startswith('backbone.')}


def _first_convs(pyramid: list[tuple[str, str, str]]) -> dict[str, tuple[int, int]]:
    """{level: its index, and where its two convolutions to the common width begin}.

    A level is called by the logarithm of its stride, which depends on the patch and the scale. The two convolutions
    are the last of its layers that have weights.
    """
    numbers: dict[str, set[int]] = {}
    for level, position, _ in pyramid:
        numbers.setdefault(level, set()).add(int(position))
    ordered = sorted(numbers, key=int)
    return {level: (index, sorted(numbers[level])[-2:][0]) for index, level in enumerate(ordered)}


def _pyramid_name(level: tuple[int, int], position: str, rest: str) -> str:
    index, first_conv = level
    conv = int(position) - first_conv
    if conv < 0:
        return f'resample.{index}.{position}.{rest}'
    convs = ('lateral_convs', 'output_convs')[conv]
    return (
        f'{convs}.{index}.1.{rest.removeprefix("norm.")}' if rest.startswith('norm.') else f'{convs}.{index}.0.{rest}'
    )


FORMAT = Format(
    name='detectron2 ViTDet',
    about=__doc__,
    matches=matches,
    convert=convert,
    own_options=options,
    cannot_tell=cannot_tell,
)
