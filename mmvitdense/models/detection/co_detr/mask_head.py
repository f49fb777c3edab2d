"""Masks of what the queries of Co-DETR found: its instance models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.roi_heads.mask_heads import MaskIoUHead
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.model import caffe2_xavier_init
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmvitdense.layers import constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.option_types import Count, NotNegative
from mmvitdense.registry import MODELS

from .refined_masks import ConvNorm, RefineMasks, refine_loss, refined

# Boxes whose masks are made at once.
_AT_ONCE = 150
# Of the sizes of masks that one which the overlap is predicted of.
_JUDGED = 1


def _draw_conv(conv: nn.Conv2d) -> None:
    nn.init.kaiming_normal_(conv.weight, mode='fan_out', nonlinearity='relu')
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


class OverlapHead(MaskIoUHead):
    """mmdet's head of mask scoring with norms behind its convolutions, and a sigmoid behind its last layer."""

    def __init__(self, in_channels: int, channels: int, num_classes: int, fc_channels: int, size: int, weight: float):
        super().__init__(
            num_convs=2,
            num_fcs=1,
            roi_feat_size=size,
            in_channels=in_channels,
            conv_out_channels=channels,
            fc_out_channels=fc_channels,
            num_classes=num_classes,
            loss_iou={'type': 'mmdet.MSELoss', 'loss_weight': weight},
            init_cfg=None,
        )
        self.convs = nn.ModuleList((ConvNorm(in_channels + 1, channels), ConvNorm(channels, channels, stride=2)))

    def forward(self, mask_feat: Tensor, mask_preds: Tensor) -> Tensor:
        """Features R x C x s x s and logits of masks R x 2s x 2s to overlaps, R x classes."""
        return super().forward(mask_feat, mask_preds).sigmoid()


