"""Losses of MaskFormer and Mask2Former under autocast, in float32 as in the releases of both.

mmdet computes them in the type of the predictions, and the number that divides the loss of the masks, masks times
points, in the type of the class scores. 6 masks x 12544 points are more than float16 holds: the divisor is infinite,
and the loss 0 or NaN. In bfloat16 that product is off by up to 0.4 %.
"""

import functools
from types import ModuleType
from typing import Any

from .import_hooks import after_import

MODULES = ('mmdet.models.dense_heads.maskformer_head', 'mmdet.models.dense_heads.mask2former_head')
_CLASSES = {'maskformer_head': 'MaskFormerHead', 'mask2former_head': 'Mask2FormerHead'}


def register() -> None:
    for module in MODULES:
        after_import(module, _compute_in_float32)


def _compute_in_float32(module: ModuleType) -> None:
    import torch

    head = getattr(module, _CLASSES[module.__name__.rpartition('.')[2]])
    losses = head._loss_by_feat_single

    @functools.wraps(losses)
    def in_float32(self: Any, cls_scores: torch.Tensor, mask_preds: torch.Tensor, *others: Any) -> Any:
        with torch.autocast(cls_scores.device.type, enabled=False):
            return losses(self, cls_scores.float(), mask_preds.float(), *others)

    head._loss_by_feat_single = in_float32
