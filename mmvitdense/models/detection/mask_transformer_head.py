"""Losses and results of a mask transformer in mmdet's `MaskFormer`."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.dense_heads import Mask2FormerHead
from mmdet.structures import DetDataSample
from torch import Tensor

from mmvitdense.models.mask_transformers import MaskPredictions
from mmvitdense.models.mask_transformers.set_losses import SetLosses
from mmvitdense.option_types import CountOrZero, NotNegative
from mmvitdense.registry import MODELS


@MODELS.register_module()
class MaskTransformerHead(SetLosses, Mask2FormerHead):
    """The `panoptic_head` of mmdet's `MaskFormer` for a mask transformer: the backbone `EoMT`, the neck `PEM`.

    For panoptic data things come first, then stuff, as mmdet has them; for instances alone `num_stuff_classes=0`.

    Args:
        num_things_classes: Classes whose objects are told apart.
        num_stuff_classes: All others. The backbone has as many classes as both together.
        no_object_weight: Weight of 'no object' in the loss of the classes.
        loss_cls: Options that win over those of Mask2Former's loss of classes.
        loss_mask: The same of the binary cross-entropy of masks.
        loss_dice: The same of the dice loss.
        train_cfg: 'assigner', 'sampler', 'num_points', 'oversample_ratio' and 'importance_sample_ratio', Mask2Former's
            where not given. The model passes its own.
        test_cfg: Of the model.
        init_cfg: Without effect, there are no weights.
    """

    def __init__(
        self,
        num_things_classes: CountOrZero = 80,
        num_stuff_classes: CountOrZero = 53,
        no_object_weight: NotNegative = 0.1,
        loss_cls: dict | None = None,
        loss_mask: dict | None = None,
        loss_dice: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        losses = {'loss_cls': loss_cls, 'loss_mask': loss_mask, 'loss_dice': loss_dice}
        self.build_losses(
            num_things_classes, num_stuff_classes, no_object_weight, losses, train_cfg, test_cfg, init_cfg
        )

    def loss(self, x: MaskPredictions, batch_data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Losses of predictions and samples, see `SetLosses.losses_of`."""
        instances = self.preprocess_gt(
            [sample.gt_instances for sample in batch_data_samples],
            [sample.get('gt_sem_seg') for sample in batch_data_samples],
        )
        return self.losses_of(x, instances, [sample.metainfo for sample in batch_data_samples])

    def predict(self, x: MaskPredictions, batch_data_samples: Sequence[DetDataSample]) -> tuple[Tensor, Tensor]:
        """Logits of the classes, B x Q x (classes + 1), and of the masks, B x Q x H x W over the batch of images."""
        classes, _ = self(x)
        return classes[-1], x.pixel_masks()
