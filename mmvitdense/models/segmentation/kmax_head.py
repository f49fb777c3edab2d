"""Losses and results of kMaX-DeepLab in a segmentor of mmseg."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmvitdense.models.mask_transformers import MaskPredictions
from mmvitdense.models.mask_transformers.kmax_head import ClusterLosses, at_pixels
from mmvitdense.registry import MODELS

from .input_size import input_size
from .mask_transformer_head import MaskTransformerSegHead


@MODELS.register_module()
class KMaXSegHead(ClusterLosses, MaskTransformerSegHead):
    """The `decode_head` of a segmentor behind the neck `KMaX`.

    The segmentor is `WindowedEncoderDecoder` or mmseg's `EncoderDecoder`. Each class that a label map has is one
    mask. The score of a class at a pixel is the sum over the queries of the probability of the query at the pixel times
    that of the class.

    Args:
        num_classes: Classes of the data, and of the neck.
        ignore_index: Label of pixels that belong to no mask.
        align_corners: Whether mmseg aligns corners where it resizes the scores to the size of the original image.
        criterion: Options of `KMaXCriterion`.
        init_cfg: Without effect, there are no weights.

    Raises:
        ValueError: There is one class alone.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        align_corners: bool = False,
        criterion: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        if num_classes < 2:
            raise ValueError(
                f'KMaXSegHead needs num_classes of at least 2, got {num_classes}: count the background as a class'
            )
        self.build_criterion(num_classes, 0, criterion, None, None, init_cfg)
        self.out_channels, self.ignore_index, self.align_corners = num_classes, ignore_index, align_corners

    def predict(self, x: MaskPredictions, batch_img_metas: Sequence[dict], test_cfg: dict | None = None) -> Tensor:
        """Scores, B x num_classes x H x W, of images or windows of H x W pixels; they are no logits."""
        classes, _ = self(x)
        masks = at_pixels(x, input_size(batch_img_metas[0])).softmax(1)
        return torch.einsum('bqc,bqhw->bchw', classes[-1].softmax(-1)[..., :-1], masks)
