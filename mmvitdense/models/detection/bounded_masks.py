"""Masks of detectors in little memory: made one after the other, and kept as run lengths.

mmdet pastes the masks of all detections of an image, and resizes those of all queries, before it looks at their scores:
100 masks on 2 megapixels are 200 MB as bits of bool, and 3 GB in the arithmetic of `MaskFormerFusionHead`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import MaskFormer
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from torch import Tensor, nn

from mmvitdense.mask_codes import MaskCode, encode

from .query_results import BoundedFusion, follows_mask_former

_PASTED_AT_ONCE = 2**28
"""Bytes of masks, and of the points where they are sampled, that a GPU works on at once."""


class RoIMasks:
    """Masks of the detections of an image as the head predicts them, to be pasted when it is known which are wanted.

    It takes the place of the N x H x W masks in mmdet's `InstanceData`.

    Args:
        probabilities: N x 1 x h x w, in the boxes.
        boxes: N x 4, x1, y1, x2, y2 in pixels of the image.
        size: (height, width) of the image.
        threshold: Probability from which a pixel is of the mask.
    """

    def __init__(self, probabilities: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float):
        self.probabilities = probabilities
        self.boxes = boxes
        self.size = size
        self.threshold = threshold

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, item: Any) -> RoIMasks:
        return RoIMasks(self.probabilities[item], self.boxes[item], self.size, self.threshold)

    def cat(self, parts: list[RoIMasks]) -> RoIMasks:
        """Those of all parts, for mmengine."""
        probabilities, boxes = (
            torch.cat([getattr(part, name) for part in parts]) for name in ('probabilities', 'boxes')
        )
        return RoIMasks(probabilities, boxes, self.size, self.threshold)

    def codes(self) -> Iterator[MaskCode]:
        """Paste, the pixels being those of `FCNMaskHead`: on the CPU one after the other, on a GPU a few at once."""
        height, width = self.size
        on_cpu = self.boxes.device.type == 'cpu'
        at_once = 1 if on_cpu else max(1, _PASTED_AT_ONCE // (12 * height * width))
        for start in range(0, len(self), at_once):
            some = slice(start, start + at_once)
            pasted, place = _do_paste_mask(self.probabilities[some], self.boxes[some], height, width, skip_empty=on_cpu)
            top, left = (int(part.start) for part in place) if place else (0, 0)
            for mask in (pasted >= self.threshold).cpu().numpy():
                yield encode(mask, self.size, left, top)


def bound_masks(model: nn.Module) -> BoundedFusion | None:
    """Let the heads of a detector, built by the caller, defer or encode their masks instead of making them all at once.

    Afterwards `masks` of its `pred_instances` is `RoIMasks` where a head has the prediction of `FCNMaskHead`
    (those of Mask and Cascade R-CNN), and a list of run-length codes where the model has that of `MaskFormer`. Boxes,
    scores, labels and the pixels of the masks are those of mmdet. Other heads are left as they are.

    Returns:
        Of a `MaskFormer` what its `score_thr` is set on; else None.
    """
    for module in model.modules():
        own = isinstance(module, FCNMaskHead) and type(module)._predict_by_feat_single
        if own is FCNMaskHead._predict_by_feat_single:
            module._predict_by_feat_single = MethodType(_predict_later, module)
    if isinstance(model, MaskFormer) and follows_mask_former(model):
        fusion = BoundedFusion(model)
        model.predict = fusion.predict
        return fusion
    return None


def _predict_later(
    head: FCNMaskHead,
    mask_preds: Any,
    bboxes: Tensor,
    labels: Tensor,
    img_meta: dict,
    rcnn_test_cfg: Any,
    rescale: bool = False,
    activate_map: bool = False,
) -> Any:
    """`FCNMaskHead._predict_by_feat_single` without the pasting."""
    if rcnn_test_cfg.mask_thr_binary < 0:  # probabilities as grey values, for looking at them
        return FCNMaskHead._predict_by_feat_single(
            head, mask_preds, bboxes, labels, img_meta, rcnn_test_cfg, rescale, activate_map
        )
    scale = bboxes.new_tensor(img_meta['scale_factor']).repeat((1, 2))
    height, width = img_meta['ori_shape'][:2]
    if rescale:
        bboxes /= scale  # in place, as there: the boxes of the result are these
    else:
        height, width = (int(np.round(side * part.item())) for side, part in zip((height, width), scale[0, [1, 0]]))
    mask_preds = torch.as_tensor(mask_preds, device=bboxes.device)
    if not head.class_agnostic:
        mask_preds = mask_preds[range(len(mask_preds)), labels][:, None]
    mask_preds = mask_preds.float() if activate_map else mask_preds.float().sigmoid()
    return RoIMasks(mask_preds, bboxes.float().clone(), (int(height), int(width)), rcnn_test_cfg.mask_thr_binary)
