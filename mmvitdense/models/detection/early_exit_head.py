"""Mask2Former for mmdet trained to stop early: the head of the parent and of its gate, and the detector around it."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.models.detectors import Mask2Former

from mmvitdense.models.mask_transformers.early_exit import ExitLosses, TrainsGateAlone
from mmvitdense.registry import MODELS


@MODELS.register_module()
class EarlyExitMask2FormerHead(ExitLosses, Mask2FormerHead):
    """mmdet's Mask2Former head over `EarlyExitPixelDecoder`, in one of the two trainings of `ExitLosses`."""


@MODELS.register_module()
class EarlyExitMask2Former(TrainsGateAlone, Mask2Former):
    """mmdet's Mask2Former with `EarlyExitMask2FormerHead`, see `TrainsGateAlone`."""

    @property
    def exit_head(self) -> EarlyExitMask2FormerHead:
        """The head."""
        return self.panoptic_head

    def predictions_by_depth(self, data: dict, depths: Sequence[int] | None = None) -> dict[int, list]:
        """See `TrainsGateAlone`."""
        data = self.data_preprocessor(data, False)
        feats = self.extract_feat(data['inputs'])
        found, encoder = {}, self._encoder
        for depth in depths or encoder.gate.depths:
            samples = [sample.clone() for sample in data['data_samples']]
            with encoder.stopping_at(depth):
                predicted = self.panoptic_head.predict(feats, samples)
            results = self.panoptic_fusion_head.predict(*predicted, samples, rescale=True)
            found[depth] = self.add_pred_to_datasample(samples, results)
        return found
