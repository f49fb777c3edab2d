"""Data samples of mmdet from an exported file, and from the model on images padded to the size of the file."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmvitdense.registry import MODELS

from ..pasting import pasted_masks
from ..runtimes import Arrays, Session
from ..serving import run_images, size_of
from ..tracing import standard_operators

Samples = list[DetDataSample]


class DetectorServer:
    """Predict with a file.

    Args:
        session: The file.
    """

    def __init__(self, session: Session):
        self.session = session
        self._fusion = None
        if session.description.task == 'queries':
            cfg = dict(session.description.test_cfg)
            counts = {name: cfg.pop(name) for name in ('num_things_classes', 'num_stuff_classes')}
            kind = cfg.pop('type', 'mmdet.MaskFormerFusionHead')
            self._fusion = MODELS.build({'type': kind, **counts, 'test_cfg': cfg})

    def __call__(self, data: dict[str, Any]) -> Samples:
        """Samples with predictions, of what a data loader gives: 'inputs', 3 x h x w each, and 'data_samples'."""
        samples = data['data_samples']
        scales = [tuple(sample.get('scale_factor', (1.0, 1.0))) for sample in samples]
        results = run_images(self.session, data['inputs'], scales)
        return [self._filled(sample, result) for sample, result in zip(samples, results)]

    def _filled(self, sample: DetDataSample, result: Arrays) -> DetDataSample:
        found = sample.clone()
        if self._fusion is not None:
            return self._segments(found, result)
        count = int((result['labels'] >= 0).sum())
        values = {name: torch.from_numpy(value[:count].copy()) for name, value in result.items()}
        instances = InstanceData(bboxes=values['boxes'], scores=values['scores'], labels=values['labels'])
        if 'masks' in values:
            instances.masks = self._masks(values['masks'], instances.bboxes, sample)
        found.pred_instances = instances
        return found

    def _masks(self, masks: Tensor, boxes: Tensor, sample: DetDataSample) -> Tensor:
        """Binary masks in the size of the original image."""
        size = tuple(int(side) for side in sample.ori_shape[:2])
        if masks.dtype != torch.uint8:
            return pasted_masks(masks, boxes, *size, self.session.description.mask_thr)
        height, width = sample.img_shape[:2]
        parts = [F.interpolate(mask[None, None, :height, :width].float(), size)[0, 0] > 0 for mask in masks]
        return torch.stack(parts) if parts else torch.zeros((0, *size), dtype=torch.bool)

    def _segments(self, sample: DetDataSample, result: Arrays) -> DetDataSample:
        description = self.session.description
        masks = torch.from_numpy(result['mask_logits'])[None]
        masks = F.interpolate(masks, (description.height, description.width), mode='bilinear', align_corners=False)
        classes = torch.from_numpy(result['class_logits'])[None]
        found = self._fusion.predict(classes, masks, [sample], rescale=True)[0]
        if 'pan_results' in found:
            sample.pred_panoptic_seg = found['pan_results']
        if 'ins_results' in found:
            sample.pred_instances = found['ins_results']
        return sample


class PaddedDetector:
    """Predict with the model in PyTorch, on images padded as for a file.

    Args:
        model: The detector.
        session: The file, for its size.
    """

    def __init__(self, model: nn.Module, session: Session):
        self.model, self.description = model, session.description

    def __call__(self, data: dict[str, Any]) -> Samples:
        """As of `DetectorServer`."""
        size = size_of(self.description, data['inputs'])
        samples = [sample.clone() for sample in data['data_samples']]
        with torch.no_grad(), standard_operators():
            prepared = self.model.data_preprocessor({'inputs': data['inputs'], 'data_samples': samples})
            inputs, samples = self._fitted(prepared['inputs'], size), prepared['data_samples']
            for sample in samples:
                sample.set_metainfo({'batch_input_shape': size, 'pad_shape': size})
            return self.model.predict(inputs, samples, rescale=True)

    def _fitted(self, inputs: Tensor, size: tuple[int, int]) -> Tensor:
        """Inputs with as much padding as the file has."""
        inputs = inputs[..., : size[0], : size[1]]
        missing = [side - have for side, have in zip(size, inputs.shape[-2:])]
        if not any(missing):
            return inputs
        from .wrapping import pixels_of

        fitted = pixels_of(self.model.data_preprocessor).padding.expand(1, inputs.shape[1], 1, 1)
        fitted = fitted.repeat(len(inputs), 1, *size)
        fitted[..., : inputs.shape[-2], : inputs.shape[-1]] = inputs
        return fitted
