"""Which query of kMaX-DeepLab is which mask, and what its losses weigh (`matcher.py`, `criterion.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_LEAST = 1e-5
_IGNORED = -100


class MaskTarget(NamedTuple):
    """Masks of an image at the size of the predictions.

    Attributes:
        labels: n.
        masks: n x h x w of bool; they may overlap. A place of none of them is void.
    """

    labels: Tensor
    masks: Tensor


class ClusterTargets(NamedTuple):
    """What each query of a batch should be.

    Attributes:
        labels: B x N, the number of classes for 'no object'.
        masks: B x N x h x w, at a place of several masks shares that add up to one.
        class_weights: B x N: how well the mask of a matched query fits, what part of another one is on void places.
        mask_weights: B x N: the probability of the class of a matched query, 0 for others.
        void: B x h x w, True at places of none of the matched masks.
        rarity: B x h x w, the size of the image over that of the mask at a place.
        semantic: B x h x w, labels of places, -100 at void ones.
    """

    labels: Tensor
    masks: Tensor
    class_weights: Tensor
    mask_weights: Tensor
    void: Tensor
    rarity: Tensor
    semantic: Tensor


@torch.no_grad()
def match(classes: Tensor, masks: Tensor, target: MaskTarget) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Assign the masks of an image to queries, so that the products of both similarities have the largest sum.

    Args:
        classes: Logits, N x (classes + 1).
        masks: Logits, N x h x w.
        target: With n masks.

    Returns:
        Indices of queries and of masks, of min(N, n) pairs; the similarity of each pair's masks (dice) and of its
        classes (the probability of the label).

    Raises:
        ImportError: scipy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ImportError(
            'KMaXHead and KMaXSegHead match with scipy, which is not installed: pip install scipy'
        ) from error
    given = target.masks.flatten(1).float()
    found = masks.softmax(0).flatten(1) * given.any(0)
    overlap = found @ given.T / ((found.sum(1)[:, None] + given.sum(1)) / 2 + _LEAST)
    likely = classes.softmax(-1)[:, target.labels]
    pairs = linear_sum_assignment((overlap * likely).cpu().numpy(), maximize=True)
    queries, indices = (torch.as_tensor(index, device=masks.device) for index in pairs)
    return queries, indices, overlap[queries, indices], likely[queries, indices]


@torch.no_grad()
def cluster_targets(classes: Tensor, masks: Tensor, targets: Sequence[MaskTarget]) -> ClusterTargets:
    """Match a batch.

    Args:
        classes: Logits of the last prediction, B x N x (classes + 1).
        masks: Its masks, B x N x h x w.
        targets: Of each image.
    """
    num_classes = classes.shape[-1] - 1
    labels = classes.new_full(classes.shape[:2], num_classes, dtype=torch.long)
    wanted, mask_weights = torch.zeros_like(masks), masks.new_zeros(masks.shape[:2])
    matched = [match(*each) for each in zip(classes, masks, targets)]
    for image, (target, (queries, indices, _, likely)) in enumerate(zip(targets, matched)):
        labels[image, queries] = target.labels[indices]
        wanted[image, queries] = target.masks[indices].to(wanted)
        mask_weights[image, queries] = likely.clamp(min=_LEAST)
    count = wanted.sum(1, keepdim=True)
    wanted /= count.clamp(min=1)
    void = count.squeeze(1) == 0
    class_weights = _on_void(masks, void)
    for image, (queries, _, overlap, _) in enumerate(matched):
        class_weights[image, queries] = overlap
    areas = torch.einsum('bnhw,bn->bhw', wanted, wanted.sum(dim=(2, 3)))
    return ClusterTargets(
        labels,
        wanted,
        class_weights.clamp(min=_LEAST),
        mask_weights,
        void,
        void[0].numel() / areas.clamp(min=1),
        torch.stack([_semantic(target) for target in targets]),
    )


def _on_void(masks: Tensor, void: Tensor) -> Tensor:
    """What part of each mask is on void places."""
    found = masks.softmax(1).flatten(2)
    return torch.einsum('bnl,bl->bn', found, void.flatten(1).to(found)) / (found.sum(-1) + _LEAST)


def _semantic(target: MaskTarget) -> Tensor:
    """Labels of places, those of the first mask where several are."""
    labels = target.masks.new_full(target.masks.shape[1:], _IGNORED, dtype=torch.long)
    for label, mask in zip(target.labels.flip(0), target.masks.flip(0)):
        labels[mask] = label
    return labels
