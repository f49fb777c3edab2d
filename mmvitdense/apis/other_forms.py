"""Results in the forms of other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData

from mmvitdense.mask_codes import decode, encode, region

from .errors import InputError

if TYPE_CHECKING:
    from .result import Result


def data_sample(result: Result) -> Any:
    """What mmdet's or mmseg's `test_step` gives for the image: `DetDataSample` or `SegDataSample`."""
    meta = {'ori_shape': result.size, 'img_path': result.path, **result.meta}
    if result.label_map is not None:
        from mmseg.structures import SegDataSample

        sample = SegDataSample(metainfo=meta)
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(result.label_map.astype(np.int64))[None])
        if result.class_scores is not None:
            sample.seg_logits = PixelData(data=torch.from_numpy(result.class_scores))
        return sample
    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo=meta)
    if result.boxes is not None:
        fields = {name: torch.from_numpy(getattr(result, name)) for name in ('scores', 'labels')}
        sample.pred_instances = InstanceData(bboxes=torch.from_numpy(result.boxes), **fields)
        if result.masks is not None:
            sample.pred_instances.masks = torch.from_numpy(_stacked(result.masks, result.size))
    if result.segment_map is not None:
        sample.pred_panoptic_seg = PixelData(sem_seg=torch.from_numpy(result.segment_map)[None])
    return sample


def supervision_detections(result: Result) -> Any:
    """`supervision.Detections` of a result."""
    try:
        import supervision
    except ImportError as error:
        raise InputError(
            'Results become those of supervision where it is installed: pip install supervision.'
        ) from error
    if result.segment_map is None and result.label_map is None:
        boxes, labels, scores = result.boxes, result.labels, result.scores
        masks = None if result.masks is None else _stacked(result.masks, result.size)
    else:
        labels, codes = _regions(result)
        masks = _stacked(codes, result.size)
        boxes = np.array([_corners(code) for code in codes], np.float32).reshape(-1, 4)
        scores = None
    names = np.array([result.name_of(int(label)) for label in labels], dtype=object)
    return supervision.Detections(
        xyxy=boxes, mask=masks, confidence=scores, class_id=labels, data={'class_name': names}
    )


def _regions(result: Result) -> tuple[np.ndarray, list[Any]]:
    """Class and code of each segment of a panoptic map, or of each class of a label map."""
    if result.segment_map is not None:
        found = [(segment['label'], result.segment_map == segment['id']) for segment in result.segments]
    else:
        known = [label for label in np.unique(result.label_map).tolist() if label < max(len(result.classes), 1)]
        found = [(label, result.label_map == label) for label in known]
    return np.array([label for label, _ in found], np.int64), [encode(mask) for _, mask in found]


def _corners(code: Any) -> list[float]:
    mask, left, top = region(code)
    return [left, top, left + mask.shape[1], top + mask.shape[0]]


def _stacked(codes: list[Any], size: tuple[int, int]) -> np.ndarray:
    masks = np.zeros((len(codes), *size), bool)
    for mask, code in zip(masks, codes):
        mask[:] = decode(code)
    return masks
