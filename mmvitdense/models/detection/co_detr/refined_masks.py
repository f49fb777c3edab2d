"""Masks that get finer in stages, with the borders of a stage settled in the next one (RefineMask, arXiv 2104.08569).

As Co-DETR's instance models have it: `SimpleRefineMaskHead` and `BARCrossEntropyLoss` of Sense-X/Co-DETR.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from mmvitdense.layers import LayerNorm2d

_DILATIONS = (1, 3, 5)
# Share of a window that is of the other kind, from which its middle is at the border.
_OTHERS = 0.1


class ConvNorm(nn.Module):
    """A 3x3 convolution without bias, a norm over the channels, ReLU."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm = LayerNorm2d(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x in_channels x h x w to B x channels x h/stride x w/stride."""
        return F.relu(self.norm(self.conv(maps)))


class RefineStage(nn.Module):
    """Features of boxes joined with those of the image below them and with the mask so far, at half the channels.

    Args:
        channels: Of the features of boxes; half as many come out.
        image_channels: Of the map of the image.
        size: Side of the features.
        stride: Of the map of the image.
    """

    def __init__(self, channels: int, image_channels: int, size: int, stride: int):
        super().__init__()
        self.image = nn.Conv2d(image_channels, channels, 1)
        layer = {'type': 'RoIAlign', 'output_size': size, 'sampling_ratio': 0}
        self.extractor = SingleRoIExtractor(layer, channels, [stride])
        self.join = nn.Conv2d(2 * channels + 1, channels, 1)
        self.branches = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=d, dilation=d) for d in _DILATIONS)
        self.merge = nn.Conv2d(channels, channels, 1)
        self.reduce = nn.Conv2d(channels, channels // 2 - 1, 1)

    def forward(self, features: Tensor, logits: Tensor, image: Tensor, rois: Tensor) -> Tensor:
        """Map R x channels x s x s, logits R x 1 x s x s and the map of the image to R x channels/2 x s x s."""
        below = self.extractor([F.relu(self.image(image))], rois)
        mask = logits.sigmoid()
        joined = F.relu(self.join(torch.cat([features, below, mask], dim=1)))
        parts = sum(F.relu(branch(joined)) for branch in self.branches) + joined.mean((2, 3), keepdim=True)
        return torch.cat([F.relu(self.reduce(F.relu(self.merge(parts)))), mask], dim=1)


class RefineMasks(nn.Module):
    """Masks of boxes in four sizes, each twice the one before, from features of boxes and the largest map.

    Args:
        num_classes: Classes; the last size has one mask for all.
        in_channels: Of features and map, a multiple of 16.
        size: Side of the features of a box, and of the first masks.
        stride: Of the map.
        num_box_convs: Convolutions on the features.
        num_image_convs: Convolutions on the map.
    """

    num_stages = 3

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 256,
        size: int = 14,
        stride: int = 4,
        num_box_convs: int = 1,
        num_image_convs: int = 2,
    ):
        super().__init__()
        self.box_convs = nn.ModuleList(ConvNorm(in_channels, in_channels) for _ in range(num_box_convs))
        self.image_convs = nn.ModuleList(ConvNorm(in_channels, in_channels) for _ in range(num_image_convs))
        widths = [in_channels // 2**stage for stage in range(self.num_stages + 1)]
        self.stages = nn.ModuleList(
            RefineStage(width, in_channels, size * 2**stage, stride) for stage, width in enumerate(widths[:-1])
        )
        classes = [num_classes] * self.num_stages + [1]
        self.logits = nn.ModuleList(nn.Conv2d(width, count, 1) for width, count in zip(widths, classes))
        self.sizes = tuple(size * 2**stage for stage in range(self.num_stages + 1))

    def forward(self, features: Tensor, image: Tensor, rois: Tensor, labels: Tensor) -> list[Tensor]:
        """Logits of the masks of the boxes' classes.

        Args:
            features: Of R boxes, R x in_channels x size x size.
            image: The largest map, B x in_channels x H x W.
            rois: R x 5: index of the image, corners in pixels.
            labels: R classes.

        Returns:
            R x 1 x s x s of each of `sizes`.
        """
        for conv in self.box_convs:
            features = conv(features)
        for conv in self.image_convs:
            image = conv(image)
        each, found = torch.arange(len(rois), device=rois.device), []
        for number, stage in enumerate(self.stages):
            logits = self.logits[number](features)[each, labels][:, None]
            features = stage(features, logits, image, rois)
            if number < self.num_stages - 1:
                features = F.interpolate(features, scale_factor=2, mode='bilinear')
            found.append(logits)
        return [*found, _enlarged(self.logits[-1](features))]


def refined(logits: Sequence[Tensor]) -> Tensor:
    """The last masks, with what the earlier ones say away from their borders; the first are left out.

    Args:
        logits: Of `RefineMasks`.

    Returns:
        R x 1 x s x s, logits.
    """
    found = logits[1]
    for finer in logits[2:]:
        found = torch.where(_near(found.sigmoid() >= 0.5, 1), finer, _enlarged(found))
    return found


def refine_loss(
    logits: Sequence[Tensor], targets: Sequence[Tensor], weights: Sequence[float], width: int = 2
) -> Tensor:
    """Binary cross-entropy: of all pixels of the first two sizes, of the others at borders of what comes before.

    Args:
        logits: Of `RefineMasks`.
        targets: Of each size, R x s x s of zeros and ones.
        weights: Of each size.
        width: Pixels on either side of a border that count.
    """
    losses, before = [], None
    for number, (found, wanted) in enumerate(zip(logits, targets)):
        wanted = wanted[:, None]
        if number < 2:
            losses.append(F.binary_cross_entropy_with_logits(found, wanted))
            before = found.detach().sigmoid() >= 0.5
            continue
        borders = border(before, width) | border(targets[number - 1][:, None] > 0, width)
        counts = _enlarged(borders.float()) >= 0.5
        each = F.binary_cross_entropy_with_logits(found, wanted, reduction='none')
        losses.append(each[counts].sum() / counts.sum().clamp(min=1))
        # Of the size before as it is, not as it was refined.
        before = torch.where(_near(before, 1), found, _enlarged(logits[number - 1])).detach().sigmoid() >= 0.5
    return sum(weight * loss for weight, loss in zip(weights, losses))


def border(masks: Tensor, width: int) -> Tensor:
    """Where more than a tenth of the window around a pixel is of the other kind; outside of the mask is background.

    Args:
        masks: R x 1 x s x s, bool.
        width: Half the side of the window.
    """
    inside = F.avg_pool2d(masks.float(), 2 * width + 1, stride=1, padding=width)
    return torch.where(masks, 1 - inside, inside) > _OTHERS


def _near(masks: Tensor, width: int) -> Tensor:
    """Pixels of twice the size that are at a border."""
    return _enlarged(border(masks, width).float()) >= 0.5


def _enlarged(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2, mode='bilinear', align_corners=True)
