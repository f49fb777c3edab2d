"""What the heads of kMaX-DeepLab for mmdet and mmseg share: losses, and masks at the size of the images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from mmvitdense.layers import without_autocast

from .kmax_losses import KMaXCriterion
from .kmax_matching import MaskTarget
from .predictions import MaskPredictions
from .set_losses import SetLosses


class ClusterLosses(SetLosses):
    """Mixin before a head of `SetLosses`: the losses of kMaX-DeepLab in the place of Mask2Former's."""

    def build_criterion(
        self,
        num_things_classes: int,
        num_stuff_classes: int,
        criterion: dict | None,
        train_cfg: dict | None,
        test_cfg: dict | None,
        init_cfg: dict | list[dict] | None,
    ) -> None:
        """Do what the constructor of `Mask2FormerHead` does, apart from its layers.

        Args:
            num_things_classes: Classes whose objects are told apart.
            num_stuff_classes: All others.
            criterion: Options of `KMaXCriterion`.
            train_cfg: Of the model; without options for this head.
            test_cfg: Of the model.
            init_cfg: Of the head.

        Raises:
            ValueError: `train_cfg` has options.
        """
        if train_cfg:
            raise ValueError(
                f'{type(self).__name__} takes no train_cfg, got {sorted(train_cfg)}: options of losses are in criterion'
            )
        BaseModule.__init__(self, init_cfg)
        self.num_things_classes, self.num_stuff_classes = num_things_classes, num_stuff_classes
        self.num_classes = num_things_classes + num_stuff_classes
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        self.criterion = KMaXCriterion(**(criterion or {}))

    def losses_of(self, x: MaskPredictions, instances: Sequence[InstanceData], metas: Sequence[dict]) -> dict:
        """Losses of predictions, see `KMaXCriterion`.

        Args:
            x: Of a batch, from `KMaX` in training.
            instances: For each image labels and masks, n x H x W over the image; those without a place do not count.
            metas: Meta data of each image.

        Raises:
            TypeError: The predictions are of another mask transformer.
        """
        self(x)
        if not x.features:
            raise TypeError(
                f'{type(self).__name__} has losses for mmvitdense.KMaX as last neck, got predictions without features'
            )
        size = metas[0].get('batch_input_shape')
        targets = [_at_places(each, x, size or each.masks.shape[-2:]) for each in instances]
        with without_autocast(x.masks[0]):
            return self.criterion(_in_float32(x), targets)


def corners_meet(x: MaskPredictions, size: Sequence[int]) -> bool:
    """Whether the first and the last place of the masks are at the first and the last pixel of images of a size.

    That is so of sizes such as 1281, which the published models have: 321 places, four pixels from one to the next. Of
    others a place is in the middle of four pixels.
    """
    places = x.masks[-1].shape[-2:]
    strides = [covered // count for covered, count in zip(x.covered, places)]
    return all((count - 1) * stride + 1 == side for count, stride, side in zip(places, strides, size))


def at_pixels(x: MaskPredictions, size: Sequence[int]) -> Tensor:
    """The logits of the last masks, resized bilinearly to B x Q x height x width of the padded images."""
    if corners_meet(x, size):
        return F.interpolate(x.masks[-1], size=tuple(size), mode='bilinear', align_corners=True)
    return x._replace(image_size=tuple(size)).pixel_masks()


def _at_places(instances: InstanceData, x: MaskPredictions, size: Sequence[int]) -> MaskTarget:
    """The masks of an image of a size at the places of the predictions, without those that have none."""
    masks = instances.masks.bool()
    meet = corners_meet(x, size)
    for dim, (places, covered) in enumerate(zip(x.masks[-1].shape[-2:], x.covered)):
        stride = covered // places
        first = 0 if meet else stride // 2
        missing = first + (places - 1) * stride + 1 - masks.shape[1 + dim]
        if missing > 0:
            masks = F.pad(masks, (0, missing) if dim else (0, 0, 0, missing))
        masks = masks.index_select(1 + dim, torch.arange(places, device=masks.device) * stride + first)
    kept = masks.flatten(1).any(1)
    return MaskTarget(instances.labels[kept], masks[kept])


def _in_float32(x: MaskPredictions) -> MaskPredictions:
    classes, masks, features = (tuple(each.float() for each in values) for values in (x.classes, x.masks, x.features))
    semantic = None if x.semantic is None else x.semantic.float()
    return x._replace(classes=classes, masks=masks, features=features, semantic=semantic)
