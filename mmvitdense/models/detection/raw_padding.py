"""A data preprocessor that pads images before it normalises them."""

from __future__ import annotations

import torch.nn.functional as F
from mmdet.models.data_preprocessors import DetDataPreprocessor

from mmvitdense.registry import MODELS


@MODELS.register_module()
class RawPaddingDetDataPreprocessor(DetDataPreprocessor):
    """mmdet's preprocessor with padding of one grey value of the image as it is read, not of zeros after the mean.

    As in MIMDet's reproduction of the detection-transfer study (hustvl/MIMDet `configs/benchmarking`), in training
    and in testing. `img_shape` of the samples stays that of the image without padding.

    Args:
        raw_pad_value: Value of all channels of the padding, from 0 to 255.
        **options: Options of `DetDataPreprocessor`; images are padded to multiples of `pad_size_divisor`.
    """

    def __init__(self, *, raw_pad_value: float, **options):
        super().__init__(**options)
        self.raw_pad_value = raw_pad_value

    def forward(self, data: dict, training: bool = False) -> dict:
        """Pad the images at the bottom and on the right to the size of the batch, then do what mmdet does."""
        images = list(data['inputs'])
        height, width = (
            -(-max(image.shape[axis] for image in images) // self.pad_size_divisor) * self.pad_size_divisor
            for axis in (-2, -1)
        )
        padded = [
            F.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]), value=self.raw_pad_value)
            for image in images
        ]
        return super().forward({**data, 'inputs': padded}, training)
