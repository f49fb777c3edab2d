"""The cascade of detectron2: box heads in stages, one mask head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import PseudoSampler, SamplingResult
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox2roi, scale_boxes
from mmengine.model import ModuleList
from mmengine.structures import InstanceData
from torch import Tensor

from mmvitdense.layers import constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.registry import MODELS

Maps = Sequence[Tensor]


class _ScaleGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a number."""

    @staticmethod
    def forward(ctx, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.view_as(value)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


@MODELS.register_module()
class Detectron2CascadeRoIHead(InitializedModule, StandardRoIHead):
    """RoI head of Cascade Mask R-CNN as in detectron2 (`modeling/roi_heads/cascade_rcnn.py`), which ViTDet uses.

    It differs from mmdet's `CascadeRoIHead`: there is one mask head, trained on the samples of the first stage and
    run on the final boxes. Boxes that a stage refined get new labels and are not sampled again, those of the ground
    truth stay among them, and those without area are dropped. The losses of all stages count in full, and the gradient
    that reaches the maps from the box heads is divided by the number of stages. The probabilities of the stages are
    averaged, not the logits.

    Args:
        bbox_head: One box head, whose regression is class-agnostic; every stage gets one.
        train_cfg: As of Mask R-CNN: assigner and sampler are those of the first stage.
        stage_ious: Overlap from which on a box is an object, for each stage.
        stage_target_stds: Standard deviations of the box coder, for each stage.
        **kwargs: As of mmdet's `StandardRoIHead`.
    """

    # mmdet's `init_weights` does not reach all the layers of its box heads.
    layer_rules = {ConvModule: ConvModule.init_weights}

    @constructed_undrawn
    def __init__(
        self,
        bbox_head: dict,
        stage_ious: Sequence[float] = (0.5, 0.6, 0.7),
        stage_target_stds: Sequence[Sequence[float]] = (
            (1 / 10, 1 / 10, 1 / 5, 1 / 5),
            (1 / 20, 1 / 20, 1 / 10, 1 / 10),
            (1 / 30, 1 / 30, 1 / 15, 1 / 15),
        ),
        **kwargs,
    ):
        if len(stage_ious) != len(stage_target_stds):
            raise ValueError(
                f'stage_ious and stage_target_stds must have one entry for each stage, got {len(stage_ious)} and '
                f'{len(stage_target_stds)}'
            )
        self.stage_ious = tuple(stage_ious)
        self.stage_target_stds = tuple(stage_target_stds)
        super().__init__(bbox_head=bbox_head, **kwargs)

    @property
    def num_stages(self) -> int:
        """How often the boxes are refined."""
        return len(self.stage_ious)

    def init_bbox_head(self, bbox_roi_extractor: dict, bbox_head: dict) -> None:
        """Build a box head for each stage; the RoI extractor is common."""
        self.bbox_roi_extractor = MMDET_MODELS.build(bbox_roi_extractor)
        self.bbox_head = ModuleList()
        for stds in self.stage_target_stds:
            coder = {**bbox_head.get('bbox_coder', {'type': 'DeltaXYWHBBoxCoder'}), 'target_stds': stds}
            self.bbox_head.append(MMDET_MODELS.build({**bbox_head, 'bbox_coder': coder}))
        if not all(head.reg_class_agnostic for head in self.bbox_head):
            raise ValueError('The stages of a cascade refine one box per RoI: give bbox_head reg_class_agnostic=True.')

    def init_assigner_sampler(self) -> None:
        """Build an assigner for each stage, and the sampler of the first."""
        super().init_assigner_sampler()
        if self.train_cfg:
            ious = [{'pos_iou_thr': iou, 'neg_iou_thr': iou, 'min_pos_iou': iou} for iou in self.stage_ious]
            self.bbox_assigner = [TASK_UTILS.build({**self.train_cfg.assigner, **iou}) for iou in ious]
            self.bbox_sampler = [self.bbox_sampler] + [PseudoSampler() for _ in self.stage_ious[1:]]

    def loss(self, x: Maps, rpn_results_list: list[InstanceData], batch_data_samples: list) -> dict[str, Tensor]:
        """Losses of all stages, named 's0.' and so on, and of the mask head."""
        gts, ignored, img_metas = unpack_gt_instances(batch_data_samples)
        boxes = [results.bboxes for results in rpn_results_list]
        losses = {}
        for stage, head in enumerate(self.bbox_head):
            samples = [self._sample(stage, *image) for image in zip(boxes, gts, ignored)]
            boxes = [sample.priors for sample in samples]
            rois = bbox2roi(boxes)
            outputs = self._bbox_forward(x, rois, stage)
            scores, deltas = outputs['cls_score'], outputs['bbox_pred']
            stage_losses = head.loss_and_target(scores, deltas, rois, samples, self.train_cfg)['loss_bbox']
            if len(rois) == 0:  # mmdet leaves these out, and all processes must have the same losses
                stage_losses |= {'loss_cls': scores.sum(), 'acc': scores.new_zeros(1)}
            losses |= {f's{stage}.{name}': value for name, value in stage_losses.items()}
            if stage == 0 and self.with_mask:
                losses |= self.mask_loss(x, samples, outputs['bbox_feats'], gts)['loss_mask']
            refined = self._refine(stage, boxes, deltas.detach(), img_metas)
            boxes = [box[(box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])] for box in refined]
        return losses

    def predict_bbox(
        self,
        x: Maps,
        batch_img_metas: list[dict],
        rpn_results_list: list[InstanceData],
        rcnn_test_cfg: dict,
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Boxes of the last stage with the mean probabilities of all, after suppression, for each image."""
        proposals = [results.bboxes for results in rpn_results_list]
        results = []
        for boxes, scores, meta in zip(*self._run_stages(x, proposals, batch_img_metas), batch_img_metas):
            if rescale:
                boxes = scale_boxes(boxes, [1 / factor for factor in meta['scale_factor']])
            boxes_and_scores, labels = multiclass_nms(
                boxes, scores, rcnn_test_cfg.score_thr, rcnn_test_cfg.nms, rcnn_test_cfg.max_per_img
            )
            results.append(InstanceData(bboxes=boxes_and_scores[:, :4], scores=boxes_and_scores[:, 4], labels=labels))
        return results

    def forward(self, x: Maps, rpn_results_list: list[InstanceData], batch_data_samples: list) -> tuple:
        """Return final boxes, mean probabilities (a list over images each) and mask logits, without suppression."""
        img_metas = [sample.metainfo for sample in batch_data_samples]
        boxes, scores = self._run_stages(x, [results.bboxes for results in rpn_results_list], img_metas)
        if not self.with_mask:
            return boxes, scores
        return boxes, scores, self._mask_forward(x, bbox2roi(boxes)[:100])['mask_preds']

    def _sample(self, stage: int, boxes: Tensor, gts: InstanceData, ignored: InstanceData) -> SamplingResult:
        candidates = InstanceData(priors=boxes)
        assigned = self.bbox_assigner[stage].assign(candidates, gts, ignored)
        return self.bbox_sampler[stage].sample(assigned, candidates, gts)

    def _bbox_forward(self, x: Maps, rois: Tensor, stage: int = 0) -> dict[str, Tensor]:
        features = self.bbox_roi_extractor(x[: self.bbox_roi_extractor.num_inputs], rois)
        features = _ScaleGradient.apply(features, 1 / self.num_stages)
        scores, deltas = self.bbox_head[stage](features)
        return {'cls_score': scores, 'bbox_pred': deltas, 'bbox_feats': features}

    def _refine(self, stage: int, boxes: list[Tensor], deltas: Tensor, img_metas: list[dict]) -> list[Tensor]:
        """Boxes of each image after a stage, clipped to the image."""
        decode = self.bbox_head[stage].bbox_coder.decode
        parts = deltas.split([len(box) for box in boxes])
        return [decode(box, part, meta['img_shape']) for box, part, meta in zip(boxes, parts, img_metas)]

    def _run_stages(
        self, x: Maps, boxes: list[Tensor], img_metas: list[dict]
    ) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Boxes of the last stage and mean probabilities of all, the last column for background, of each image."""
        probabilities = []
        for stage, head in enumerate(self.bbox_head):
            outputs = self._bbox_forward(x, bbox2roi(boxes), stage)
            scores = outputs['cls_score']
            activation = head.loss_cls.get_activation if head.custom_activation else torch.nn.Softmax(-1)
            probabilities.append(activation(scores))
            boxes = self._refine(stage, boxes, outputs['bbox_pred'], img_metas)
        return boxes, torch.stack(probabilities).mean(0).split([len(box) for box in boxes])
