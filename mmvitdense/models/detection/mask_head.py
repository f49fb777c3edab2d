"""The mask head of detectron2."""

from __future__ import annotations

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import nn

from mmvitdense.registry import MODELS


@MODELS.register_module()
class Detectron2MaskHead(FCNMaskHead):
    """mmdet's mask head with the initialisation of detectron2 (``modeling/roi_heads/mask_head.py``).

    The weights of the last convolution are drawn with a standard deviation of 0.001, so that training starts with
    masks of one half; mmdet draws them as those of other convolutions.
    """

    def init_weights(self) -> None:
        """Initialise as described."""
        super().init_weights()
        nn.init.normal_(self.conv_logits.weight, std=0.001)
