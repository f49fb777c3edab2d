"""Detectors that are trained at several resolutions of an image in one step."""

from __future__ import annotations

from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmengine.structures import InstanceData

from mmvitdense.models.tuning.several_resolutions import TrainsAtSeveralResolutions
from mmvitdense.registry import MODELS


class _ResizesBoxes(TrainsAtSeveralResolutions):
    def resized(self, data_samples: list, size: tuple[int, int], new: tuple[int, int]) -> list:
        """See `TrainsAtSeveralResolutions`; boxes and masks are resized with the padded batch."""
        factors = tuple(after / before for before, after in zip(size, new))
        resized = []
        for sample in data_samples:
            sample = sample.clone()
            shape = tuple(max(1, round(side * factor)) for side, factor in zip(sample.img_shape[:2], factors))
            sample.set_metainfo({'img_shape': shape, 'pad_shape': new, 'batch_input_shape': new})
            for name in ('gt_instances', 'ignored_instances'):
                if name in sample:
                    sample.set_data({name: self._resized(sample.get(name), factors, new)})
            resized.append(sample)
        return resized

    @staticmethod
    def _resized(instances: InstanceData, factors: tuple[float, float], new: tuple[int, int]) -> InstanceData:
        instances = instances.clone()
        if 'bboxes' in instances:
            down, right = factors
            instances.bboxes = instances.bboxes * instances.bboxes.new_tensor([right, down, right, down])
        if 'masks' in instances:
            instances.masks = instances.masks.resize(new)
        return instances


@MODELS.register_module()
class MultiResolutionTwoStageDetector(_ResizesBoxes, TwoStageDetector):
    """mmdet's `TwoStageDetector` (Faster, Mask, Cascade R-CNN) with the losses of `TrainsAtSeveralResolutions`."""


@MODELS.register_module()
class MultiResolutionSingleStageDetector(_ResizesBoxes, SingleStageDetector):
    """mmdet's `SingleStageDetector` (RetinaNet, ATSS, GFL) with the losses of `TrainsAtSeveralResolutions`."""
