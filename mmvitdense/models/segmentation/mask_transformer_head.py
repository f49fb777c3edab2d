"""Losses and results of a mask transformer in a segmentor of mmseg."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.structures import SegDataSample
from torch import Tensor

from mmvitdense.models.mask_transformers import MaskPredictions
from mmvitdense.models.mask_transformers.set_losses import SetLosses
from mmvitdense.option_types import NotNegative
from mmvitdense.registry import MODELS

from .input_size import input_size


@MODELS.register_module()
class MaskTransformerSegHead(SetLosses, Mask2FormerHead):
    """The `decode_head` of a segmentor with a mask transformer as backbone, such as `EoMT`, or as neck: `PEM`.

    The segmentor is `WindowedEncoderDecoder` or mmseg's `EncoderDecoder`.

    Each class that a label map has is one mask. The score of a class at a pixel is the sum over the queries of the
    probability of the mask times that of the class.

    Args:
        num_classes: Classes of the data, and of the backbone.
        ignore_index: Label of pixels that belong to no mask.
        align_corners: Whether mmseg aligns corners where it resizes the scores to the size of the original image.
        no_object_weight: Weight of 'no object' in the loss of the classes.
        loss_cls: Options that win over those of Mask2Former's loss of classes.
        loss_mask: The same of the binary cross-entropy of masks.
        loss_dice: The same of the dice loss.
        train_cfg: 'assigner', 'sampler', 'num_points', 'oversample_ratio' and 'importance_sample_ratio', Mask2Former's
            where not given.
        test_cfg: Not used, that of the model counts.
        init_cfg: Without effect, there are no weights.

    Raises:
        ImportError: mmdet is not installed, whose losses these are.
        ValueError: There is one class alone.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int = 255,
        align_corners: bool = False,
        no_object_weight: NotNegative = 0.1,
        loss_cls: dict | None = None,
        loss_mask: dict | None = None,
        loss_dice: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        if num_classes < 2:
            raise ValueError(
                f'MaskTransformerSegHead needs num_classes of at least 2, got {num_classes}: count the background as a '
                'class'
            )
        losses = {'loss_cls': loss_cls, 'loss_mask': loss_mask, 'loss_dice': loss_dice}
        self.build_losses(num_classes, 0, no_object_weight, losses, train_cfg, test_cfg, init_cfg)
        self.out_channels, self.ignore_index, self.align_corners = num_classes, ignore_index, align_corners

    def loss(
        self, x: MaskPredictions, batch_data_samples: Sequence[SegDataSample], train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Losses of predictions and samples, see `SetLosses.losses_of`; `train_cfg` of the model is not used."""
        return self.losses_of(x, *self._seg_data_to_instance_data(batch_data_samples))

    def predict(self, x: MaskPredictions, batch_img_metas: Sequence[dict], test_cfg: dict | None = None) -> Tensor:
        """Scores, B x num_classes x H x W, of images or windows of H x W pixels; they are no logits.

        Where the predictions do not know that size, it is what `img_shape` and `pad_shape` of the meta data say.
        """
        classes, _ = self(x)
        probabilities = classes[-1].softmax(-1)[..., :-1]
        scores = torch.einsum('bqc,bqhw->bchw', probabilities, x.pixel_masks().sigmoid())
        if x.image_size is None:
            height, width = input_size(batch_img_metas[0])
            scores = scores[..., :height, :width]
        return scores
