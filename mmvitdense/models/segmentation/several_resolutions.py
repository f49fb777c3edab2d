"""Segmentors that are trained at several resolutions of an image in one step."""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.structures import PixelData

from mmvitdense.models.tuning.several_resolutions import TrainsAtSeveralResolutions
from mmvitdense.registry import MODELS

from .windowed_segmentor import WindowedEncoderDecoder


@MODELS.register_module()
class MultiResolutionEncoderDecoder(TrainsAtSeveralResolutions, WindowedEncoderDecoder):
    """`WindowedEncoderDecoder` with the losses of `TrainsAtSeveralResolutions`; label maps take nearest pixels."""

    def resized(self, data_samples: list, size: tuple[int, int], new: tuple[int, int]) -> list:
        """See `TrainsAtSeveralResolutions`."""
        resized = []
        for sample in data_samples:
            sample = sample.clone()
            labels = sample.gt_sem_seg.data
            labels = F.interpolate(labels[None].float(), new, mode='nearest-exact')[0].to(labels.dtype)
            sample.gt_sem_seg = PixelData(data=labels)
            sample.set_metainfo({'img_shape': new, 'pad_shape': new, 'batch_input_shape': new})
            resized.append(sample)
        return resized
