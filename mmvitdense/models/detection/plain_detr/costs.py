"""The cost of matching by differences of boxes."""

from __future__ import annotations

from mmdet.models.task_modules.assigners.match_cost import BaseMatchCost
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmengine.structures import InstanceData
from torch import Tensor

from mmvitdense.registry import TASK_UTILS

from .boxes import encode


@TASK_UTILS.register_module()
class BoxDeltaL1Cost(BaseMatchCost):
    """Sum of the absolute errors of the predicted differences (`models/matcher.py` of impiga/Plain-DETR)."""

    def __call__(
        self, pred_instances: InstanceData, gt_instances: InstanceData, img_meta: dict | None = None, **kwargs
    ) -> Tensor:
        """The cost of each pair.

        Args:
            pred_instances: `deltas` and `references` (middle and size in pixels), N x 4.
            gt_instances: `bboxes` (corners in pixels), M x 4.
            img_meta: Not used.

        Returns:
            N x M.
        """
        targets = encode(pred_instances.references[:, None], bbox_xyxy_to_cxcywh(gt_instances.bboxes)[None])
        return (pred_instances.deltas[:, None] - targets).abs().sum(dim=-1) * self.weight
