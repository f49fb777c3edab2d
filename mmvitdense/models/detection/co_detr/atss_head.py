"""ATSS as an auxiliary head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import ATSSHead
from mmdet.models.utils import multi_apply, unpack_gt_instances
from mmdet.structures import DetDataSample
from mmdet.utils import reduce_mean
from torch import Tensor

from mmvitdense.registry import MODELS

from .positives import Candidates


@MODELS.register_module()
class CoATSSHead(ATSSHead):
    """mmdet's `ATSSHead` that says what it assigned (`co_atss_head.py` of Sense-X/Co-DETR).

    Raises:
        ValueError: `reg_decoded_bbox` is False, with which targets are no boxes.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if not self.reg_decoded_bbox:
            raise ValueError(
                'CoATSSHead got reg_decoded_bbox=False, with which its targets are differences; expected boxes: set '
                'reg_decoded_bbox=True.'
            )

    def loss_and_candidates(
        self, x: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample]
    ) -> tuple[dict[str, list[Tensor]], Candidates]:
        """Losses as `loss_by_feat` has them, and the anchors of each image.

        Args:
            x: Maps, each B x C x H x W.
            batch_data_samples: The samples with true boxes.
        """
        instances, ignored, metas = unpack_gt_instances(list(batch_data_samples))
        outputs = self(x)
        sizes, device = [scores.shape[-2:] for scores in outputs[0]], x[0].device
        if len(sizes) != self.prior_generator.num_levels:
            raise ValueError(
                f'CoATSSHead got {len(sizes)} maps and anchors of {self.prior_generator.num_levels} strides; expected '
                'as many: give anchor_generator a stride for each map of the neck and one more.'
            )
        anchors, valid = self.get_anchors(sizes, metas, device=device)
        # All by level from here on, each B x n x ...
        anchors, labels, label_weights, targets, _, total = self.get_targets(
            anchors, valid, instances, metas, batch_gt_instances_ignore=ignored
        )
        total = reduce_mean(torch.tensor(total, dtype=torch.float, device=device)).item()
        loss_cls, loss_bbox, loss_centerness, weights = multi_apply(
            self.loss_by_feat_single, anchors, *outputs, labels, label_weights, targets, avg_factor=total
        )
        total = reduce_mean(sum(weights)).clamp(min=1).item()
        losses = {
            'loss_cls': loss_cls,
            'loss_bbox': [loss / total for loss in loss_bbox],
            'loss_centerness': loss_centerness,
        }
        return losses, Candidates(*(torch.cat(levels, dim=1).unbind() for levels in (anchors, labels, targets)))
