"""What the auxiliary heads of Co-DETR found positive, as queries of the decoder (arXiv 2211.12860 section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from torch import Tensor

FEWEST = 9


class Candidates(NamedTuple):
    """All that a head was to classify, one tensor per image: anchors, or proposals that were sampled.

    Attributes:
        boxes: N x 4, corners in pixels.
        labels: N classes, the number of classes for background.
        targets: N x 4, the true box of each positive, corners in pixels; anything for the others.
    """

    boxes: Sequence[Tensor]
    labels: Sequence[Tensor]
    targets: Sequence[Tensor]


class PositiveQueries(NamedTuple):
    """Queries and what they are to predict, B images of K queries. Boxes are centre and size, of an image of side one.

    Attributes:
        boxes: B x K x 4, where the queries start.
        labels: B x K.
        targets: B x K x 4.
        label_weights: B x K, zero for queries that fill up.
        box_weights: B x K x 4, one for positives, else zero.
    """

    boxes: Tensor
    labels: Tensor
    targets: Tensor
    label_weights: Tensor
    box_weights: Tensor


def positive_queries(
    candidates: Candidates,
    image_sizes: Sequence[tuple[int, int]],
    num_classes: int,
    most: int = 300,
    zero_padding: bool = False,
) -> PositiveQueries:
    """Choose the queries of one auxiliary head.

    As many for each image as the image with the most positives has, at least 9 and at most `most`: all positives, or
    a random choice of them, then a random choice of the image's negatives (`co_deformable_detr_head.py` of
    Sense-X/Co-DETR, `get_aux_targets`). Where an image has too few negatives the rest are empty boxes that count in
    no loss; the released code stops there.

    Args:
        candidates: What the head classified.
        image_sizes: Height and width of each image in pixels.
        num_classes: Number of classes, which is the label of background.
        most: Most queries of an image.
        zero_padding: Fill up with such empty boxes alone, without negatives.
    """
    positives = [((labels >= 0) & (labels < num_classes)).nonzero().flatten() for labels in candidates.labels]
    count = max(FEWEST, min(most, max(len(indices) for indices in positives)))
    rows = []
    for boxes, labels, targets, chosen, (height, width) in zip(*candidates, positives, image_sizes):
        if len(chosen) > count:
            chosen = chosen[_some(len(chosen), count, chosen.device)]
        num_positives = len(chosen)
        if num_positives < count and not zero_padding:
            negatives = (labels == num_classes).nonzero().flatten()
            chosen = torch.cat([chosen, negatives[_some(len(negatives), count - num_positives, chosen.device)]])
        scale = boxes.new_tensor([width, height, width, height])
        label_weights, box_weights = boxes.new_zeros(count), boxes.new_zeros(count, 4)
        label_weights[: len(chosen)] = 1
        box_weights[:num_positives] = 1
        starts, ends = (bbox_xyxy_to_cxcywh(part[chosen] / scale) for part in (boxes, targets))
        rows.append(
            (
                _filled(starts, count, 0),
                _filled(labels[chosen], count, num_classes),
                _filled(ends, count, 0),
                label_weights,
                box_weights,
            )
        )
    return PositiveQueries(*(torch.stack(column) for column in zip(*rows)))


def _some(total: int, count: int, device: torch.device) -> Tensor:
    """Random indices, drawn on the CPU as in the released code, so that a seed means the same on any device."""
    return torch.randperm(total)[:count].to(device)


def _filled(rows: Tensor, count: int, value: int) -> Tensor:
    return torch.cat([rows, rows.new_full((count - len(rows), *rows.shape[1:]), value)])
