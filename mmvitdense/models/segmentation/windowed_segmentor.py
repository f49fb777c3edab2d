"""Segmentors that predict in windows of large images."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from mmvitdense.registry import MODELS

from .label_map import LabelMap
from .windows import WindowRule, merged_rows


class PredictsInWindows:
    """Prediction of a segmentor, in windows or of whole images, by `test_cfg`.

    It stands before a segmentor of mmseg among the bases of a class, which has `encode_decode(crops, metas)` for
    B x 3 x h x w to B x classes x h x w, `out_channels`, `align_corners` and `test_cfg`:

    - `mode`: 'whole'; 'slide', windows of `crop_size` at the step `stride`, as mmseg has them; or 'even_slide',
      the fewest windows of `crop_size` that cover the image, evenly spread, as EoMT has them.
    - `window_batch` (1): how many windows of each image go through the model at once.
    - `progress` (False): whether a bar on stderr counts the windows.
    - `keep_logits` (True): whether `seg_logits` is in the result, as mmseg's `SegTTAModel` needs it: float32 for
      each class and pixel of the image. Without, the memory beside the model is that of one strip of logits as high as
      a window and as wide as the input, the image and the label map.

    Scores of a pixel are the mean over the windows it is in. In the meta data that a head gets, `img_shape` and
    `pad_shape` are the size of the window, so that a head which stretches its logits stretches them to that.
    """

    @property
    def window_rule(self) -> WindowRule:
        """How images are cut."""
        return WindowRule.of(self.test_cfg)

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Predict label maps.

        Args:
            inputs: N x 3 x H x W.
            data_samples: One for each image, or None for results in the size of the input.

        Returns:
            The samples with `pred_sem_seg`, 1 x height x width of the image, and `seg_logits` where it is kept,
            classes x height x width.
        """
        size = tuple(inputs.shape[-2:])
        if data_samples is None:
            data_samples = [SegDataSample(metainfo={'ori_shape': size, 'img_shape': size}) for _ in inputs]
        metas = [sample.metainfo for sample in data_samples]
        keep = dict(self.test_cfg or {}).get('keep_logits', True)
        maps = [LabelMap(size, meta, self._decide, self.align_corners, keep) for meta in metas]
        for first, rows in self._rows(inputs, metas):
            for of_image, label_map in zip(rows, maps):
                label_map.add(first, of_image)
        for sample, label_map in zip(data_samples, maps):
            data = {'pred_sem_seg': PixelData(data=label_map.labels)}
            if keep:
                data['seg_logits'] = PixelData(data=label_map.scores)
            sample.set_data(data)
        return data_samples

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """The scores of N x 3 x H x W, N x classes x H x W, for who calls mmseg's method of that name."""
        return torch.cat([rows.clone() for _, rows in self._rows(inputs, batch_img_metas)], dim=2)

    # Both of mmseg's methods follow test_cfg.
    slide_inference = whole_inference = inference

    def _rows(self, inputs: Tensor, metas: list[dict]) -> Any:
        rule = self.window_rule

        def predict(crops: Tensor) -> Tensor:
            size = torch.Size(crops.shape[-2:])  # mmseg's heads know windows by this type
            of_crops = [{**meta, 'img_shape': size, 'pad_shape': size} for meta in metas]
            return self.encode_decode(crops, of_crops * (len(crops) // len(metas)))

        windows = rule.windows(*inputs.shape[-2:])
        return merged_rows(predict, inputs, windows, rule.window_batch, rule.progress)

    def _decide(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        if self.out_channels > 1:
            return scores, scores.argmax(dim=0, keepdim=True)
        scores = scores.sigmoid()
        return scores, (scores > self.decode_head.threshold).to(scores)


@MODELS.register_module()
class WindowedEncoderDecoder(PredictsInWindows, EncoderDecoder):
    """mmseg's `EncoderDecoder` with the prediction of `PredictsInWindows`.

    Arguments, parameters and losses are those of `EncoderDecoder`; its results are the same within rounding wherever
    it works.

    Raises:
        ValueError: `test_cfg` cannot be used, or the head gives one score a pixel and no threshold for it.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        WindowRule.of(self.test_cfg)
        head = self.decode_head
        if self.out_channels == 1 and getattr(head, 'threshold', None) is None:
            # Heads of masks and classes: found when the first image is predicted, after the training.
            raise ValueError(
                f'{type(head).__name__} needs num_classes of at least 2, got {self.num_classes}: count the background '
                'as a class'
            )
