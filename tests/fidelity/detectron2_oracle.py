"""RPN, box heads and mask head of detectron2's ViTDet, computed step by step on weights under detectron2's names.

Written from the description of the method (Mask R-CNN, Cascade R-CNN, arXiv 2203.16527 appendix) in plain torch and
torchvision's RoIAlign; no part of mmdet or of this package is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

STRIDES = (4, 8, 16, 32)


@dataclass
class Image:
    """An image with its objects and the proposals for it; boxes in pixels."""

    size: tuple[int, int]
    proposals: Tensor
    boxes: Tensor
    labels: Tensor
    masks: Tensor


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Overlap of every box of the first with every one of the second."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = first.T[:, :, None], second.T[:, None]
    width, height = torch.min(x2, u2) - torch.max(x1, u1), torch.min(y2, v2) - torch.max(y1, v1)
    common = width.clamp(min=0) * height.clamp(min=0)
    return common / ((x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common)


def encode(boxes: Tensor, targets: Tensor, weights: tuple) -> Tensor:
    """Deltas from boxes to targets."""
    size, target_size = boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2]
    centre, target_centre = boxes[:, :2] + size / 2, targets[:, :2] + target_size / 2
    deltas = torch.cat([(target_centre - centre) / size, (target_size / size).log()], dim=1)
    return deltas * torch.tensor(weights)


def decode(boxes: Tensor, deltas: Tensor, weights: tuple) -> Tensor:
    """Boxes moved by deltas."""
    deltas = deltas / torch.tensor(weights)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + size / 2 + deltas[:, :2] * size
    half = size * deltas[:, 2:].clamp(max=math.log(1000 / 16)).exp() / 2
    return torch.cat([centre - half, centre + half], dim=1)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes cut at the border of the image."""
    height, width = size
    return torch.minimum(boxes.clamp(min=0), torch.tensor([width, height, width, height]))


def roi_features(maps: list[Tensor], boxes: list[Tensor], side: int) -> Tensor:
    """RoIAlign, each box from the level that fits its area."""
    features = []
    for index, image_boxes in enumerate(boxes):
        for box in image_boxes:
            area = (box[2] - box[0]) * (box[3] - box[1])
            level = math.floor(4 + math.log2(math.sqrt(area) / 224 + 1e-8)) if area > 0 else 2
            level = min(max(level, 2), 5) - 2
            roi = torch.cat([torch.tensor([float(index)]), box])[None]
            features.append(roi_align(maps[level], roi, side, 1 / STRIDES[level], -1, aligned=True))
    return torch.cat(features) if features else maps[0].new_zeros(0, maps[0].shape[1], side, side)


def conv_norm_relu(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    """Convolution without bias, norm over the channels of each position, ReLU."""
    x = F.conv2d(x, weights[f'{name}.weight'], padding=1)
    x = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    return F.relu(x * weights[f'{name}.norm.weight'][:, None, None] + weights[f'{name}.norm.bias'][:, None, None])


def linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    """A layer x A^T + b."""
    return x @ weights[f'{name}.weight'].T + weights[f'{name}.bias']


def box_head(x: Tensor, weights: dict[str, Tensor], stage: str = '') -> tuple[Tensor, Tensor]:
    """Logits and deltas of a box head; `stage` is such as '0.'."""
    for number in range(1, 5):
        x = conv_norm_relu(x, weights, f'roi_heads.box_head.{stage}conv{number}')
    x = F.relu(linear(x.flatten(1), weights, f'roi_heads.box_head.{stage}fc1'))
    predictor = f'roi_heads.box_predictor.{stage}'
    return linear(x, weights, f'{predictor}cls_score'), linear(x, weights, f'{predictor}bbox_pred')


def mask_head(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Logits of the mask head."""
    head = 'roi_heads.mask_head'
    for number in range(1, 5):
        x = conv_norm_relu(x, weights, f'{head}.mask_fcn{number}')
    x = F.relu(F.conv_transpose2d(x, weights[f'{head}.deconv.weight'], weights[f'{head}.deconv.bias'], stride=2))
    return F.conv2d(x, weights[f'{head}.predictor.weight'], weights[f'{head}.predictor.bias'])


def match(boxes: Tensor, image: Image, threshold: float, background: int) -> tuple[Tensor, Tensor]:
    """Label of each box and the object it overlaps most."""
    best, index = iou(boxes, image.boxes).max(1)
    return torch.where(best >= threshold, image.labels[index], background), index


def box_losses(
    logits: Tensor, deltas: Tensor, boxes: list[Tensor], labels: list[Tensor], targets: list[Tensor], weights: tuple
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and L1 of positives, both divided by the number of boxes."""
    label = torch.cat(labels)
    background = logits.shape[1] - 1
    score_loss = -logits.log_softmax(1)[range(len(label)), label].sum() / len(label)
    positive = label < background
    wanted = encode(torch.cat(boxes)[positive], torch.cat(targets)[positive], weights)
    given = deltas[positive]
    if deltas.shape[1] > 4:
        given = given.view(len(given), background, 4)[range(len(given)), label[positive]]
    return score_loss, (given - wanted).abs().sum() / len(label)


def mask_loss(
    maps: list[Tensor],
    weights: dict[str, Tensor],
    images: list[Image],
    boxes: list[Tensor],
    labels: list[Tensor],
    index: list[Tensor],
) -> Tensor:
    """Binary cross-entropy of the mask of the right class, over the boxes with an object."""
    background = weights['roi_heads.mask_head.predictor.bias'].numel()
    positive = [label < background for label in labels]
    logits = mask_head(roi_features(maps, [b[p] for b, p in zip(boxes, positive)], 14), weights)
    label = torch.cat([lab[p] for lab, p in zip(labels, positive)])
    targets = []
    for image, box, where, which in zip(images, boxes, positive, index):
        for roi, obj in zip(box[where], which[where]):
            mask = image.masks[obj][None, None].to(roi)
            targets.append(roi_align(mask, [roi[None]], 28, 1.0, -1, aligned=True)[0, 0] >= 0.5)
    wanted = torch.stack(targets).to(logits)
    return F.binary_cross_entropy_with_logits(logits[range(len(label)), label], wanted)


def suppress(boxes: Tensor, scores: Tensor, threshold: float, overlap: float, top: int) -> list[tuple]:
    """Greedy suppression within each class: (score, class, number of the RoI), best first.

    Args:
        boxes: N x 4, or N x K x 4 with a box for each class.
        scores: N x K.
        threshold: Least score.
        overlap: Greatest IoU of two that are kept.
        top: How many are kept.
    """
    kept = []
    for label in range(scores.shape[1]):
        of_class = boxes if boxes.ndim == 2 else boxes[:, label]
        chosen = []
        for roi in scores[:, label].argsort(descending=True).tolist():
            if scores[roi, label] <= threshold:
                break
            if not chosen or iou(of_class[[roi]], of_class[chosen]).max() <= overlap:
                chosen.append(roi)
        kept += [(scores[roi, label].item(), label, roi) for roi in chosen]
    return sorted(kept, reverse=True)[:top]


def paste(probabilities: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """A 28 x 28 mask drawn into an image."""
    height, width = size
    x = (torch.arange(width) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
    y = (torch.arange(height) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing='ij')[::-1], dim=-1)[None]
    return F.grid_sample(probabilities[None, None], grid, align_corners=False)[0, 0] >= 0.5
