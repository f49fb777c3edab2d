"""Boxes in pixels as differences to other boxes, after Plain-DETR (`util/box_ops.py` of impiga/Plain-DETR)."""

from __future__ import annotations

import math

import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from torch import Tensor

_MOST_STRETCHED = -math.log(16 / 1000)
_SPARE = 0.1


def decode(references: Tensor, deltas: Tensor, limits: Tensor) -> Tensor:
    """Move and stretch boxes, and clip them to their image.

    Args:
        references: Middle and size in pixels, B x N x 4.
        deltas: Shift of the middle in sizes of the box, and logarithm of the stretching, B x N x 4.
        limits: Width and height of the images in pixels, B x 2.

    Returns:
        Middle and size in pixels, B x N x 4.
    """
    middles, sizes = references.chunk(2, dim=-1)
    shifts, stretched = deltas.chunk(2, dim=-1)
    middles = middles + sizes * shifts
    sizes = sizes * stretched.clamp(min=-_MOST_STRETCHED, max=_MOST_STRETCHED).exp()
    corners = bbox_cxcywh_to_xyxy(torch.cat([middles, sizes], dim=-1))
    most = limits[:, None].repeat(1, 1, 2)
    return bbox_xyxy_to_cxcywh(corners.clamp(min=0).clamp(max=most))


def encode(references: Tensor, boxes: Tensor) -> Tensor:
    """The differences that a model learns, of boxes to references, whose sizes count a tenth of a pixel more.

    So `decode` does not quite turn them back, as published.

    Args:
        references: Middle and size in pixels, ... x 4.
        boxes: The same of true boxes, of a shape that broadcasts.
    """
    middles, sizes = references.chunk(2, dim=-1)
    true_middles, true_sizes = boxes.chunk(2, dim=-1)
    sizes = sizes + _SPARE
    return torch.cat([(true_middles - middles) / sizes, (true_sizes / sizes).log()], dim=-1)


def sine_code(boxes: Tensor, num_feats: int, temperature: float = 10000.0) -> Tensor:
    """Sines and cosines of each of the four numbers of boxes in pixels.

    Args:
        boxes: B x N x 4, in float32 or wider, as the numbers are not of the size of one.
        num_feats: Numbers for each of the four.
        temperature: Ratio of the longest wave to the shortest.

    Returns:
        B x N x 4 * num_feats.
    """
    index = torch.arange(num_feats, dtype=boxes.dtype, device=boxes.device)
    waves = temperature ** (2 * (index // 2) / num_feats)
    angles = (boxes * (2 * math.pi))[..., None] / waves
    return torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=-1).flatten(-3)
