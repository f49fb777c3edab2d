"""The head of the queries of Co-DETR."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.ops import batched_nms
from mmdet.models.dense_heads import DINOHead
from mmdet.models.layers import inverse_sigmoid
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from mmvitdense.registry import MODELS

from .positives import PositiveQueries

# Of the inverse of the sigmoid, in the decoder and here; mmdet 3 has 1e-5 here.
_EPS = 1e-3


@MODELS.register_module()
class CoDINOHead(DINOHead):
    """mmdet's `DINOHead` that also learns from queries which the auxiliary heads chose, and suppresses duplicates.

    As in `co_dino_head.py` of Sense-X/Co-DETR. `loss_cls` is the quality focal loss there, whose target is the
    overlap of the predicted box with the true one. With `nms` in `test_cfg` as many scores as there are queries
    stay before it and `max_per_img` after it; without it `max_per_img` scores stay.
    """

    def forward(self, hidden_states: Tensor, references: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Predict from every layer of the decoder.

        Args:
            hidden_states: L x B x N x C.
            references: The boxes before each layer, B x N x 4, and those after the last, which are not used.

        Returns:
            Logits, L x B x N x classes, and boxes (centre and size, of an image of side one), L x B x N x 4.
        """
        scores, boxes = [], []
        for states, reference, classify, regress in zip(
            hidden_states, references, self.cls_branches, self.reg_branches
        ):
            scores.append(classify(states))
            boxes.append((regress(states) + inverse_sigmoid(reference, eps=_EPS)).sigmoid())
        return torch.stack(scores), torch.stack(boxes)

    def loss_positives(
        self,
        hidden_states: Tensor,
        references: Sequence[Tensor],
        queries: PositiveQueries,
        image_sizes: Sequence[tuple[int, int]],
    ) -> dict[str, Tensor]:
        """Losses of a pass of the decoder over queries that know what they are to predict.

        Args:
            hidden_states: See `forward`.
            references: See `forward`.
            queries: The queries of that pass.
            image_sizes: Height and width of each image in pixels.

        Returns:
            'loss_cls_aux', 'loss_bbox_aux' and 'loss_iou_aux' of the last layer, with 'd0.' and so on of the others.
        """
        losses = {}
        last = len(hidden_states) - 1
        for layer, (scores, boxes) in enumerate(zip(*self(hidden_states, references))):
            prefix = '' if layer == last else f'd{layer}.'
            found = self._losses_of_layer(scores, boxes, queries, image_sizes)
            losses.update({f'{prefix}loss_{name}_aux': loss for name, loss in found.items()})
        return losses

    def _losses_of_layer(
        self, scores: Tensor, boxes: Tensor, queries: PositiveQueries, image_sizes: Sequence[tuple[int, int]]
    ) -> dict[str, Tensor]:
        scores, boxes = scores.flatten(0, 1), boxes.flatten(0, 1)
        labels, targets = queries.labels.flatten(), queries.targets.flatten(0, 1)
        box_weights = queries.box_weights.flatten(0, 1)
        positives = ((labels >= 0) & (labels < self.num_classes)).nonzero().flatten()
        num_negatives = len(labels) - len(positives)
        # Of all processes, as in the losses of the other queries.
        total = self._mean(scores, len(positives) + num_negatives * self.bg_cls_weight, self.sync_cls_avg_factor)
        qualities = scores.new_zeros(labels.shape)
        qualities[positives] = bbox_overlaps(
            *(bbox_cxcywh_to_xyxy(part[positives]) for part in (boxes.detach(), targets)), is_aligned=True
        ).to(qualities)
        loss_cls = self.loss_cls(scores, (labels, qualities), queries.label_weights.flatten(), avg_factor=total)
        total = self._mean(scores, len(positives), True)
        sides = boxes.new_tensor([(width, height, width, height) for height, width in image_sizes])
        sides = sides.repeat_interleave(queries.labels.shape[1], dim=0)
        pixels = (bbox_cxcywh_to_xyxy(part) * sides for part in (boxes, targets))
        return {
            'cls': loss_cls,
            'bbox': self.loss_bbox(boxes, targets, box_weights, avg_factor=total),
            'iou': self.loss_iou(*pixels, box_weights, avg_factor=total),
        }

    @staticmethod
    def _mean(like: Tensor, count: float, over_processes: bool) -> float:
        """The count, or its mean over all processes, at least one."""
        if over_processes:
            count = reduce_mean(like.new_tensor([count])).item()
        return max(count, 1.0)

    @torch.no_grad()
    def boxes_in_training(
        self, hidden_states: Tensor, references: Sequence[Tensor], metas: Sequence[dict]
    ) -> list[InstanceData]:
        """The `max_per_img` best boxes of each image in pixels of the input, with duplicates, those of denoising too.

        Args:
            hidden_states: See `forward`.
            references: See `forward`.
            metas: Meta data of each image.
        """
        scores, boxes = self(hidden_states, references)
        return [self._best_boxes(*of_image, rescale=False, nms=None) for of_image in zip(scores[-1], boxes[-1], metas)]

    def _predict_by_feat_single(
        self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict, rescale: bool = True
    ) -> InstanceData:
        """Boxes of one image (corners in pixels), from logits, N x classes, and boxes, N x 4."""
        return self._best_boxes(cls_score, bbox_pred, img_meta, rescale, self.test_cfg.get('nms'))

    def _best_boxes(
        self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict, rescale: bool, nms: dict | None
    ) -> InstanceData:
        most = self.test_cfg.get('max_per_img', len(cls_score))
        kept = min(len(cls_score) if nms else most, cls_score.numel())
        scores, indices = cls_score.sigmoid().flatten().topk(kept)
        labels, boxes = indices % self.num_classes, bbox_pred[indices // self.num_classes]
        valid = scores > self.test_cfg.get('score_thr', 0)
        scores, labels, boxes = scores[valid], labels[valid], boxes[valid]
        height, width = img_meta['img_shape'][:2]
        sides = boxes.new_tensor([width, height, width, height])
        boxes = (bbox_cxcywh_to_xyxy(boxes) * sides).clamp(min=boxes.new_zeros(4), max=sides)
        if rescale:
            boxes = boxes / boxes.new_tensor(img_meta['scale_factor']).repeat(2)
        if nms:
            found, order = batched_nms(boxes, scores, labels, nms)
            boxes, scores, labels = found[:most, :4], found[:most, 4], labels[order][:most]
        return InstanceData(bboxes=boxes, scores=scores, labels=labels)
