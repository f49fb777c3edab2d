"""Test-time augmentation of segmentors of several classes, and of those that give one score."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models import SegTTAModel

from mmvitdense.registry import MODELS


@MODELS.register_module()
class SegmentorTTAModel(SegTTAModel):
    """mmseg's `SegTTAModel`, right for a model with one score a pixel too.

    The `seg_logits` of such a model are probabilities already (mmseg's class takes their sigmoid once more, by which
    each pixel is above the threshold). Here their mean over the views is decided by the threshold of the head, and is
    what metrics find as `seg_logits`.
    """

    def merge_preds(self, data_samples_list: list[list[Any]]) -> list[Any]:
        """Merge the views of each image.

        Args:
            data_samples_list: For each image, the samples of its views, in the size of the image and turned back.

        Returns:
            A sample an image.
        """
        merged = super().merge_preds(data_samples_list)
        if self.module.out_channels > 1:
            return merged
        for sample, views in zip(merged, data_samples_list, strict=True):
            scores = torch.stack([view.seg_logits.data for view in views]).mean(0)
            labels = (scores > self.module.decode_head.threshold).to(scores)
            sample.set_data({'seg_logits': PixelData(data=scores), 'pred_sem_seg': PixelData(data=labels)})
        return merged
