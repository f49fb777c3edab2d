"""Names of detectron2's RPN, box heads and mask head in mmdet, for Mask R-CNN and cascades of it.

Anchors, deltas, classes and the flattening before the first linear layer have the same order in detectron2 and mmdet
(the background class is the last), so that names change and no tensor does.
"""

from __future__ import annotations

import re

from torch import Tensor

from .renaming import rename

_FREQUENCIES = re.compile(r'^(roi_heads\.box_predictor\.(?:\d\.)?)(?:fed_loss_cls_weights|freq_weight)$')
# Settings kept as tensors: mmdet has the means in its config, and the frequencies of LVIS classes in a file.
_SETTINGS = re.compile(r'^(pixel_(mean|std)|.*\.(fed_loss_cls_weights|freq_weight|cell_anchors\.\d+))$')
# Box heads and predictors of a cascade have the number of their stage.
_RENAMES = (
    (r'^proposal_generator\.rpn_head\.conv\.conv(\d)\.', r'rpn_head.rpn_conv.\1.conv.'),
    (r'^proposal_generator\.rpn_head\.conv\.(?=weight|bias)', 'rpn_head.rpn_conv.'),
    (r'^proposal_generator\.rpn_head\.objectness_logits\.', 'rpn_head.rpn_cls.'),
    (r'^proposal_generator\.rpn_head\.anchor_deltas\.', 'rpn_head.rpn_reg.'),
    (r'^roi_heads\.box_head\.((?:\d\.)?)fc1\.', r'roi_head.bbox_head.\1shared_fcs.0.'),
    (r'^roi_heads\.box_head\.((?:\d\.)?)fc2\.', r'roi_head.bbox_head.\1shared_fcs.1.'),
    (r'^roi_heads\.box_head\.', 'roi_head.bbox_head.'),
    (r'^roi_heads\.box_predictor\.((?:\d\.)?)cls_score\.', r'roi_head.bbox_head.\1fc_cls.'),
    (r'^roi_heads\.box_predictor\.((?:\d\.)?)bbox_pred\.', r'roi_head.bbox_head.\1fc_reg.'),
    (r'^roi_heads\.mask_head\.deconv\.', 'roi_head.mask_head.upsample.'),
    (r'^roi_heads\.mask_head\.predictor\.', 'roi_head.mask_head.conv_logits.'),
    (r'^roi_heads\.mask_head\.', 'roi_head.mask_head.'),
)
_CONV = re.compile(r'^(roi_head\.(?:bbox|mask)_head\.(?:\d\.)?)(?:conv|mask_fcn)(\d+)\.(norm\.)?(\w+)$')


def rename_heads(state_dict: dict[str, Tensor], norm: str = 'ln') -> dict[str, Tensor]:
    """Rename the heads and keep all other names; drop settings that are tensors.

    A classifier of LVIS trained with the federated loss has a last row, of the background, that is not used: it is
    dropped, as our loss has one logit for each class.

    Args:
        state_dict: With names such as 'proposal_generator.rpn_head.anchor_deltas.weight'.
        norm: What mmcv's `ConvModule` calls the norms of box and mask head: 'ln' for `LayerNorm2d`, 'bn' for
            batch norms.
    """
    weights = {name: value for name, value in state_dict.items() if not _SETTINGS.match(name)}
    for predictor, num_classes in _federated_predictors(state_dict):
        for name in (f'{predictor}cls_score.weight', f'{predictor}cls_score.bias'):
            if name in weights and len(weights[name]) == num_classes + 1:
                weights[name] = weights[name][:num_classes]
    return {_conv_name(name, norm): value for name, value in rename(weights, _RENAMES).items()}


def _federated_predictors(state_dict: dict[str, Tensor]) -> list[tuple[str, int]]:
    """Prefix and number of classes of the box predictors that keep frequencies of classes."""
    matched = ((_FREQUENCIES.match(name), value) for name, value in state_dict.items())
    return [(match[1], len(value)) for match, value in matched if match]


def _conv_name(name: str, norm_name: str) -> str:
    match = _CONV.match(name)
    if match is None:
        return name
    head, number, norm, kind = match.groups()
    convs = 'shared_convs' if 'bbox' in head else 'convs'
    return f'{head}{convs}.{int(number) - 1}.{norm_name if norm else "conv"}.{kind}'
