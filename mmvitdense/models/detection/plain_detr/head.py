"""The head of Plain-DETR: boxes in pixels, matched one to one and one to many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from mmvitdense.registry import MODELS

from .boxes import decode, encode


@dataclass(frozen=True)
class BoxOutputs:
    """What some queries or proposals predict.

    Attributes:
        scores: Logits, B x N x classes.
        boxes: Middle and size in pixels, B x N x 4.
        references: The boxes that these were made of, B x N x 4.
        deltas: The differences that were added to them, B x N x 4.
    """

    scores: Tensor
    boxes: Tensor
    references: Tensor
    deltas: Tensor

    def split(self, number: int) -> tuple[BoxOutputs, BoxOutputs]:
        """The first so many of each image, and the others."""
        parts = (self.scores, self.boxes, self.references, self.deltas)
        return BoxOutputs(*(part[:, :number] for part in parts)), BoxOutputs(*(part[:, number:] for part in parts))

    def of_image(self, index: int) -> InstanceData:
        """Those of an image for an assigner, without gradients."""
        return InstanceData(
            scores=self.scores[index].detach().float(),
            bboxes=bbox_cxcywh_to_xyxy(self.boxes[index].detach()),
            references=self.references[index].detach(),
            deltas=self.deltas[index].detach(),
        )


@MODELS.register_module()
class PlainDETRHead(DeformableDETRHead):
    """mmdet's `DeformableDETRHead` with boxes in pixels and the hybrid matching of H-DETR.

    Losses as in `models/detr.py` and `engine.py` of impiga/Plain-DETR: the focal loss, the absolute error of the
    differences to the boxes of the layer before, and GIoU of the boxes, each divided by the number of true boxes; of
    every layer, and of the proposals ('enc_'), for which all objects are of class 0. The other queries ('_one2many')
    are matched to the true boxes repeated. As published, the gradients of the boxes of a layer reach those of the layer
    before (look forward twice), by the targets of the differences too.

    Args:
        num_repeats: How often each true box is repeated for the other queries.
        one2many_weight: Weight of their losses.
        kwargs: As for mmdet's `DeformableDETRHead`.
    """

    def __init__(self, *args, num_repeats: int = 6, one2many_weight: float = 1.0, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.num_repeats, self.one2many_weight = num_repeats, one2many_weight

    def forward(
        self, hidden_states: Tensor, references: Sequence[Tensor], deltas: Sequence[Tensor], limits: Tensor
    ) -> list[BoxOutputs]:
        """Predict from every layer of the decoder.

        Args:
            hidden_states: L x B x Q x C.
            references: The boxes before the first layer and after each, L + 1 of B x Q x 4.
            deltas: The differences between them, L of B x Q x 4.
            limits: Width and height of the images in pixels, B x 2.
        """
        found = []
        for index, (states, reference, difference) in enumerate(zip(hidden_states, references, deltas)):
            boxes = decode(reference, difference, limits)
            found.append(BoxOutputs(self.cls_branches[index](states), boxes, reference, difference))
        return found

    def propose(self, features: Tensor, anchors: Tensor, limits: Tensor) -> BoxOutputs:
        """What the last branches make of features, B x N x C, and anchors, B x N x 4."""
        deltas = self.reg_branches[-1](features).to(anchors)
        return BoxOutputs(self.cls_branches[-1](features), decode(anchors, deltas, limits), anchors, deltas)

    def loss(
        self,
        hidden_states: Tensor,
        references: Sequence[Tensor],
        deltas: Sequence[Tensor],
        limits: Tensor,
        proposals: BoxOutputs,
        num_one2one: int,
        batch_data_samples: Sequence[DetDataSample],
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            hidden_states, references, deltas, limits: See `forward`.
            proposals: What `propose` gave.
            num_one2one: Number of queries that are matched one to one, which come first.
            batch_data_samples: The samples with true boxes.
        """
        instances = [sample.gt_instances for sample in batch_data_samples]
        repeated = [InstanceData.cat([objects] * self.num_repeats) for objects in instances]
        losses = {
            f'enc_{name}': loss for name, loss in self._losses(proposals, [_of_class_0(x) for x in instances]).items()
        }
        outputs = self(hidden_states, references, deltas, limits)
        for index, layer in enumerate(outputs):
            prefix = '' if index == len(outputs) - 1 else f'd{index}.'
            one2one, one2many = layer.split(num_one2one)
            losses.update({f'{prefix}{name}': loss for name, loss in self._losses(one2one, instances).items()})
            if one2many.scores.shape[1]:
                found = self._losses(one2many, repeated)
                losses.update({f'{prefix}{name}_one2many': loss * self.one2many_weight for name, loss in found.items()})
        return losses

    def predict(
        self,
        hidden_states: Tensor,
        references: Sequence[Tensor],
        deltas: Sequence[Tensor],
        limits: Tensor,
        batch_data_samples: Sequence[DetDataSample],
        rescale: bool = True,
    ) -> list[InstanceData]:
        """The best pairs of box and class of each image, from the last layer.

        Args:
            hidden_states, references, deltas, limits: See `forward`.
            batch_data_samples: The samples.
            rescale: Whether boxes are in pixels of the original images.
        """
        scores = self.cls_branches[len(hidden_states) - 1](hidden_states[-1]).float()
        metas = [sample.metainfo for sample in batch_data_samples]
        return [self._predict_by_feat_single(*of_image, rescale) for of_image in zip(scores, references[-1], metas)]

    def _predict_by_feat_single(
        self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict, rescale: bool = True
    ) -> InstanceData:
        """Those of an image, from logits, N x classes, and boxes (middle and size in pixels), N x 4."""
        most = min(self.test_cfg.get('max_per_img', len(cls_score)), cls_score.numel())
        scores, indices = cls_score.sigmoid().flatten().topk(most)
        boxes = bbox_cxcywh_to_xyxy(bbox_pred[indices // self.num_classes])
        height, width = img_meta['img_shape'][:2]
        boxes = boxes.clamp(min=0).clamp(max=boxes.new_tensor([width, height, width, height]))
        if rescale:
            boxes = boxes / boxes.new_tensor(img_meta['scale_factor']).repeat(2)
        return InstanceData(bboxes=boxes, scores=scores, labels=indices % self.num_classes)

    def _losses(self, outputs: BoxOutputs, instances: Sequence[InstanceData]) -> dict[str, Tensor]:
        """Losses of the predictions of a batch, matched to the objects of each image."""
        labels, positives, targets = self._matched(outputs, instances)
        total = reduce_mean(outputs.boxes.new_tensor([sum(map(len, instances))])).clamp(min=1).item()
        scores = outputs.scores.float().flatten(0, 1)
        references, deltas, boxes = (
            part.flatten(0, 1)[positives] for part in (outputs.references, outputs.deltas, outputs.boxes)
        )
        return {
            'loss_cls': self.loss_cls(scores, labels, avg_factor=total),
            'loss_bbox': self.loss_bbox(deltas, encode(references, targets), avg_factor=total),
            'loss_iou': self.loss_iou(*map(bbox_cxcywh_to_xyxy, (boxes, targets)), avg_factor=total),
        }

    @torch.no_grad()
    def _matched(self, outputs: BoxOutputs, instances: Sequence[InstanceData]) -> tuple[Tensor, Tensor, Tensor]:
        """Labels of all predictions, B*N; which of them have an object, P; and the boxes of these, P x 4."""
        labels, positives, targets = [], [], []
        for index, objects in enumerate(instances):
            predicted = outputs.of_image(index)
            assigned = self.assigner.assign(predicted, objects).gt_inds
            of_image = (assigned > 0).nonzero().flatten()
            chosen = assigned[of_image] - 1
            labels.append(objects.labels.new_full((len(predicted),), self.num_classes))
            labels[-1][of_image] = objects.labels[chosen]
            positives.append(of_image + index * len(predicted))
            targets.append(bbox_xyxy_to_cxcywh(objects.bboxes[chosen]))
        return torch.cat(labels), torch.cat(positives), torch.cat(targets)


def _of_class_0(instances: InstanceData) -> InstanceData:
    return InstanceData(bboxes=instances.bboxes, labels=torch.zeros_like(instances.labels))