@MODELS.register_module()
class CoMaskHead(InitializedModule):
    """Masks in the boxes of the queries, from the output of the encoder (`co_detr.py` of Sense-X/Co-DETR).

    Args:
        num_classes: Classes.
        in_channels: Of the maps, a multiple of 16.
        strides: Of the maps, the first of which the masks are refined with.
        finest_scale: Side in pixels of boxes up to twice of which are looked at on the first map.
        size: Side of the features of a box; masks are up to eight times as large.
        fc_channels: Width of the layer before the predicted overlap.
        mask_weight: Of the loss of the masks.
        iou_weight: Of the loss of their predicted overlap with the true ones, whose product with the score of the
            box is that of the mask.
        stage_weights: Of the losses of masks of each size.
        train_cfg: 'assigner' and 'sampler' of predicted boxes, and 'mask_thr_binary'.
        test_cfg: 'mask_thr_binary', the probability from which a pixel is of a mask.
        init_cfg: As in mmengine.

    Raises:
        ValueError: There are not four weights, or the channels are no multiple of 16.
    """

    layer_rules = {nn.Conv2d: _draw_conv, nn.Linear: caffe2_xavier_init}

    @constructed_undrawn
    def __init__(
        self,
        num_classes: Count,
        in_channels: Count = 256,
        strides: Sequence[Count] = (4, 8, 16, 32, 64),
        finest_scale: Count = 56,
        size: Count = 14,
        fc_channels: Count = 1024,
        mask_weight: NotNegative = 1.0,
        iou_weight: NotNegative = 0.5,
        stage_weights: Sequence[float] = (0.5, 0.75, 0.75, 1.0),
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        if in_channels % 16:
            raise ValueError(f'in_channels of CoMaskHead must be a multiple of 16, got {in_channels}')
        if len(stage_weights) != RefineMasks.num_stages + 1:
            raise ValueError(f'stage_weights needs a number for each of four sizes of masks, got {list(stage_weights)}')
        layer = {'type': 'RoIAlign', 'output_size': size, 'sampling_ratio': 0}
        self.extractor = SingleRoIExtractor(layer, in_channels, list(strides), finest_scale)
        self.masks = RefineMasks(num_classes, in_channels, size, strides[0])
        self.overlap = OverlapHead(in_channels, in_channels, num_classes, fc_channels, size, iou_weight)
        self.mask_weight, self.stage_weights = mask_weight, tuple(stage_weights)
        self.train_cfg, self.test_cfg = ConfigDict(train_cfg or {}), ConfigDict(test_cfg or {})
        if train_cfg:
            self.assigner = TASK_UTILS.build(train_cfg['assigner'])
            self.sampler = TASK_UTILS.build(train_cfg['sampler'], default_args={'context': self})

    def reset_parameters(self) -> None:
        """Start with overlaps of one half."""
        nn.init.normal_(self.overlap.fc_mask_iou.weight, std=0.01)

    def loss(
        self,
        maps: Sequence[Tensor],
        predicted: Sequence[InstanceData],
        instances: Sequence[InstanceData],
        ignored: Sequence[InstanceData | None],
    ) -> dict[str, Tensor]:
        """Losses of the masks in boxes that overlap true ones.

        Args:
            maps: Of the encoder, each B x C x h x w.
            predicted: `bboxes`, `labels` and `scores` of each image, corners in pixels of the input.
            instances: True `bboxes`, `labels` and `masks` of each image.
            ignored: Objects that do not count, or None.

        Returns:
            'loss_mask' and 'loss_mask_iou'.

        Raises:
            ValueError: There are no true masks.
        """
        if any('masks' not in each for each in instances):
            raise ValueError(
                'an image has no gt_instances.masks, which CoMaskHead learns from: set with_mask=True of '
                'LoadAnnotations'
            )
        sampled = [self._sample(*of_image) for of_image in zip(predicted, instances, ignored)]
        labels = torch.cat([result.pos_gt_labels for result in sampled])
        if not len(labels):
            nothing = 0 * sum(parameter.sum() for parameter in self.parameters())
            return {'loss_mask': nothing, 'loss_mask_iou': nothing}
        features, logits = self._masks(maps, bbox2roi([result.pos_priors for result in sampled]), labels)
        targets = self._targets(sampled, instances)
        judged = logits[_JUDGED][:, 0]
        overlaps = self.overlap(features, judged)[torch.arange(len(labels), device=labels.device), labels]
        of_overlap = self.overlap.loss_and_target(
            overlaps, judged.sigmoid(), targets[_JUDGED], sampled, list(instances), self.train_cfg
        )
        return {'loss_mask': self.mask_weight * refine_loss(logits, targets, self.stage_weights), **of_overlap}

    def predict(
        self, maps: Sequence[Tensor], results: Sequence[InstanceData], metas: Sequence[dict], rescale: bool
    ) -> None:
        """Add `masks` and `mask_scores` to what was found in each image, in place.

        Args:
            maps: Of the encoder.
            results: `bboxes`, `labels` and `scores`, of the original images if `rescale`.
            metas: Meta data of each image.
            rescale: Whether boxes and masks are of the original images, else of the input.
        """
        for index, (result, meta) in enumerate(zip(results, metas)):
            factors, size = meta['scale_factor'], meta['ori_shape'][:2]
            scale = result.bboxes.new_tensor(factors).repeat(2) if rescale else 1
            if not rescale:
                size = tuple(round(side * factor) for side, factor in zip(size, factors[::-1]))
            probabilities, overlaps = self._of_image(maps, result, result.bboxes * scale, index)
            result.masks = _pasted(probabilities, result.bboxes, size, self.test_cfg.mask_thr_binary)
            result.mask_scores = result.scores * overlaps

    def _of_image(
        self, maps: Sequence[Tensor], result: InstanceData, boxes: Tensor, index: int
    ) -> tuple[Tensor, Tensor]:
        """Probabilities, N x 1 x s x s, and overlaps, N, of boxes in pixels of the input."""
        found, overlaps = [], []
        maps = [each[index : index + 1] for each in maps]
        for some, labels in zip(boxes.split(_AT_ONCE), result.labels.split(_AT_ONCE)):
            if not len(some):
                break
            features, logits = self._masks(maps, bbox2roi([some]), labels)
            of_classes = self.overlap(features, logits[_JUDGED][:, 0])
            overlaps.append(of_classes[torch.arange(len(labels), device=labels.device), labels])
            found.append(refined(logits).sigmoid())
        side = self.masks.sizes[-1]
        return (
            torch.cat([result.bboxes.new_zeros(0, 1, side, side), *found]),
            torch.cat([result.scores.new_zeros(0), *overlaps]),
        )

    def _masks(self, maps: Sequence[Tensor], rois: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = self.extractor(maps[: self.extractor.num_inputs], rois)
        return features, self.masks(features, maps[0], rois, labels)

    def _sample(self, predicted: InstanceData, instances: InstanceData, ignored: InstanceData | None) -> SamplingResult:
        boxes = InstanceData(priors=predicted.bboxes, labels=predicted.labels, scores=predicted.scores)
        return self.sampler.sample(self.assigner.assign(boxes, instances, ignored), boxes, instances)

    def _targets(self, sampled: Sequence[SamplingResult], instances: Sequence[InstanceData]) -> list[Tensor]:
        """True masks in the boxes, in each size R x s x s."""
        found: list[list[Tensor]] = [[] for _ in self.masks.sizes]
        for result, true in zip(sampled, instances):
            device, (height, width) = result.pos_priors.device, (true.masks.height, true.masks.width)
            boxes = result.pos_priors.cpu().numpy()
            boxes[:, 0::2], boxes[:, 1::2] = boxes[:, 0::2].clip(0, width), boxes[:, 1::2].clip(0, height)
            which = result.pos_assigned_gt_inds.cpu().numpy()
            for of_size, side in zip(found, self.masks.sizes):
                if not len(boxes):
                    continue
                masks = true.masks.crop_and_resize(boxes, (side, side), inds=which, device=device).to_ndarray()
                of_size.append(torch.from_numpy(masks).float().to(device))
        return [torch.cat(of_size) for of_size in found]


def _pasted(probabilities: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    """Masks of an image, N x height x width; one after the other, so that the memory is that of the result."""
    found = torch.zeros(len(boxes), *size, dtype=torch.bool, device=boxes.device)
    for number in range(len(boxes)):
        some = slice(number, number + 1)
        pasted, place = _do_paste_mask(probabilities[some], boxes[some], *size, skip_empty=not boxes.is_cuda)
        found[(some, *place)] = pasted >= threshold
    return found
