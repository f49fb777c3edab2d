"""Losses and results of kMaX-DeepLab in mmdet's `MaskFormer`."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.structures import DetDataSample
from torch import Tensor

from mmvitdense.models.mask_transformers import MaskPredictions
from mmvitdense.models.mask_transformers.kmax_head import ClusterLosses, at_pixels
from mmvitdense.option_types import CountOrZero
from mmvitdense.registry import MODELS

from .mask_transformer_head import MaskTransformerHead


@MODELS.register_module()
class KMaXHead(ClusterLosses, MaskTransformerHead):
    """The `panoptic_head` of mmdet's `MaskFormer` behind the neck `KMaX`; with `KMaXFusionHead`.

    For panoptic data things come first, then stuff, as mmdet has them; for instances alone `num_stuff_classes=0`.

    Args:
        num_things_classes: Classes whose objects are told apart.
        num_stuff_classes: All others. The neck has as many classes as both together.
        criterion: Options of `KMaXCriterion`.
        train_cfg: Of the model, without options for this head.
        test_cfg: Of the model.
        init_cfg: Without effect, there are no weights.
    """

    def __init__(
        self,
        num_things_classes: CountOrZero = 80,
        num_stuff_classes: CountOrZero = 53,
        criterion: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        self.build_criterion(num_things_classes, num_stuff_classes, criterion, train_cfg, test_cfg, init_cfg)

    def predict(self, x: MaskPredictions, batch_data_samples: Sequence[DetDataSample]) -> tuple[Tensor, Tensor]:
        """Logits of the classes, B x Q x (classes + 1), and of the masks, B x Q x H x W over the batch of images."""
        classes, _ = self(x)
        return classes[-1], at_pixels(x, batch_data_samples[0].metainfo['batch_input_shape'])
