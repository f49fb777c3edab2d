"""Names of detectron2's feature pyramid network in mmdet's `FPN`."""

from __future__ import annotations

import re

from torch import Tensor

_CONV = re.compile(r'^backbone\.fpn_(lateral|output)(\d+)\.(norm\.)?(\w+)$')
_LISTS = {'lateral': 'lateral_convs', 'output': 'fpn_convs'}
_FIRST_LEVEL = 2


def rename_fpn(state_dict: dict[str, Tensor], neck: str = 'neck.', norm: str = 'bn') -> dict[str, Tensor]:
    """Rename the convolutions of an FPN with norms on levels 2 and up, and keep all other names.

    Args:
        state_dict: With names such as 'backbone.fpn_lateral2.norm.weight'.
        neck: Prefix of mmdet's `FPN`.
        norm: What mmcv's `ConvModule` calls the norms: 'bn' for batch norms.
    """
    renamed = {}
    for name, value in state_dict.items():
        if match := _CONV.match(name):
            kind, level, is_norm, rest = match.groups()
            index = int(level) - _FIRST_LEVEL
            name = f'{neck}{_LISTS[kind]}.{index}.{norm if is_norm else "conv"}.{rest}'
        renamed[name] = value
    return renamed
