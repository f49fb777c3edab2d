"""PEM: a light decoder of masks on maps of four strides (arXiv 2402.19422; NiccoloCavagnero/PEM)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.option_types import Count
from mmvitdense.registry import MODELS

from .pem_layer import PEMLayer
from .pem_pixel_decoder import PEMPixelDecoder, sine_positions
from .predictions import MaskPredictions

_MAPS = 3


@MODELS.register_module()
class PEM(InitializedModule):
    """Prototype-based efficient MaskFormer: classes and masks of queries from the maps of any backbone.

    It is the last `neck` of mmdet's `MaskFormer`, with `MaskTransformerHead` behind it, or of mmseg's
    `EncoderDecoder`, with `MaskTransformerSegHead`: after `SimpleFeaturePyramid` on a `PlainViT`, alone on a
    `ViTAdapter` or a ResNet. The heads have losses and results, and no weights.

    In training it predicts before each layer and after the last one; else once, after the last.

    Args:
        in_channels: Of the four maps, of strides 4, 8, 16 and 32.
        num_classes: Classes without 'no object': things and stuff of panoptic data.
        num_queries: Queries.
        num_layers: Layers of the decoder; they read the maps of stride 32, 16 and 8 in turn, which of fewer than three
            layers the first ones are.
        embed_dims: Channels of the queries, a multiple of 4 and of `num_heads`.
        pixel_channels: Channels of the pixel decoder.
        mask_channels: Channels of the map that is multiplied by the queries to masks.
        num_heads: Heads of the attention.
        feedforward_channels: Of a layer's network.
        norm_cfg: Norm of maps, see `build_norm2d`.
        stride: Pixels from one place of the largest map to the next.
        double_sigmoid: As the published code, see `ContextModulation`.
        reset_per_query: Whether a query whose mask is empty sees the whole map, which the published code does not
            have; see `PrototypeAttention`.
        init_cfg: As in mmengine.

    Raises:
        ValueError: There are not four maps, or `embed_dims` does not fit.
    """

    # Its num_classes are those of the data, which is checked before a training.
    counts_classes = True

    @constructed_undrawn
    def __init__(
        self,
        in_channels: Sequence[Count],
        num_classes: Count,
        num_queries: Count = 100,
        num_layers: Count = 6,
        embed_dims: Count = 256,
        pixel_channels: Count = 128,
        mask_channels: Count = 256,
        num_heads: Count = 8,
        feedforward_channels: Count = 2048,
        norm_cfg: dict = dict(type='SyncBN'),  # noqa: B006 - never changed
        stride: Count = 4,
        double_sigmoid: bool = True,
        reset_per_query: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        if embed_dims % 4 or embed_dims % num_heads:
            raise ValueError(f'embed_dims must be a multiple of 4 and of num_heads={num_heads}, got {embed_dims}')
        self.num_classes, self.num_queries, self.stride = num_classes, num_queries, stride
        self.pixel_decoder = PEMPixelDecoder(in_channels, pixel_channels, mask_channels, norm_cfg, double_sigmoid)
        num_maps = min(_MAPS, num_layers)
        self.inputs = nn.ModuleList(nn.Conv2d(pixel_channels, embed_dims, 1) for _ in range(num_maps))
        self.level_embed = nn.Embedding(num_maps, embed_dims)
        self.query_feat = nn.Embedding(num_queries, embed_dims)
        self.query_embed = nn.Embedding(num_queries, embed_dims)
        self.layers = nn.ModuleList(
            PEMLayer(embed_dims, num_heads, feedforward_channels, norm_cfg, reset_per_query) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dims)
        self.cls_embed = nn.Linear(embed_dims, num_classes + 1)
        self.mask_embed = nn.Sequential(
            nn.Linear(embed_dims, embed_dims),
            nn.ReLU(),
            nn.Linear(embed_dims, embed_dims),
            nn.ReLU(),
            nn.Linear(embed_dims, mask_channels),
        )

    def draw_weights(self, given: Sequence[str] = ()) -> None:
        """Draw the weights; the 1x1 convolutions before the layers by LeCun's rule, as the published code does."""
        super().draw_weights(given)
        for index, conv in enumerate(self.inputs):
            if f'inputs.{index}.weight' not in given:
                nn.init.kaiming_uniform_(conv.weight, a=1)
                nn.init.zeros_(conv.bias)

    def forward(self, maps: Sequence[Tensor]) -> MaskPredictions:
        """Predict from four maps, largest first, each B x its in_channels x h x w.

        Raises:
            ValueError: There are not four, or the sides of one are not twice those of the next.
        """
        mask_maps, levels = self.pixel_decoder(maps)
        levels = [
            conv(each) + embed[:, None, None] for conv, each, embed in zip(self.inputs, levels, self.level_embed.weight)
        ]
        placed = [each + sine_positions(each).to(each.dtype) for each in levels]
        batch = mask_maps.shape[0]
        positions = self.query_embed.weight.expand(batch, -1, -1)
        queries = self.query_feat.weight.expand(batch, -1, -1)
        classes, masks = [], []
        for index, layer in enumerate(self.layers):
            level = placed[index % len(placed)]
            normed = self.norm(queries)
            predicted = self._masks(normed, mask_maps)
            if self.training:
                classes.append(self.cls_embed(normed))
                masks.append(predicted)
            # A negative logit is a probability below a half.
            resized = F.interpolate(predicted.detach(), size=level.shape[-2:], mode='bilinear', align_corners=False)
            queries = layer(queries, positions, level, resized < 0)
        normed = self.norm(queries)
        classes.append(self.cls_embed(normed))
        masks.append(self._masks(normed, mask_maps))
        height, width = mask_maps.shape[-2:]
        covered = (height * self.stride, width * self.stride)
        return MaskPredictions(tuple(classes), tuple(masks), None, covered)

    def _masks(self, normed: Tensor, mask_maps: Tensor) -> Tensor:
        return torch.einsum('bqc,bchw->bqhw', self.mask_embed(normed), mask_maps)
