"""Mask2Former for mmseg trained to stop early: the head of the parent and of its gate, and the segmentor around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mmvitdense.models.mask_transformers.early_exit import ExitLosses, TrainsGateAlone
from mmvitdense.registry import MODELS

from .mask2former_head import Mask2FormerSegHead
from .windowed_segmentor import WindowedEncoderDecoder


@MODELS.register_module()
class EarlyExitMask2FormerSegHead(ExitLosses, Mask2FormerSegHead):
    """`Mask2FormerSegHead` over `EarlyExitPixelDecoder`, in one of the two trainings of `ExitLosses`."""


@MODELS.register_module()
class EarlyExitEncoderDecoder(TrainsGateAlone, WindowedEncoderDecoder):
    """`WindowedEncoderDecoder` with `EarlyExitMask2FormerSegHead`, see `TrainsGateAlone`.

    In windows each of them stops at a depth of its own.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # While the same windows are predicted at several depths: the maps of each call of the backbone.
        self._maps: list[Sequence[Tensor]] | None = None
        self._calls = 0

    @property
    def exit_head(self) -> EarlyExitMask2FormerSegHead:
        """The head."""
        return self.decode_head

    def extract_feat(self, inputs: Tensor) -> Sequence[Tensor]:
        """The maps of backbone and neck; those of before while the same windows come again."""
        if self._maps is None:
            return super().extract_feat(inputs)
        if self._calls == len(self._maps):
            self._maps.append(super().extract_feat(inputs))
        self._calls += 1
        return self._maps[self._calls - 1]

    def predictions_by_depth(self, data: dict, depths: Sequence[int] | None = None) -> dict[int, list]:
        """See `TrainsGateAlone`; the samples are left without `seg_logits`."""
        data = self.data_preprocessor(data, False)
        found, encoder, self._maps = {}, self._encoder, []
        try:
            for depth in depths or encoder.gate.depths:
                self._calls = 0
                with encoder.stopping_at(depth):
                    found[depth] = self.predict(data['inputs'], [sample.clone() for sample in data['data_samples']])
                for sample in found[depth]:
                    sample.pop('seg_logits', None)
        finally:
            self._maps = None
        return found
