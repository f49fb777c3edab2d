"""Which module stands for which detector of mmdet."""

from __future__ import annotations

import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.detectors import DINO, MaskFormer, SingleStageDetector, TwoStageDetector
from torch import Tensor, nn

from mmvitdense.models.detection import CoDETR, KMaXFusionHead, RawPaddingDetDataPreprocessor
from mmvitdense.models.detection.size_aware import SizeAwareMixin

from ..errors import ExportError
from ..pixels import Pixels
from ..wrapped import Wrapped, check_channels
from .dense import Dense
from .dino import Dino
from .mask_transformer import MaskTransformer
from .two_stage import TwoStage

_INPUTS = ('image', 'size', 'scale')


def wrap(model: nn.Module, size: tuple[int, int], pasted: bool = False, any_size: bool = False) -> Wrapped:
    """The module for a detector of mmdet.

    Args:
        model: The detector, in evaluation mode.
        size: Height and width of the images of the file.
        pasted: Whether masks have the size of the image.
        any_size: Whether the file is to serve images of any size.

    Raises:
        ExportError: there is no module for it.
    """
    pixels = pixels_of(model.data_preprocessor)
    if isinstance(model, SizeAwareMixin):
        raise ExportError(
            f'The model is a {type(model).__name__}, whose backbone takes the sizes of images as plain numbers; it '
            'cannot be exported.'
        )
    if isinstance(model, CoDETR):
        raise ExportError(
            'The model is a CoDETR, whose way from maps to boxes is not written for export; what can be exported of '
            'transformers is DINO.'
        )
    if isinstance(model, DINO):
        module = Dino(model, pixels)
        return Wrapped(module, 'boxes', _INPUTS, module.outputs, any_batch=True, any_size=False)
    if isinstance(model, MaskFormer):
        module = MaskTransformer(model, pixels, pasted)
        fusion = model.panoptic_fusion_head
        counts = {'num_things_classes': fusion.num_things_classes, 'num_stuff_classes': fusion.num_stuff_classes}
        test_cfg = {**dict(fusion.test_cfg or {}), **counts}
        if isinstance(fusion, KMaXFusionHead):
            test_cfg['type'] = 'mmvitdense.KMaXFusionHead'
        return Wrapped(
            module, 'queries', _INPUTS[:2], module.outputs, any_batch=True, any_size=False, test_cfg=test_cfg
        )
    if isinstance(model, TwoStageDetector):
        module = TwoStage(model, pixels, _maps(model, size), pasted)
    elif isinstance(model, SingleStageDetector):
        module = Dense(model, pixels, _maps(model, size))
    else:
        raise ExportError(
            f'The model is a {type(model).__name__}; what can be exported of mmdet is detectors of one and of two '
            'stages, DINO, and MaskFormer with EoMT, PMT or kMaX-DeepLab.'
        )
    return Wrapped(module, 'boxes', _INPUTS, module.outputs, any_batch=False, any_size=False)


def _maps(model: nn.Module, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """The maps for an image of a size, without their numbers."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        return model.extract_feat(torch.zeros(1, 3, *size))


def pixels_of(preprocessor: DetDataPreprocessor) -> Pixels:
    """What a preprocessor does to pixels.

    Raises:
        ExportError: it does more.
    """
    if type(preprocessor) not in (DetDataPreprocessor, RawPaddingDetDataPreprocessor):
        raise ExportError(
            f'The preprocessor is a {type(preprocessor).__name__}; what can be exported is DetDataPreprocessor and '
            'RawPaddingDetDataPreprocessor.'
        )
    mean, std = (preprocessor.mean, preprocessor.std) if preprocessor._enable_normalize else (None, None)
    padding = torch.tensor(float(preprocessor.pad_value))
    if isinstance(preprocessor, RawPaddingDetDataPreprocessor):
        padding = torch.tensor(float(preprocessor.raw_pad_value))
        padding = padding if mean is None else (padding - mean) / std
    return check_channels(Pixels(mean, std, preprocessor._channel_conversion, padding))
