"""Mask transformers in mmdet's `MaskFormer`: EoMT, PMT and kMaX-DeepLab, for panoptic data and instances."""

from __future__ import annotations

from mmdet.models.detectors import MaskFormer
from torch import Tensor, nn

from mmvitdense.models.detection import KMaXHead, MaskTransformerHead
from mmvitdense.models.mask_transformers.kmax_head import at_pixels

from ..errors import ExportError


class MaskTransformer(nn.Module):
    """From pixels to the classes and masks of queries.

    What mmdet's fusion head makes of them, segments or instances, is made of masks in the size of the original image,
    and so outside of the file.

    Args:
        detector: `MaskFormer` with `MaskTransformerHead` or `KMaXHead`.
        pixels: The preprocessing, see `Pixels`.
        pasted: Whether masks have the size of the image, or that which the model predicts (a quarter); those of
            `KMaXHead` always have the former, as only the model knows where its places are.

    Raises:
        ExportError: the head is another.
    """

    outputs = ('class_logits', 'mask_logits')

    def __init__(self, detector: MaskFormer, pixels: nn.Module, pasted: bool = False):
        super().__init__()
        predict = getattr(type(detector.panoptic_head), 'predict', None)
        if predict not in (MaskTransformerHead.predict, KMaXHead.predict):
            raise ExportError(
                f'The panoptic_head is a {type(detector.panoptic_head).__name__}; what can be exported of MaskFormer '
                'is EoMT and PMT, with MaskTransformerHead, and kMaX-DeepLab, with KMaXHead.'
            )
        self.clusters = predict is KMaXHead.predict
        self.pixels, self.detector, self.pasted = pixels, detector, pasted

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            image: B x 3 x H x W, see `Pixels`.
            size: B x 2, height and width of the images, which lie in the upper left.

        Returns:
            Logits of classes, B x Q x (C + 1), 'no object' last, and of masks, B x Q x h x w.
        """
        predictions = self.detector.extract_feat(self.pixels(image, size))
        classes = predictions.classes[-1]
        if self.clusters:
            return classes, at_pixels(predictions, image.shape[-2:])
        return classes, predictions.pixel_masks() if self.pasted else predictions.masks[-1]
