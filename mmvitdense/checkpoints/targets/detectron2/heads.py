"""Names of the pyramid of ViTDet, of the RPN and of the heads of (Cascade) Mask R-CNN in detectron2.

The way back of `formats.detectron2_vitdet` and `formats.parts.detectron2_heads`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.targets.contract import Weights

AROUND = ('neck.', 'rpn_head.', 'roi_head.')
"""Starts of names of what stands around the ViT in a detector."""

_RESAMPLE = re.compile(r'^neck\.resample\.(\d+)\.(\d+)\.')
_LEVEL = re.compile(r'^neck\.(lateral_convs|output_convs)\.(\d+)\.([01])\.(\w+)$')
# Layers before the two convolutions of a level, and its scale, by the last of these layers that has weights.
_LAYERS_OF_SCALE = {3: (4, 4), 0: (1, 2)}
_SHARED = re.compile(r'^roi_head\.(bbox_head\.(?:\d\.)?)shared_convs\.(\d+)\.(conv|ln)\.')
_MASK = re.compile(r'^roi_head\.mask_head\.convs\.(\d+)\.(conv|ln)\.')
_CLASSIFIER = re.compile(r'^roi_heads\.box_predictor\.(\d\.)?cls_score\.(weight|bias)$')
_RULES = (
    (r'^rpn_head\.rpn_conv\.(\d)\.conv\.', r'proposal_generator.rpn_head.conv.conv\1.'),
    (r'^rpn_head\.rpn_conv\.(?=weight|bias)', 'proposal_generator.rpn_head.conv.'),
    (r'^rpn_head\.rpn_cls\.', 'proposal_generator.rpn_head.objectness_logits.'),
    (r'^rpn_head\.rpn_reg\.', 'proposal_generator.rpn_head.anchor_deltas.'),
    (r'^roi_head\.bbox_head\.((?:\d\.)?)shared_fcs\.0\.', r'roi_heads.box_head.\1fc1.'),
    (r'^roi_head\.bbox_head\.((?:\d\.)?)shared_fcs\.1\.', r'roi_heads.box_head.\1fc2.'),
    (r'^roi_head\.bbox_head\.((?:\d\.)?)fc_cls\.', r'roi_heads.box_predictor.\1cls_score.'),
    (r'^roi_head\.bbox_head\.((?:\d\.)?)fc_reg\.', r'roi_heads.box_predictor.\1bbox_pred.'),
    (r'^roi_head\.mask_head\.upsample\.', 'roi_heads.mask_head.deconv.'),
    (r'^roi_head\.mask_head\.conv_logits\.', 'roi_heads.mask_head.predictor.'),
)


def around_names(weights: Weights, patch_size: int) -> Weights:
    """Rename pyramid and heads.

    Args:
        weights: Names of mmdet and of `SimpleFeaturePyramid`.
        patch_size: Of the ViT, from which the levels have their names.

    Raises:
        CheckpointError: Something is not of detectron2's ViTDet, (Cascade) Mask R-CNN.
    """
    levels = _levels(weights, patch_size)
    renamed = {_box_or_mask_conv(_pyramid_name(name, levels)): tensor for name, tensor in weights.items()}
    renamed = rename(renamed, _RULES)
    if unknown := [name for name in renamed if name.startswith(AROUND)]:
        raise CheckpointError(
            f'detectron2 has no {unknown[0]} in its ViTDet with (Cascade) Mask R-CNN: write the layout of mmvitdense'
        )
    return _with_background(renamed)


def _with_background(weights: Weights) -> Weights:
    """A row of zeros for the background in classifiers of the federated loss, which detectron2 has and does not use.

    Such a classifier has as many rows as there are masks, one for each class.
    """
    masks = weights.get('roi_heads.mask_head.predictor.bias')
    found = dict(weights)
    for name, tensor in weights.items():
        if masks is not None and _CLASSIFIER.match(name) and len(tensor) == len(masks):
            found[name] = torch.cat([tensor, tensor.new_zeros(1, *tensor.shape[1:])])
    return found


def _levels(names: Iterable[str], patch_size: int) -> dict[str, tuple[str, int]]:
    """{index of a level: its name, and where its convolutions begin}; those without layers are of scale 1, 1/2, ..."""
    names = list(names)
    indices = sorted({int(match[2]) for name in names if (match := _LEVEL.match(name))})
    last = {}
    for name in names:
        if match := _RESAMPLE.match(name):
            last[int(match[1])] = max(int(match[2]), last.get(int(match[1]), 0))
    found = {}
    poolings = 0
    for index in indices:
        if index in last:
            first, scale = _LAYERS_OF_SCALE[last[index]]
        else:
            first, scale = poolings, 0.5**poolings
            poolings += 1
        found[str(index)] = (f'simfp_{int(math.log2(int(patch_size / scale)))}', first)
    return found


def _pyramid_name(name: str, levels: dict[str, tuple[str, int]]) -> str:
    if match := _RESAMPLE.match(name):
        return f'backbone.{levels[match[1]][0]}.{match[2]}.{name[match.end() :]}'
    if match := _LEVEL.match(name):
        kind, index, part, rest = match.groups()
        level, first = levels[index]
        norm = 'norm.' if part == '1' else ''
        return f'backbone.{level}.{first + (kind == "output_convs")}.{norm}{rest}'
    return name


def _box_or_mask_conv(name: str) -> str:
    if match := _SHARED.match(name):
        head = match[1].replace('bbox_head', 'box_head')
        return f'roi_heads.{head}conv{int(match[2]) + 1}.{"norm." if match[3] == "ln" else ""}{name[match.end() :]}'
    if match := _MASK.match(name):
        return (
            f'roi_heads.mask_head.mask_fcn{int(match[1]) + 1}.{"norm." if match[2] == "ln" else ""}'
            f'{name[match.end() :]}'
        )
    return name
