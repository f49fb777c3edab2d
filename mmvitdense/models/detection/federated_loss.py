"""The federated loss for classes of which only some are annotated in each image, as in LVIS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.losses import accuracy
from torch import Tensor, nn

from mmvitdense.option_types import Count, NotNegative
from mmvitdense.registry import MODELS


@MODELS.register_module()
class FederatedLoss(nn.Module):
    """Binary cross-entropy over a sample of the classes (arXiv 2103.07461; detectron2 `roi_heads/fast_rcnn.py`).

    The classes that occur in a batch count, background as one of them, and others are drawn up to `num_sampled`
    without replacement, with probabilities that go with a power of the number of images they are in. Logits of all
    other classes get no gradient. The sum is divided by the number of RoIs. Each process draws for itself.

    A classifier that this loss trains has one logit for each class and none for background.

    Args:
        class_counts: Number of training images that show each class. May be left out for prediction, and when
            `mmvitdense.ClassCountsHook` sets it from the training data.
        num_sampled: Classes that count in a batch, background included.
        power: Exponent of the counts.
        loss_weight: Factor of the loss.
    """

    # What mmdet's box heads ask a loss with logits of its own.
    custom_cls_channels = custom_activation = custom_accuracy = True

    def __init__(
        self,
        class_counts: Sequence[int] | None = None,
        num_sampled: Count = 50,
        power: NotNegative = 0.5,
        loss_weight: NotNegative = 1.0,
    ):
        super().__init__()
        self.num_sampled = num_sampled
        self.power = power
        self.loss_weight = loss_weight
        self.class_weights = None
        if class_counts is not None:
            self.set_class_counts(class_counts)

    def set_class_counts(self, class_counts: Sequence[int]) -> None:
        """Take the number of images of each class."""
        self.class_weights = torch.as_tensor(class_counts, dtype=torch.float32, device='cpu') ** self.power

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            cls_score: N x K logits.
            label: N labels out of 0 to K; K is background.
            weight: N factors.
            avg_factor: What the sum is divided by; N when None.
            reduction_override: 'sum' or 'none' instead of the mean; 'none' gives N x K values.
        """
        num_classes = cls_score.shape[1]
        targets = F.one_hot(label, num_classes + 1)[:, :num_classes].to(cls_score)
        losses = F.binary_cross_entropy_with_logits(cls_score, targets, reduction='none')
        losses = self.loss_weight * losses * self._sample_classes(label, num_classes)
        if weight is not None:
            losses = losses * weight[:, None]
        if reduction_override == 'none':
            return losses
        if reduction_override == 'sum':
            return losses.sum()
        return losses.sum() / (len(label) if avg_factor is None else avg_factor)

    def _sample_classes(self, label: Tensor, num_classes: int) -> Tensor:
        """Return 1 for each of the K classes that count and 0 for the others."""
        if self.class_weights is None:
            raise RuntimeError(
                'FederatedLoss does not know in how many images each class is: add '
                "dict(type='mmvitdense.ClassCountsHook') to custom_hooks, or give it class_counts=[...]."
            )
        if len(self.class_weights) != num_classes:
            raise ValueError(
                f'FederatedLoss has counts of {len(self.class_weights)} classes for logits of {num_classes}: '
                'num_classes of the box head must be that of the training data'
            )
        present = label.unique()
        weights = self.class_weights.to(label.device)
        weights = weights.index_fill(0, present[present < num_classes], 0)
        counting = label.new_zeros(num_classes + 1)
        counting[present] = 1
        num_drawn = min(self.num_sampled - len(present), int((weights > 0).sum()))
        if num_drawn > 0:
            counting[torch.multinomial(weights, num_drawn)] = 1
        return counting[:num_classes]

    def get_cls_channels(self, num_classes: int) -> int:
        """Logits of the classifier (called by mmdet's box heads)."""
        return num_classes

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Probabilities from logits, N x K to N x (K+1): mmdet expects a column for background, here of zeros."""
        scores = cls_score.sigmoid()
        return torch.cat([scores, scores.new_zeros(len(scores), 1)], dim=1)

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Percentage of the objects whose class has the highest logit."""
        objects = labels < cls_score.shape[1]
        return {'acc': accuracy(cls_score[objects], labels[objects])}
