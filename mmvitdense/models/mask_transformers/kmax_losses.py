"""Losses of kMaX-DeepLab (`criterion.py`; MaX-DeepLab, arXiv 2012.00759)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitdense.option_types import Count, CountOrZero, NotNegative, Positive, Share, options_checked

from .kmax_matching import ClusterTargets, MaskTarget, cluster_targets
from .predictions import MaskPredictions

_SIMILARITY_TEMPERATURE = 0.3
# Of the logit of a place that is not to be drawn.
_NEVER = 99999.0


class KMaXCriterion:
    """Losses of clusters: classes and masks weighted by each other, as the panoptic quality is their product.

    The last prediction is matched with the masks of an image, and earlier ones are held against the same pairs.

    Args:
        class_weight: Of the loss of the classes.
        mask_weight: Of the cross-entropy of places over queries.
        dice_weight: Of the dice loss.
        pixel_weight: Of the loss by which features of places of one mask are alike; 0 for none.
        semantic_weight: Of the semantic segmentation, where there is one; for none give the neck `semantic=None`.
        foreground_share: Weight of classes in the loss of the classes, that of 'no object' is the rest of one.
        pixel_samples: Places of an image that are compared with each other, all where there are less.
        pixel_temperature: How much more likely places of small masks are drawn for that; 0 for evenly.
        semantic_samples: Places of an image in the semantic loss; 0 for all.
        semantic_temperature: As `pixel_temperature`.
    """

    @options_checked
    def __init__(
        self,
        class_weight: NotNegative = 3.0,
        mask_weight: NotNegative = 0.3,
        dice_weight: NotNegative = 3.0,
        pixel_weight: NotNegative = 1.0,
        semantic_weight: Positive = 1.0,
        foreground_share: Share = 0.75,
        pixel_samples: Count = 4096,
        pixel_temperature: NotNegative = 1.5,
        semantic_samples: CountOrZero = 4096,
        semantic_temperature: NotNegative = 2.0,
    ):
        self.class_weight, self.mask_weight, self.dice_weight = class_weight, mask_weight, dice_weight
        self.pixel_weight, self.semantic_weight = pixel_weight, semantic_weight
        self.foreground_share = foreground_share
        self.pixel_samples, self.pixel_temperature = pixel_samples, pixel_temperature
        self.semantic_samples, self.semantic_temperature = semantic_samples, semantic_temperature

    def __call__(self, x: MaskPredictions, targets: Sequence[MaskTarget]) -> dict[str, Tensor]:
        """Losses of predictions in float32.

        Args:
            x: Of a training.
            targets: Of each image, at the size of the masks.

        Returns:
            'loss_cls', 'loss_mask', 'loss_dice', 'loss_pixel' and 'loss_semantic' of the last prediction, those of
            earlier ones with 'd0.' and so on before them.
        """
        wanted = cluster_targets(x.classes[-1], x.masks[-1], targets)
        *earlier, last = zip(x.classes, x.masks, x.features)
        losses = self._of_one(*last, wanted)
        if x.semantic is not None:
            losses['loss_semantic'] = self.semantic_weight * self._semantic(x.semantic, wanted)
        for index, each in enumerate(earlier):
            losses |= {f'd{index}.{name}': loss for name, loss in self._of_one(*each, wanted).items()}
        return losses

    def _of_one(self, classes: Tensor, masks: Tensor, features: Tensor, wanted: ClusterTargets) -> dict[str, Tensor]:
        losses = {
            'loss_cls': self.class_weight * class_loss(classes, wanted, self.foreground_share),
            'loss_mask': self.mask_weight * mask_loss(masks, wanted),
            # The share is that of the class loss, by which the published code scales this one too.
            'loss_dice': self.dice_weight * self.foreground_share * dice_loss(masks, wanted),
        }
        if self.pixel_weight:
            drawn = drawn_places(wanted.rarity, wanted.void, self.pixel_samples, self.pixel_temperature)
            losses['loss_pixel'] = self.pixel_weight * pixel_loss(features, wanted.masks, drawn)
        return losses

    def _semantic(self, logits: Tensor, wanted: ClusterTargets) -> Tensor:
        labels, rarity, void = (
            _at_places(each, logits.shape[-2:]) for each in (wanted.semantic, wanted.rarity, wanted.void)
        )
        labels, logits = labels.flatten(1), logits.flatten(2)
        if self.semantic_samples:
            drawn = drawn_places(rarity, void, self.semantic_samples, self.semantic_temperature)
            labels = labels.gather(1, drawn)
            logits = logits.gather(2, drawn[:, None].expand(-1, logits.shape[1], -1))
        return mean_of_nonzero(F.cross_entropy(logits, labels, reduction='none'))


def class_loss(classes: Tensor, wanted: ClusterTargets, foreground_share: float) -> Tensor:
    """Cross-entropy of B x N x (classes + 1), weighted by how well each mask fits."""
    losses = F.cross_entropy(classes.mT, wanted.labels, reduction='none')
    is_void = wanted.labels == classes.shape[-1] - 1
    shares = torch.where(is_void, 1 - foreground_share, foreground_share)
    return mean_of_nonzero(losses * shares * wanted.class_weights)


def mask_loss(masks: Tensor, wanted: ClusterTargets) -> Tensor:
    """Cross-entropy over the queries of each place of B x N x h x w that is not void."""
    losses = F.cross_entropy(masks, wanted.masks, reduction='none')
    return mean_of_nonzero(losses.masked_fill(wanted.void, 0.0).flatten(1))


def dice_loss(masks: Tensor, wanted: ClusterTargets) -> Tensor:
    """The mean over all queries of the dice loss of matched ones, B x N x h x w, weighted by how sure the class is."""
    found = masks.softmax(1).masked_fill(wanted.void[:, None], 0.0).flatten(2)
    given = wanted.masks.flatten(2)
    losses = 1 - (2 * (found * given).sum(2) + 1) / (found.sum(2) + given.sum(2) + 1)
    return (losses * wanted.mask_weights).mean()


def pixel_loss(features: Tensor, masks: Tensor, drawn: Tensor) -> Tensor:
    """Cross-entropy of which places are of the mask of a place (instance discrimination).

    Args:
        features: B x C x h x w, of length 1.
        masks: Shares of queries, B x N x h x w.
        drawn: Indices of the places that are compared, B x K.
    """
    features, masks = (x.flatten(2).gather(2, drawn[:, None].expand(-1, x.shape[1], -1)) for x in (features, masks))
    same = masks.mT @ masks
    same = same / same.sum(1, keepdim=True).clamp(min=1)
    alike = features.mT @ features / _SIMILARITY_TEMPERATURE
    return mean_of_nonzero(F.cross_entropy(alike, same, reduction='none'))


@torch.no_grad()
def drawn_places(rarity: Tensor, void: Tensor, count: int, temperature: float) -> Tensor:
    """Indices of different places, B x K, drawn with the `temperature`-th power of their rarity as likelihood.

    Void ones come last, and all are taken where there are not so many.
    """
    logits = temperature * rarity.flatten(1).log() - _NEVER * void.flatten(1)
    # Gumbel's noise makes the largest sums a draw without replacement.
    noise = -(-torch.rand_like(logits).log()).log()
    return (logits + noise).topk(min(count, logits.shape[1])).indices


def mean_of_nonzero(losses: Tensor) -> Tensor:
    """The mean over an image's entries that are not zero, and of these over the batch; B x n."""
    return (losses.sum(1) / (losses != 0).sum(1).clamp(min=1)).mean()


def _at_places(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Values of B x h x w nearest to the places of a map of another size whose corners are on its corners."""
    for dim, side in zip((1, 2), size):
        if maps.shape[dim] != side:
            places = torch.linspace(0, maps.shape[dim] - 1, side, device=maps.device).round().long()
            maps = maps.index_select(dim, places)
    return maps
