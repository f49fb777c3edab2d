"""From the data samples of mmdet and mmseg to plain results."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from mmvitdense.mask_codes import MaskCode, encode

from .batches import Prepared
from .result import Result


class SampleReader:
    """Makes results of what a model predicts.

    Args:
        model: A detector or a segmentor, built by the caller; its heads are changed so that masks take little memory
            (`mmvitdense.models.detection.bounded_masks`).
        classes: Names of its classes.
        palette: Their colours.
    """

    def __init__(self, model: nn.Module, classes: tuple[str, ...], palette: Any):
        self._classes = classes
        own = palette is not None and not isinstance(palette, str)
        self._palette = [tuple(map(int, colour)) for colour in palette] if own else None
        self._bounded = _bound_masks(model)

    def before(self, score_thr: float) -> None:
        """Say, before a prediction, which instances are wanted."""
        if self._bounded is not None:
            self._bounded.score_thr = score_thr

    def result(self, sample: Any, image: Prepared, score_thr: float) -> Result:
        """The result for one image.

        Args:
            sample: What the model gave: `pred_instances`, `pred_panoptic_seg`, `pred_sem_seg`.
            image: What it was given.
            score_thr: Detections below it are left out.
        """
        height, width = image.size
        item = image.item
        result = Result(height, width, self._classes, path=item.path, frame=item.frame, name=item.name)
        result.palette, result.image = self._palette, image.image
        result.meta = {key: value for key, value in sample.metainfo.items() if key != 'img_path'}
        if 'pred_instances' in sample:
            _take_instances(result, sample.pred_instances, score_thr)
        if 'pred_panoptic_seg' in sample:
            result.segment_map = sample.pred_panoptic_seg.sem_seg[0].cpu().numpy().astype(np.int32)
        if 'pred_sem_seg' in sample:
            labels = sample.pred_sem_seg.data[0].cpu()
            if labels.is_floating_point():  # of a head with one score a pixel, in the precision of the scores
                labels = labels.byte()
            few = int(labels.max()) < 256 if labels.numel() else True
            result.label_map = labels.numpy().astype(np.uint8 if few else np.uint16)
            if 'seg_logits' in sample:
                result.class_scores = sample.seg_logits.data.float().cpu().numpy()
        return result


def _bound_masks(model: nn.Module) -> Any:
    try:
        from mmdet.models import BaseDetector
    except ImportError:  # segmentors alone are used
        return None
    if not isinstance(model, BaseDetector):
        return None
    from mmvitdense.models.detection.bounded_masks import bound_masks

    return bound_masks(model)


def _take_instances(result: Result, instances: Any, score_thr: float) -> None:
    instances = instances[instances.scores.float() >= score_thr]
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    result.boxes = boxes.float().cpu().numpy().reshape(-1, 4)
    result.scores = instances.scores.float().cpu().numpy()
    result.labels = instances.labels.cpu().numpy().astype(np.int64)
    if 'masks' in instances:
        result.masks = _codes(instances.masks)


def _codes(masks: Any) -> list[MaskCode]:
    """Codes of deferred masks, of codes, or of N x H x W that a head has made at once."""
    if isinstance(masks, list):
        return masks
    if isinstance(masks, torch.Tensor):
        return [encode(mask.cpu().numpy().astype(bool)) for mask in masks]
    return list(masks.codes()) if hasattr(masks, 'codes') else [encode(mask) for mask in masks.to_ndarray()]
