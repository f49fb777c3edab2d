"""Mask2Former's losses of sets of masks, for heads of mmdet and mmseg, on what a mask transformer predicted."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS, TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from mmvitdense.layers import without_autocast

from .predictions import MaskPredictions

_LOSSES = {
    'loss_cls': {'type': 'mmdet.CrossEntropyLoss', 'use_sigmoid': False, 'loss_weight': 2.0, 'reduction': 'mean'},
    'loss_mask': {'type': 'mmdet.CrossEntropyLoss', 'use_sigmoid': True, 'loss_weight': 5.0, 'reduction': 'mean'},
    'loss_dice': {
        'type': 'mmdet.DiceLoss',
        'use_sigmoid': True,
        'activate': True,
        'reduction': 'mean',
        'naive_dice': True,
        'eps': 1.0,
        'loss_weight': 5.0,
    },
}
_ASSIGNER = {
    'type': 'mmdet.HungarianAssigner',
    'match_costs': [
        {'type': 'mmdet.ClassificationCost', 'weight': 2.0},
        {'type': 'mmdet.CrossEntropyLossCost', 'weight': 5.0, 'use_sigmoid': True},
        {'type': 'mmdet.DiceCost', 'weight': 5.0, 'pred_act': True, 'eps': 1.0},
    ],
}
_POINTS = {'num_points': 12544, 'oversample_ratio': 3.0, 'importance_sample_ratio': 0.75}
_TRAIN_OPTIONS = ('assigner', 'sampler', *_POINTS)


class SetLosses:
    """Mixin before `Mask2FormerHead` of mmdet or mmseg: its losses, matching and results, without its decoder.

    The predictions are what the backbone gives, `MaskPredictions`; the head has no weights. With the defaults the
    losses are those of EoMT (`training/mask_classification_loss.py`), for each prediction with the same weight. They
    are computed in float32 under autocast too.
    """

    def build_losses(
        self,
        num_things_classes: int,
        num_stuff_classes: int,
        no_object_weight: float,
        losses: dict[str, dict | None],
        train_cfg: dict | None,
        test_cfg: dict | None,
        init_cfg: dict | list[dict] | None,
    ) -> None:
        """Do what the constructor of `Mask2FormerHead` does, apart from its layers.

        Args:
            num_things_classes: Classes whose objects are told apart.
            num_stuff_classes: All others.
            no_object_weight: Weight of 'no object' in the loss of the classes.
            losses: 'loss_cls', 'loss_mask' and 'loss_dice': options that win over EoMT's, or None; with a type of its
                own a loss has no other options.
            train_cfg: 'assigner', 'sampler', 'num_points', 'oversample_ratio' and 'importance_sample_ratio'; EoMT's
                where not given.
            test_cfg: Of the model.
            init_cfg: Of the head.

        Raises:
            ValueError: `train_cfg` has an unknown option.
            ImportError: mmdet is not installed.
        """
        if not hasattr(self, '_loss_by_feat_single'):
            raise ImportError(f'{type(self).__name__} has the losses of mmdet: install it, for mmseg alone lacks them')
        BaseModule.__init__(self, init_cfg)
        self.num_things_classes, self.num_stuff_classes = num_things_classes, num_stuff_classes
        self.num_classes = num_things_classes + num_stuff_classes
        self.class_weight = [1.0] * self.num_classes + [no_object_weight]
        built = {name: _merged(_LOSSES[name], given) for name, given in losses.items()}
        built['loss_cls'].setdefault('class_weight', self.class_weight)
        self.class_weight = built['loss_cls']['class_weight']
        if len(self.class_weight) != self.num_classes + 1:
            raise ValueError(
                f'loss_cls.class_weight needs a weight for each of {self.num_classes} classes and one for no object, '
                f'got {len(self.class_weight)} numbers'
            )
        self.loss_cls, self.loss_mask, self.loss_dice = (MODELS.build(built[name]) for name in _LOSSES)
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        train_cfg = dict(train_cfg or {})
        if unknown := sorted(set(train_cfg) - set(_TRAIN_OPTIONS)):
            raise ValueError(f'train_cfg of {type(self).__name__} takes {_TRAIN_OPTIONS}, got {unknown}')
        self.assigner = TASK_UTILS.build(train_cfg.get('assigner', _ASSIGNER))
        sampler = train_cfg.get('sampler', {'type': 'mmdet.MaskPseudoSampler'})
        self.sampler = TASK_UTILS.build(sampler, default_args={'context': self})
        for name, default in _POINTS.items():
            setattr(self, name, train_cfg.get(name, default))

    def init_weights(self) -> None:
        """Nothing: there are no weights."""

    def forward(self, x: MaskPredictions, batch_data_samples: object = None) -> tuple[list[Tensor], list[Tensor]]:
        """The classes and masks of `x`, as lists.

        Raises:
            TypeError: The backbone predicts no masks.
            ValueError: It predicts another number of classes than the head has.
        """
        if not isinstance(x, MaskPredictions):
            raise TypeError(
                f'{type(self).__name__} takes the predictions of a mask transformer, such as mmvitdense.EoMT as '
                f'backbone or mmvitdense.PEM as last neck, got {type(x).__name__}'
            )
        predicted = x.classes[-1].shape[-1] - 1
        if predicted != self.num_classes:
            raise ValueError(
                f'the mask transformer predicts {predicted} classes, and its head has losses for {self.num_classes}: '
                f'set model.backbone.num_classes={self.num_classes}, that of the neck PEM, or the classes of the head'
            )
        self.num_queries = x.classes[-1].shape[1]
        return list(x.classes), list(x.masks)

    def losses_of(self, x: MaskPredictions, instances: Sequence[InstanceData], metas: Sequence[dict]) -> dict:
        """Losses of predictions.

        Args:
            x: Of a batch.
            instances: For each image labels and masks, n x H x W over the image; masks without a pixel do not count.
            metas: Meta data of each image.

        Returns:
            'loss_cls', 'loss_mask' and 'loss_dice' of the last prediction, with 'd0.' and so on before those of others.
        """
        classes, masks = self(x)
        instances = [_covering(_with_pixels(each), x.covered) for each in instances]
        with without_autocast(masks[0]):
            classes, masks = ([value.float() for value in values] for values in (classes, masks))
            return self.loss_by_feat(classes, masks, instances, metas)


def _merged(default: dict, given: dict | None) -> dict:
    """Options of a loss; those of another type stand alone."""
    given = dict(given or {})
    same_type = given.get('type', default['type']).rpartition('.')[2] == default['type'].rpartition('.')[2]
    return {**default, **given, 'type': default['type']} if same_type else given


def _with_pixels(instances: InstanceData) -> InstanceData:
    return instances[instances.masks.flatten(1).any(1)]


def _covering(instances: InstanceData, covered: tuple[int, int]) -> InstanceData:
    """The masks over the padded image that the predictions are over."""
    height, width = instances.masks.shape[-2:]
    padding = (0, covered[1] - width, 0, covered[0] - height)
    masks = F.pad(instances.masks, padding) if any(padding) else instances.masks
    return InstanceData(labels=instances.labels, masks=masks)
