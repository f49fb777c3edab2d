"""kMaX-DeepLab: masks as clusters of places, found by k-means (arXiv 2207.04044; bytedance/kmax-deeplab)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmvitdense.layers import constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.option_types import Count, CountOrZero, DropRate
from mmvitdense.registry import MODELS

from .kmax_conv import ConvNorm, draw_cut_normal
from .kmax_layer import KMaXLayer, Predictor
from .kmax_pixel_decoder import EXPANSION, KINDS, LEVELS, KMaXPixelDecoder, resized
from .kmax_semantic import SEMANTIC
from .predictions import MaskPredictions

_FEWEST = 4


@MODELS.register_module()
class KMaX(InitializedModule):
    """k-means mask transformer: classes and masks of queries from the maps of any backbone.

    It is the last `neck` of mmdet's `MaskFormer`, with `KMaXHead` behind it, or of mmseg's `EncoderDecoder`,
    with `KMaXSegHead`: after `SimpleFeaturePyramid` on a `PlainViT`, alone on a `ViTAdapter` or a ResNet. The
    heads have losses and results, and no weights.

    In training it predicts in each layer and after the last one, all at the size of the last prediction, with the
    features of places and semantic segmentation beside; else once, after the last. There each process needs two images,
    or a `SyncBN` over several.

    Args:
        in_channels: Of the maps, largest first: strides 4, 8, 16 and 32. There may be more before them; the models
            for Cityscapes have two of stride 4, of a ResNet that of its first stage before that of its stem.
        num_classes: Classes without 'no object': things and stuff of panoptic data.
        num_queries: Queries.
        num_layers: Layers of the decoder on the maps of stride 32, 16 and 8, one after another.
        embed_dims: Channels of the queries, a multiple of 8 and of twice `num_heads`.
        mask_channels: Channels in which queries and places are compared, half of `embed_dims` where not given.
        channels: Width of the pixel decoder's blocks for each map, smallest first, multiples of `num_heads` where
            they have axial attention.
        num_blocks: Its blocks for each map, smallest first.
        kinds: Kind of the blocks of each map, 'axial' or 'bottleneck', smallest first.
        num_heads: Heads of axial attention and of the self-attention of the queries.
        feedforward_channels: Of a layer's network.
        semantic: What segments the backbone's maps in training: 'aspp', 'conv' or None.
        norm_cfg: Norm of maps and queries, see `build_norm2d`.
        stride: Pixels from one place of the largest map to the next.
        drop_path_rate: Of the branches of the decoder.
        pixel_drop_path_rate: Of the blocks of the pixel decoder.
        init_cfg: As in mmengine.

    Raises:
        ValueError: An option does not fit the number of maps, or a width not the heads.
    """

    # Its num_classes are those of the data, which is checked before a training.
    counts_classes = True

    @constructed_undrawn
    def __init__(
        self,
        in_channels: Sequence[Count],
        num_classes: Count,
        num_queries: Count = 128,
        num_layers: Sequence[CountOrZero] = (2, 2, 2),
        embed_dims: Count = 256,
        mask_channels: Count | None = None,
        channels: Sequence[Count] = (512, 256, 128, 64),
        num_blocks: Sequence[Count] = (1, 5, 1, 1),
        kinds: Sequence[str] = ('axial', 'axial', 'bottleneck', 'bottleneck'),
        num_heads: Count = 8,
        feedforward_channels: Count = 2048,
        semantic: Literal['aspp', 'conv'] | None = 'aspp',
        norm_cfg: dict = dict(type='SyncBN', eps=1e-3, momentum=0.01),  # noqa: B006 - never changed
        stride: Count = 4,
        drop_path_rate: DropRate = 0.0,
        pixel_drop_path_rate: DropRate = 0.0,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        _check(in_channels, num_layers, embed_dims, channels, num_blocks, kinds, num_heads)
        self.num_classes, self.num_queries, self.stride = num_classes, num_queries, stride
        self.num_maps = len(in_channels)
        self.pixel_decoder = KMaXPixelDecoder(
            in_channels, channels, num_blocks, kinds, num_heads, norm_cfg, pixel_drop_path_rate
        )
        self.cluster_centers = nn.Parameter(torch.empty(embed_dims, num_queries))
        mask_channels = mask_channels or embed_dims // 2
        self.layers = nn.ModuleList()
        # Which of the three maps each layer reads.
        self.levels = [level for level, count in enumerate(num_layers) for _ in range(count)]
        for level in self.levels:
            self.layers.append(
                KMaXLayer(
                    EXPANSION * channels[level],
                    embed_dims,
                    mask_channels,
                    num_classes,
                    num_heads,
                    feedforward_channels,
                    norm_cfg,
                    drop_path_rate,
                )
            )
        self.of_classes = ConvNorm(embed_dims, embed_dims, norm_cfg)
        self.of_masks = ConvNorm(embed_dims, embed_dims, norm_cfg)
        self.predictor = Predictor(EXPANSION * channels[-1], embed_dims, mask_channels, num_classes, norm_cfg)
        read = self._read_by_semantic(in_channels)
        self.semantic = SEMANTIC[semantic](read, embed_dims, num_classes, norm_cfg) if semantic else None

    def reset_parameters(self) -> None:
        """Draw the queries."""
        draw_cut_normal(self.cluster_centers, 1.0)

    def _read_by_semantic(self, maps: Sequence) -> tuple:
        """What belongs to the smallest map, the third smallest and the one after it."""
        return maps[-1], maps[-3], maps[-4]

    def forward(self, maps: Sequence[Tensor]) -> MaskPredictions:
        """Predict from maps, largest first, each B x its in_channels x h x w.

        Raises:
            ValueError: There are not as many as `in_channels`, or a row or column has more than 255 places for axial
                attention.
        """
        if len(maps) != self.num_maps:
            raise ValueError(f'KMaX was built for {self.num_maps} maps, got {len(maps)}: give in_channels for each')
        largest, levels = self.pixel_decoder(maps)
        queries = self.cluster_centers.expand(largest.shape[0], -1, -1)[..., None]
        predicted = []
        for layer, level in zip(self.layers, self.levels):
            queries, found = layer(queries, levels[level])
            predicted.append(found)
        final = self.predictor(self.of_classes(queries), self.of_masks(queries), largest)
        height, width = final.masks.shape[-2:]
        covered = (height * self.stride, width * self.stride)
        if not self.training:
            return MaskPredictions((final.classes,), (final.masks,), None, covered)
        size = (height, width)
        masks = [resized(found.masks, size, height) for found in predicted]
        features = [resized(found.features, size, height) for found in predicted]
        return MaskPredictions(
            (*(found.classes for found in predicted), final.classes),
            (*masks, final.masks),
            None,
            covered,
            features=(*features, final.features),
            semantic=self.semantic(self._read_by_semantic(maps)) if self.semantic is not None else None,
        )


def _check(
    in_channels: Sequence[int],
    num_layers: Sequence[int],
    embed_dims: int,
    channels: Sequence[int],
    num_blocks: Sequence[int],
    kinds: Sequence[str],
    num_heads: int,
) -> None:
    """Refuse options that do not fit each other, with ValueError."""
    if len(in_channels) < _FEWEST:
        raise ValueError(
            f'KMaX takes four maps or more, of strides 4, 8, 16 and 32, got in_channels={list(in_channels)}: give the '
            'channels of each'
        )
    for name, value in (('channels', channels), ('num_blocks', num_blocks), ('kinds', kinds)):
        if len(value) != len(in_channels):
            raise ValueError(f'{name} needs an entry for each of {len(in_channels)} maps, got {list(value)}')
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise ValueError(f'kinds of blocks are {KINDS}, got {unknown}')
    if len(num_layers) != LEVELS or not sum(num_layers):
        raise ValueError(
            f'num_layers needs a number for each of the strides 32, 16 and 8, not all 0, got {list(num_layers)}'
        )
    if embed_dims % 8 or embed_dims % (2 * num_heads):
        raise ValueError(f'embed_dims must be a multiple of 8 and of twice num_heads={num_heads}, got {embed_dims}')
    if odd := [width for width, kind in zip(channels, kinds) if kind == 'axial' and width % num_heads]:
        raise ValueError(
            f'channels of blocks with axial attention must be multiples of num_heads={num_heads}, got {odd}'
        )
