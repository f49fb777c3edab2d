"""Data samples of mmseg from an exported file, image by image or window by window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmvitdense.models.segmentation.windowed_segmentor import PredictsInWindows

from .errors import ExportError
from .runtimes import Session
from .serving import run_images, size_of
from .tracing import standard_operators


class SegmentorServer(PredictsInWindows):
    """Predict with a file as a segmentor of mmseg does, in windows where `test_cfg` of the config says so.

    Args:
        session: The file, which gives scores.
        keep_logits: Whether the scores of all classes are in the result.

    Raises:
        ExportError: the file gives label maps, which cannot be stretched to the size of an image.
    """

    def __init__(self, session: Session, keep_logits: bool = False):
        if session.description.outputs != ('scores',):
            raise ExportError(
                f'{session.path} gives label maps; expected one that gives scores, exported without --paste.'
            )
        cfg = dict(session.description.test_cfg)
        self.session = session
        self.out_channels, self.align_corners = cfg.pop('out_channels'), cfg.pop('align_corners')
        self.decode_head = SimpleNamespace(threshold=cfg.pop('threshold'))
        self.test_cfg = {**cfg, 'keep_logits': keep_logits, 'progress': False}

    def __call__(self, data: dict[str, Any]) -> list[SegDataSample]:
        """Samples with predictions, of what a data loader gives: 'inputs', 3 x h x w each, and 'data_samples'."""
        samples = []
        for image, sample in zip(data['inputs'], data['data_samples']):
            samples += self.predict(image[None], [sample.clone()])
        return samples

    def encode_decode(self, crops: Tensor, metas: list[dict]) -> Tensor:
        """Scores B x K x h x w of B x 3 x h x w crops of images, not normalised."""
        height, width = crops.shape[-2:]
        results = run_images(self.session, list(crops))
        return torch.stack([torch.from_numpy(result['scores'][:, :height, :width]) for result in results])


class PaddedSegmentor:
    """Predict with the model in PyTorch: by its own prediction, or on padded images where the file pads.

    Args:
        model: The segmentor.
        eager: The wrapped model in the place of the file.
    """

    def __init__(self, model: nn.Module, eager: Session):
        self.model, self.padded = model, SegmentorServer(eager)

    def __call__(self, data: dict[str, Any]) -> list[SegDataSample]:
        """As of `SegmentorServer`."""
        samples = []
        for image, sample in zip(data['inputs'], data['data_samples']):
            one = {'inputs': [image], 'data_samples': [sample.clone()]}
            samples += self.padded(one) if self._is_padded(image) else self._predicted(one)
        return samples

    def _is_padded(self, image: Tensor) -> bool:
        window = self.padded.window_rule.windows(*image.shape[-2:])[0]
        size = (window.bottom - window.top, window.right - window.left)
        return size_of(self.padded.session.description, [image[:, : size[0], : size[1]]]) != size

    def _predicted(self, data: dict[str, Any]) -> list[SegDataSample]:
        with torch.no_grad(), standard_operators():
            return self.model.predict(**self.model.data_preprocessor(data))
