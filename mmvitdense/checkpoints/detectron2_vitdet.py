"""ViTDet of detectron2: the ViT and its pyramid (``modeling/backbone/vit.py``), alone or in Mask R-CNN.

Anchors, deltas, classes and the flattening before the first linear layer have the same order in detectron2 and mmdet
(the background class is the last), so that names change and no tensor does.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from .implied_options import implied_options
from .renaming import rename

NAME = 'detectron2 ViTDet'
ANCHOR = 'net.blocks.0.attn.qkv.weight'
# Where the convolutions to the common width stand in each level's Sequential, after the layers that change the scale.
_FIRST_CONV = {'2': 4, '3': 1, '4': 0, '5': 1}
_PYRAMID = re.compile(r'^simfp_([2345])\.(\d+)\.(.+)$')
_NET = re.compile(rf'(^|\.){re.escape(ANCHOR)}$')
# Settings kept as tensors: mmdet has the means in its config, and the frequencies of LVIS classes in a file.
_SETTINGS = re.compile(r'^(pixel_(mean|std)|.*\.(fed_loss_cls_weights|freq_weight|cell_anchors\.\d+))$')
_HEADS = (
    (r'^proposal_generator\.rpn_head\.conv\.conv(\d)\.', r'rpn_head.rpn_conv.\1.conv.'),
    (r'^proposal_generator\.rpn_head\.objectness_logits\.', 'rpn_head.rpn_cls.'),
    (r'^proposal_generator\.rpn_head\.anchor_deltas\.', 'rpn_head.rpn_reg.'),
    (r'^roi_heads\.box_head\.', 'roi_head.bbox_head.'),
    (r'^roi_heads\.box_predictor\.cls_score\.', 'roi_head.bbox_head.fc_cls.'),
    (r'^roi_heads\.box_predictor\.bbox_pred\.', 'roi_head.bbox_head.fc_reg.'),
    (r'^roi_heads\.mask_head\.deconv\.', 'roi_head.mask_head.upsample.'),
    (r'^roi_heads\.mask_head\.predictor\.', 'roi_head.mask_head.conv_logits.'),
    (r'^roi_heads\.mask_head\.', 'roi_head.mask_head.'),
    (r'^(roi_head\.bbox_head\.)fc1\.', r'\1shared_fcs.0.'),
)
_HEAD_CONV = re.compile(r'^(roi_head\.(?:bbox|mask)_head\.)(?:conv|mask_fcn)(\d+)\.(norm\.)?(weight|bias)$')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the names are those of a detectron2 ViTDet, backbone alone or whole detector."""
    return any(_NET.search(name) for name in state_dict) and any('simfp_4.' in name for name in state_dict)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to 'backbone.' (PlainViT), 'neck.' (SimpleFeaturePyramid) and the heads of mmdet's Mask R-CNN.

    Names that are none of these are kept as they are. Tensors that are settings, not weights, are dropped: means of
    pixels, anchors, frequencies of LVIS classes.
    """
    renamed = {}
    for name, value in state_dict.items():
        bare = name.removeprefix('backbone.')
        if _SETTINGS.match(name):
            continue
        if bare.startswith('net.'):
            renamed[f'backbone.{bare.removeprefix("net.")}'] = value
        elif match := _PYRAMID.match(bare):
            renamed[f'neck.{_pyramid_name(*match.groups())}'] = value
        else:
            renamed[name] = value
    return {_head_conv_name(name): value for name, value in rename(renamed, _HEADS).items()}


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


def _head_conv_name(name: str) -> str:
    match = _HEAD_CONV.match(name)
    if match is None:
        return name
    head, number, norm, kind = match.groups()
    convs = 'shared_convs' if 'bbox' in head else 'convs'
    return f'{head}{convs}.{int(number) - 1}.{"ln" if norm else "conv"}.{kind}'
