"""Features of regions from a pyramid, as mmdet's `SingleRoIExtractor` takes them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from ..errors import ExportError


class Regions(nn.Module):
    """Each region is taken from the level that fits its area; levels without regions take none.

    Args:
        extractor: mmdet's.

    Raises:
        ExportError: it is of another type, or does something else than to average in bins.
    """

    def __init__(self, extractor: nn.Module):
        super().__init__()
        layers = list(getattr(extractor, 'roi_layers', ()))
        if type(extractor) is not SingleRoIExtractor or not all(
            isinstance(layer, RoIAlign) and layer.pool_mode == 'avg' for layer in layers
        ):
            raise ExportError(
                f'The regions of the config are taken by {type(extractor).__name__}; what can be exported is '
                "SingleRoIExtractor with RoIAlign, pool_mode='avg'."
            )
        self.extractor = extractor

    def forward(self, maps: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Map N regions (image, x1, y1, x2, y2) to N x C x h x w."""
        layers = self.extractor.roi_layers
        maps = maps[: len(layers)]
        if len(maps) == 1:
            return _align(layers[0], maps[0], rois)
        levels = self.extractor.map_roi_levels(rois, len(maps))
        features = maps[0].new_zeros(len(rois), maps[0].shape[1], *layers[0].output_size)
        for level, (layer, of_level) in enumerate(zip(layers, maps)):
            places = (levels == level).nonzero()[:, 0]
            features = features.index_copy(0, places, _align(layer, of_level, rois[places]))
        return features


def _align(layer: RoIAlign, features: Tensor, rois: Tensor) -> Tensor:
    return torch.ops.torchvision.roi_align(
        features, rois, layer.spatial_scale, *layer.output_size, layer.sampling_ratio, layer.aligned
    )
