"""Segmentors of mmseg, from pixels to scores or a label map."""

from __future__ import annotations

import torch
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn

from mmvitdense.models.backbones import PlainViT

from .errors import ExportError
from .pixels import Pixels
from .pooling import with_any_pooling
from .wrapped import Wrapped, check_channels

_WINDOWS = ('mode', 'crop_size', 'stride', 'window_batch')


class Segmentor(nn.Module):
    """A segmentor on whole images, or on one window of a large one.

    Args:
        segmentor: An `EncoderDecoder` of mmseg, such as `WindowedEncoderDecoder`.
        pixels: The preprocessing, see `Pixels`.
        labels: Whether the result is a label map, B x H x W of int64, or the scores of all classes, B x K x H x W.
    """

    def __init__(self, segmentor: EncoderDecoder, pixels: nn.Module, labels: bool = False):
        super().__init__()
        self.pixels, self.segmentor, self.labels = pixels, segmentor, labels
        self.outputs = ('labels',) if labels else ('scores',)

    def forward(self, image: Tensor) -> Tensor:
        """Segment B x 3 x H x W, see `Pixels`."""
        size = torch.Size(image.shape[-2:])  # mmseg's heads resize to sizes of this type
        metas = [{'img_shape': size, 'pad_shape': size, 'ori_shape': size}]
        scores = self.segmentor.encode_decode(self.pixels(image), metas)
        if not self.labels:
            return scores
        if self.segmentor.out_channels > 1:
            return scores.argmax(1)
        return (scores[:, 0].sigmoid() > self.segmentor.decode_head.threshold).long()


def wrap(model: nn.Module, size: tuple[int, int], pasted: bool = False, any_size: bool = False) -> Wrapped:
    """The module for a segmentor of mmseg.

    Args:
        model: The segmentor.
        size: Height and width of the images or windows of the file.
        pasted: Whether the file gives a label map instead of scores.
        any_size: Whether the file is to serve images of any size.

    Raises:
        ExportError: there is no module for it.
    """
    if not isinstance(model, EncoderDecoder) or type(model).encode_decode is not EncoderDecoder.encode_decode:
        raise ExportError(
            f'The model is a {type(model).__name__}; what can be exported of mmseg is EncoderDecoder and '
            'WindowedEncoderDecoder.'
        )
    if hasattr(model.decode_head, 'pixel_decoder'):  # EoMT, PMT, PEM and kMaX-DeepLab have none in the head
        raise ExportError(
            f'The decode_head is a {type(model.decode_head).__name__}, whose pixel decoder of mmdet takes the sizes of '
            'maps from their values, so that it cannot be recorded; of heads of masks and classes EoMT, PMT and '
            'kMaX-DeepLab can be exported.'
        )
    preprocessor = model.data_preprocessor
    means = (preprocessor.mean, preprocessor.std) if preprocessor._enable_normalize else (None, None)
    pixels = check_channels(Pixels(*means, preprocessor._channel_conversion))
    module = Segmentor(with_any_pooling(model) if any_size else model, pixels, pasted)
    test_cfg = {name: value for name, value in dict(model.test_cfg or {}).items() if name in _WINDOWS} | {
        'out_channels': model.out_channels,
        'align_corners': model.align_corners,
        'threshold': getattr(model.decode_head, 'threshold', None),
    }
    vit = model.backbone if isinstance(model.backbone, PlainViT) else None
    return Wrapped(
        module,
        'semantic',
        ('image',),
        module.outputs,
        any_batch=True,
        any_size=vit is not None,
        patch=1 if vit is None else vit.patch_size,
        test_cfg=test_cfg,
    )
