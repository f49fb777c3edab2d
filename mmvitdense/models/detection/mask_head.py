"""The mask head of detectron2."""

from __future__ import annotations

from typing import Any

from mmcv.cnn import ConvModule
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import nn

from mmvitdense.layers import constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.registry import MODELS


@MODELS.register_module()
class Detectron2MaskHead(InitializedModule, FCNMaskHead):
    """mmdet's mask head with the initialisation of detectron2 (`modeling/roi_heads/mask_head.py`).

    The weights of the last convolution are drawn with a standard deviation of 0.001, so that training starts with
    masks of one half; mmdet draws them as those of other convolutions.
    """

    layer_rules = {ConvModule: ConvModule.init_weights}

    @constructed_undrawn
    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)

    def init_weights(self) -> None:
        """Initialise as described."""
        super().init_weights()
        nn.init.normal_(self.conv_logits.weight, std=0.001)
