"""Mask2Former for semantic segmentation, tested in windows too."""

from __future__ import annotations

from mmseg.models.decode_heads import Mask2FormerHead
from torch import Tensor

from mmvitdense.registry import MODELS

from .input_size import input_size


@MODELS.register_module()
class Mask2FormerSegHead(Mask2FormerHead):
    """mmseg's Mask2Former head whose logits have the size of what it was given: the padded image, or a window of it.

    mmseg's head stretches its logits to `pad_shape` of the meta data wherever that is known, so a window gets the
    size of the whole image, and a `pad_shape` with channels (mmcv's `Pad`) is refused by the interpolation.
    Parameters and losses are those of mmseg's head.
    """

    def predict(self, x: tuple[Tensor, ...], batch_img_metas: list[dict], test_cfg: dict) -> Tensor:
        """Predict the scores of each class.

        Args:
            x: Feature maps, each B x C x h x w.
            batch_img_metas: Meta data of each image; mmseg's sliding windows put their own size into `img_shape`.
            test_cfg: Not used.

        Returns:
            B x classes x H x W, with H x W the size of the window or of the padded image.
        """
        size = input_size(batch_img_metas[0])
        metas = [{**meta, 'pad_shape': size} for meta in batch_img_metas]
        return super().predict(x, metas, test_cfg)
