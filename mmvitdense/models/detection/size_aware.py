"""Detectors whose backbone knows which part of a padded batch is image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mmdet.models.detectors import ATSS, CascadeRCNN, MaskRCNN, RetinaNet
from mmdet.structures import DetDataSample
from torch import Tensor

from mmvitdense.registry import MODELS

from .dino import DINO


class SizeAwareMixin:
    """Give the backbone of an mmdet detector the height and width of each image before padding.

    mmdet passes the padded batch alone. Here the backbone is called as `backbone(batch, image_sizes=[(h, w), ...])`
    with the `img_shape` of the samples; None where there are no samples.
    """

    _image_sizes: list[tuple[int, int]] | None = None

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]) -> dict:
        """Losses of a batch, B x C x H x W, and its samples."""
        with self._sizes_of(batch_data_samples):
            return super().loss(batch_inputs, batch_data_samples)

    def predict(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], *args: Any, **kwargs: Any):
        """Samples with predictions, from a batch and its samples."""
        with self._sizes_of(batch_data_samples):
            return super().predict(batch_inputs, batch_data_samples, *args, **kwargs)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample] | None = None) -> tuple:
        with self._sizes_of(batch_data_samples):
            return super()._forward(batch_inputs, batch_data_samples)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Maps of the neck for a batch."""
        maps = self.backbone(batch_inputs, image_sizes=self._image_sizes)
        return self.neck(maps) if self.with_neck else maps

    @contextmanager
    def _sizes_of(self, samples: Sequence[DetDataSample] | None) -> Iterator[None]:
        """Let `extract_feat`, which mmdet calls with the batch alone, know the sizes."""
        self._image_sizes = [tuple(sample.img_shape[:2]) for sample in samples] if samples else None
        try:
            yield
        finally:
            self._image_sizes = None


@MODELS.register_module()
class SizeAwareMaskRCNN(SizeAwareMixin, MaskRCNN):
    """mmdet's `MaskRCNN` with a backbone that takes `image_sizes`, such as `MIMDet`."""


@MODELS.register_module()
class SizeAwareCascadeRCNN(SizeAwareMixin, CascadeRCNN):
    """mmdet's `CascadeRCNN` with a backbone that takes `image_sizes`, such as `MIMDet`."""


@MODELS.register_module()
class SizeAwareRetinaNet(SizeAwareMixin, RetinaNet):
    """mmdet's `RetinaNet` with a backbone that takes `image_sizes`, such as `MIMDet`."""


@MODELS.register_module()
class SizeAwareATSS(SizeAwareMixin, ATSS):
    """mmdet's `ATSS` with a backbone that takes `image_sizes`, such as `MIMDet`."""


@MODELS.register_module()
class SizeAwareDINO(SizeAwareMixin, DINO):
    """`DINO` with a backbone that takes `image_sizes`, such as `MIMDet`."""
