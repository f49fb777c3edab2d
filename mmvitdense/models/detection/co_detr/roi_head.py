"""The second stage of a two-stage detector as an auxiliary head."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmvitdense.registry import MODELS

from .positives import Candidates


@MODELS.register_module()
class CoStandardRoIHead(StandardRoIHead):
    """mmdet's `StandardRoIHead` that says what it sampled (`co_roi_head.py` of Sense-X/Co-DETR).

    Its box head has to have `reg_decoded_bbox=True`, as the targets become those of queries.

    Raises:
        ValueError: The box head has other targets.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if not self.bbox_head.reg_decoded_bbox:
            raise ValueError(
                'the box head of CoStandardRoIHead got reg_decoded_bbox=False, with which its targets are differences; '
                'expected boxes: set reg_decoded_bbox=True.'
            )

    def loss_and_candidates(
        self, x: Sequence[Tensor], proposals: Sequence[InstanceData], batch_data_samples: Sequence[DetDataSample]
    ) -> tuple[dict[str, Tensor], Candidates]:
        """Losses, and what they are of.

        Args:
            x: Maps, each B x C x H x W.
            proposals: `bboxes` and `scores` of each image.
            batch_data_samples: The samples with true boxes.

        Returns:
            The losses, and the proposals that were sampled, of each image as many as of the image with the fewest.
        """
        instances, ignored, _ = unpack_gt_instances(list(batch_data_samples))
        sampled = [self._sample(*of_image) for of_image in zip(proposals, instances, ignored)]
        found = self.bbox_loss(x, sampled)
        losses = dict(found['loss_bbox'])
        if self.with_mask:
            losses.update(self.mask_loss(x, sampled, found['bbox_feats'], instances)['loss_mask'])
        labels, _, targets, _ = self.bbox_head.get_targets(sampled, self.train_cfg, concat=False)
        count = min(len(of_image) for of_image in labels)
        boxes = [result.priors for result in sampled]
        return losses, Candidates(*([part[:count] for part in parts] for parts in (boxes, labels, targets)))

    def _sample(self, proposals: InstanceData, instances: InstanceData, ignored: InstanceData) -> SamplingResult:
        proposals = InstanceData(priors=proposals.bboxes, labels=proposals.labels, scores=proposals.scores)
        assigned = self.bbox_assigner.assign(proposals, instances, ignored)
        return self.bbox_sampler.sample(assigned, proposals, instances)
