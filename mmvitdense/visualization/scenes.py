"""What is to be drawn on an image, from plain results or from data samples of mmdet and mmseg."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmvitdense.mask_codes import Region, region

INSTANCE_OFFSET = 1000  # mmdet.evaluation.functional.INSTANCE_OFFSET


@dataclass
class Scene:
    """Boxes, masks and maps in the size of the image; None for what there is not.

    Attributes:
        boxes: N x 4, x1, y1, x2, y2 in pixels.
        labels: N class indices.
        scores: N.
        masks: N run-length codes, or arrays of H x W.
        label_map: H x W of class indices; those beyond the classes stay bare.
        segment_map: H x W of class + 1000 x instance; where the class is beyond the classes there is no segment.
    """

    boxes: np.ndarray | None = None
    labels: np.ndarray | None = None
    scores: np.ndarray | None = None
    masks: Sequence[Any] | None = None
    label_map: np.ndarray | None = None
    segment_map: np.ndarray | None = None

    def mask(self, index: int) -> Region:
        """One mask, without the empty rows and columns around it."""
        mask = self.masks[index]
        return region(mask) if isinstance(mask, dict) else cropped(mask)

    def segments(self, num_classes: int) -> Iterator[tuple[int, Region]]:
        """Class and mask of each segment, in order of the ids."""
        if self.segment_map is None:
            return
        for number in np.unique(self.segment_map).tolist():
            if number % INSTANCE_OFFSET < num_classes:
                yield number % INSTANCE_OFFSET, cropped(self.segment_map == number)


def prediction_scene(sample: Any, score_thr: float) -> Scene:
    """The prediction in a sample; of a panoptic one the segments, not the scored instances besides."""
    if 'pred_panoptic_seg' in sample:
        return Scene(segment_map=_pixels(sample.pred_panoptic_seg))
    instances = sample.get('pred_instances')
    if instances is not None:
        instances = instances[instances.scores >= score_thr]
    return _scene(instances, sample.get('pred_sem_seg'))


def truth_scene(sample: Any) -> Scene:
    """The labels of a sample."""
    return _scene(sample.get('gt_instances'), sample.get('gt_sem_seg'))


def cropped(mask: np.ndarray) -> Region:
    """The part of a mask that is not empty."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return Region(mask[:0, :0], 0, 0)
    (top, bottom), (left, right) = ((int(places[0]), int(places[-1]) + 1) for places in (rows, columns))
    return Region(mask[top:bottom, left:right], left, top)


def _scene(instances: Any, label_map: Any) -> Scene:
    scene = Scene(label_map=None if label_map is None else _pixels(label_map))
    if instances is not None:
        scene.boxes = _numpy(instances.bboxes).reshape(-1, 4)
        scene.labels = _numpy(instances.labels)
        scene.scores = _numpy(instances.scores) if 'scores' in instances else None
        scene.masks = _numpy(instances.masks) if 'masks' in instances and len(scene.boxes) else None
    return scene


def _pixels(field: Any) -> np.ndarray:
    """The H x W values of a map, which mmseg calls `data` and mmdet `sem_seg`."""
    return _numpy(field.data if 'data' in field else field.sem_seg)[0].astype(np.int32)


def _numpy(values: Any) -> np.ndarray:
    """The values of a tensor, of mmdet's boxes (`tensor`) or of mmdet's masks (`to_ndarray()`)."""
    values = getattr(values, 'tensor', values)
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    return values.to_ndarray() if hasattr(values, 'to_ndarray') else np.asarray(values)
