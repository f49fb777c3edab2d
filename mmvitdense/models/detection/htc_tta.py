"""Test-time augmentation of HTC++ as ViT-Adapter released it: several sizes, each for objects of some sizes alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.detectors import HybridTaskCascade
from mmdet.models.layers import multiclass_nms
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi, bbox_flip
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmvitdense.registry import MODELS

# From these sides of a square on objects are medium, and large, to COCO.
_MEDIUM, _LARGE = 32, 96
_SIZES = ('s', 'm', 'l')
_ALL = (_SIZES,)


class _View(NamedTuple):
    """A batch as one of the views shows it: maps, the semantic map, and samples with what was done to the images."""

    maps: Sequence[Tensor]
    semantic: Tensor | None
    samples: Sequence[DetDataSample]


@MODELS.register_module()
class HTCTTAModel(BaseTTAModel):
    """Boxes and masks of a hybrid task cascade from several views of an image (`htc_aug.py` of czczup/ViT-Adapter).

    Each view has proposals and boxes of its own. Those whose area in the original image is of the sizes that the view
    is for are kept, with the scores of all classes, and suppressed together. The masks of what is left are predicted in
    every view by every stage, also in views that are not for their size, and averaged.

    Args:
        module: The detector, a `HybridTaskCascade`, or its config.
        tta_cfg: `score_thr`, `nms` and `max_per_img` as in `test_cfg.rcnn`; `scale_ranges`, for each size of
            the images in the order of `tta_pipeline`, the sizes of objects that are kept: 's' up to 32 x 32 pixels,
            'm' up to 96 x 96, 'l'; left out, all of every view are.
        data_preprocessor: As in mmengine.

    Raises:
        TypeError: The detector is none.
        ValueError: `scale_ranges` has sizes that there are not.
    """

    def __init__(
        self,
        module: dict[str, Any] | nn.Module,
        tta_cfg: dict[str, Any],
        data_preprocessor: dict[str, Any] | None = None,
    ):
        super().__init__(module, data_preprocessor)
        if not isinstance(self.module, HybridTaskCascade):
            raise TypeError(f'HTCTTAModel merges views of a HybridTaskCascade, got a {type(self.module).__name__}')
        self.scale_ranges = [tuple(sizes) for sizes in tta_cfg.get('scale_ranges') or _ALL]
        if not all(set(sizes) <= set(_SIZES) for sizes in self.scale_ranges):
            raise ValueError(f'scale_ranges must hold lists of {_SIZES}, got {tta_cfg["scale_ranges"]}')
        self.tta_cfg = tta_cfg

    @torch.no_grad()
    def test_step(self, data: dict[str, Any] | Sequence[Any]) -> list[DetDataSample]:
        """Predict a batch, of which `data` has the inputs and the samples of each view."""
        if isinstance(data, dict):
            data = [dict(zip(data, parts)) for parts in zip(*data.values())]
        if len(data) % len(self.scale_ranges):
            raise ValueError(
                f'tta_pipeline makes {len(data)} views and scale_ranges has {len(self.scale_ranges)} entries: give one '
                'for each size, and the sizes before the flips'
            )
        each, boxes, views = len(data) // len(self.scale_ranges), [], []
        for number, view in enumerate(data):
            view, raw = self._boxes_of(view)
            views.append(view)
            boxes.append([_of_sizes(*found, self.scale_ranges[number // each]) for found in raw])
        return [self._merged(views, [found[image] for found in boxes], image) for image in range(len(boxes[0]))]

    def merge_preds(self, data_samples_list: list[list[DetDataSample]]) -> list[DetDataSample]:
        """Not used: predictions of views are not merged once they are made."""
        raise NotImplementedError('HTCTTAModel merges boxes and scores before they are suppressed: call test_step')

    def _boxes_of(self, view: dict[str, Any]) -> tuple[_View, list[tuple[Tensor, Tensor]]]:
        """A view, and for each image boxes in the original one and their scores before any suppression."""
        detector, head = self.module, self.module.roi_head
        prepared = detector.data_preprocessor(view, False)
        samples = prepared['data_samples']
        maps = detector.extract_feat(prepared['inputs'])
        semantic = head.semantic_head(maps)[1] if head.with_semantic else None
        results = head.predict_bbox(
            x=maps,
            semantic_feat=semantic,
            batch_img_metas=[sample.metainfo for sample in samples],
            rpn_results_list=detector.rpn_head.predict(maps, samples, rescale=False),
            rcnn_test_cfg=None,
            rescale=False,
        )
        found = [(_to_original(each.bboxes, sample.metainfo), each.scores) for each, sample in zip(results, samples)]
        return _View(maps, semantic, samples), found

    def _merged(self, views: Sequence[_View], found: Sequence[tuple[Tensor, Tensor]], image: int) -> DetDataSample:
        """The results of one image of the batch."""
        boxes, scores = (torch.cat(parts) for parts in zip(*found))
        options = self.tta_cfg
        kept, labels = multiclass_nms(boxes, scores, options['score_thr'], options['nms'], options['max_per_img'])
        results = InstanceData(bboxes=kept[:, :4], scores=kept[:, 4], labels=labels)
        sample = views[0].samples[image]
        meta = {'ori_shape': sample.ori_shape, 'scale_factor': (1.0, 1.0)}
        if not len(results):
            results.masks = torch.zeros(0, *sample.ori_shape[:2], dtype=torch.bool, device=kept.device)
        else:
            masks = sum(self._masks_of(view, results.bboxes, image) for view in views) / len(views)
            (results,) = self.module.roi_head.mask_head[-1].predict_by_feat(
                mask_preds=[masks],
                results_list=[results],
                batch_img_metas=[meta],
                rcnn_test_cfg=self.module.roi_head.test_cfg,
                rescale=True,
                activate_map=True,
            )
        merged = DetDataSample(metainfo=sample.metainfo)
        merged.pred_instances = results
        return merged

    def _masks_of(self, view: _View, boxes: Tensor, image: int) -> Tensor:
        """Mean probabilities of all stages for boxes of the original image, N x classes x h x w, not mirrored."""
        head, meta = self.module.roi_head, view.samples[image].metainfo
        rois = bbox2roi([_from_original(boxes, meta)])
        extractor = head.mask_roi_extractor[-1]
        inputs = extractor([maps[image : image + 1] for maps in view.maps[: extractor.num_inputs]], rois)
        if view.semantic is not None and 'mask' in head.semantic_fusion:
            semantic = head.semantic_roi_extractor([view.semantic[image : image + 1]], rois)
            inputs = inputs + F.adaptive_avg_pool2d(semantic, inputs.shape[-2:])
        total, last = 0.0, None
        for stage in head.mask_head:
            logits, features = stage(inputs, last)
            last = features if head.mask_info_flow else None
            total = total + logits.sigmoid()
        return _mirrored(total / len(head.mask_head), meta)


def _of_sizes(boxes: Tensor, scores: Tensor, sizes: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Boxes N x 4, or N x (4*classes), and scores whose boxes are of these sizes."""
    each = boxes.unflatten(1, (-1, 4))
    areas = (each[..., 2] - each[..., 0]) * (each[..., 3] - each[..., 1])
    of = {'s': areas <= _MEDIUM**2, 'm': (areas > _MEDIUM**2) & (areas <= _LARGE**2), 'l': areas > _LARGE**2}
    kept = sum(of[size] for size in sizes).bool()
    if each.shape[1] == 1:
        return boxes[kept[:, 0]], scores[kept[:, 0]]
    # The background has no box.
    return boxes, scores * F.pad(kept, (0, 1), value=True)


def _to_original(boxes: Tensor, meta: dict[str, Any]) -> Tensor:
    if meta.get('flip'):
        boxes = bbox_flip(boxes, meta['img_shape'], meta['flip_direction'])
    return boxes / boxes.new_tensor(meta['scale_factor']).repeat(boxes.shape[1] // 2)


def _from_original(boxes: Tensor, meta: dict[str, Any]) -> Tensor:
    boxes = boxes * boxes.new_tensor(meta['scale_factor']).repeat(2)
    return bbox_flip(boxes, meta['img_shape'], meta['flip_direction']) if meta.get('flip') else boxes


def _mirrored(masks: Tensor, meta: dict[str, Any]) -> Tensor:
    """Masks in boxes of a flipped image as they are in the original one, or the other way round."""
    if not meta.get('flip'):
        return masks
    axes = {'horizontal': [-1], 'vertical': [-2], 'diagonal': [-2, -1]}
    return masks.flip(axes[meta['flip_direction']])
