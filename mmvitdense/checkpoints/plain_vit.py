"""Checkpoints of this project: a ``PlainViT`` alone or the 'backbone.' of a trained detector or segmentor."""

from __future__ import annotations

from torch import Tensor

NAME = 'mmvitdense'


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether this is a model of this project: a ``backbone.`` with timm's names beside a neck or head."""
    parts = {name.split('.')[0] for name in state_dict}
    return 'backbone.blocks.0.attn.qkv.weight' in state_dict and bool(
        parts & {'neck', 'rpn_head', 'roi_head', 'bbox_head', 'decode_head', 'panoptic_head'}
    )


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the checkpoint as it is."""
    return dict(state_dict)
