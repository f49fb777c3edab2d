"""What the heads of a detector are given when their operations are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import SparseRoIHead
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

Heads = Callable[[nn.Module, Any], Any]


def heads_of(model: nn.Module, size: tuple[int, int]) -> tuple[Heads, str]:
    """A function of a model and its maps that runs all heads once, and what it assumes.

    Args:
        model: A detector of mmdet, on any device.
        size: Height and width of the image.
    """
    if isinstance(model, TwoStageDetector) and not isinstance(model.roi_head, SparseRoIHead):
        regions, boxes = model.test_cfg.rpn.max_per_img, model.test_cfg.rcnn.max_per_img
        masks = f' and {boxes} masks' if model.roi_head.with_mask else ''
        return lambda model, maps: _two_stages(model, maps, regions, boxes), f'Counted for {regions} regions{masks}.'
    return lambda model, maps: _whole(model, maps, size), ''


def _two_stages(model: nn.Module, maps: Any, regions: int, boxes: int) -> None:
    """Both stages, without what lies between them: suppression, and the samples of the regions, are no products."""
    model.rpn_head(maps)
    heads = model.roi_head
    for head in _each(heads.bbox_head):
        head(_regions(heads.bbox_roi_extractor, regions))
    if heads.with_mask:
        for head in _each(heads.mask_head):
            head(_regions(heads.mask_roi_extractor or heads.bbox_roi_extractor, boxes))
    if getattr(heads, 'semantic_head', None) is not None:
        heads.semantic_head(maps)


def _each(heads: nn.Module) -> list[nn.Module]:
    return [*heads] if isinstance(heads, nn.ModuleList) else [heads]


def _regions(extractor: nn.Module, count: int) -> torch.Tensor:
    extractor = _each(extractor)[0]
    return torch.zeros(count, extractor.out_channels, *extractor.roi_layers[0].output_size)


def _whole(model: nn.Module, maps: Any, size: tuple[int, int]) -> Any:
    """All that follows the maps, by the detector's own way through them."""
    meta = {'img_shape': size, 'ori_shape': size, 'pad_shape': size, 'batch_input_shape': size, 'scale_factor': (1, 1)}
    sample = DetDataSample(metainfo=meta)
    sample.gt_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    model.extract_feat = lambda _: maps
    try:
        return model.forward(torch.zeros(1, 3, *size), [sample], mode='tensor')
    finally:
        del model.extract_feat
