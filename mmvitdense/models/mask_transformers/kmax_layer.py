"""A layer of kMaX-DeepLab's decoder: a step of k-means with the queries as centres (arXiv 2207.04044, section 3.2)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from mmvitdense.layers import build_norm2d, without_autocast

from .kmax_conv import ConvNorm, draw_cut_normal

_VOID_PRIOR = 0.9


class Clustering(NamedTuple):
    """What a predictor says.

    Attributes:
        classes: B x N x (classes + 1), logits with 'no object' last; None where they are not asked for.
        masks: B x N x h x w, logits of which a place has one distribution over the queries.
        features: B x mask_channels x h x w, of length 1 at each place.
    """

    classes: Tensor | None
    masks: Tensor
    features: Tensor


class Predictor(nn.Module):
    """Classes and masks of queries (`kmax_transformer_decoder.py:kMaXPredictor`).

    Args:
        in_channels: Channels of the map.
        embed_dims: Channels of the queries.
        mask_channels: Channels in which queries and places are compared.
        num_classes: Classes without 'no object'.
        norm_cfg: See `build_norm2d`.
    """

    def __init__(self, in_channels: int, embed_dims: int, mask_channels: int, num_classes: int, norm_cfg: dict):
        super().__init__()
        self.pixels = nn.Sequential(
            ConvNorm(in_channels, in_channels, norm_cfg, kernel_size=5, depthwise=True),
            ConvNorm(in_channels, embed_dims, norm_cfg),
            ConvNorm(embed_dims, mask_channels, norm_cfg, bias=True, act=False, std=0.01),
        )
        self.kernels = ConvNorm(embed_dims, mask_channels, norm_cfg, act=False)
        self.cls_embed = nn.Conv2d(embed_dims, num_classes + 1, 1)
        self.mask_norm = build_norm2d(norm_cfg, 1)

    def reset_parameters(self) -> None:
        """Start with weak logits."""
        draw_cut_normal(self.cls_embed.weight, 0.01)
        nn.init.zeros_(self.cls_embed.bias)
        nn.init.constant_(self.mask_norm.weight, 0.1)

    def forward(self, of_classes: Tensor, of_masks: Tensor, maps: Tensor, with_classes: bool = True) -> Clustering:
        """Predict.

        Args:
            of_classes: Queries, B x embed_dims x N x 1.
            of_masks: The same, for the masks.
            maps: B x in_channels x h x w.
            with_classes: Whether to predict classes.
        """
        features = F.normalize(self.pixels(maps), dim=1)
        masks = torch.einsum('bcn,bchw->bnhw', self.kernels(of_masks).squeeze(3), features)
        masks = self.mask_norm(masks.flatten(2)[:, None]).squeeze(1).unflatten(2, maps.shape[-2:])
        return Clustering(self._classes(of_classes) if with_classes else None, masks, features)

    def _classes(self, queries: Tensor) -> Tensor:
        logits = self.cls_embed(queries).squeeze(3).mT
        # Not learned: all start as 'no object' nine times out of ten.
        prior = math.log((logits.shape[-1] - 1) * _VOID_PRIOR / (1 - _VOID_PRIOR))
        return torch.cat([logits[..., :-1], logits[..., -1:] + prior], dim=-1)


class QueryAttention(nn.Module):
    """Self-attention of the queries, with norms over the batch in the place of a factor of the logits.

    Args:
        embed_dims: Channels; queries and keys have half as many.
        num_heads: Heads.
        norm_cfg: See `build_norm2d`.
    """

    def __init__(self, embed_dims: int, num_heads: int, norm_cfg: dict):
        super().__init__()
        self.num_heads = num_heads
        self.splits = (embed_dims // 2, embed_dims // 2, embed_dims)
        self.qkv = ConvNorm(embed_dims, 2 * embed_dims, norm_cfg, act=False, std=embed_dims**-0.5)
        self.logit_norm = build_norm2d(norm_cfg, num_heads)
        self.value_norm = build_norm2d(norm_cfg, embed_dims)
        self.output = ConvNorm(embed_dims, embed_dims, norm_cfg, act=False, gain=0.0)

    def forward(self, queries: Tensor) -> Tensor:
        """Map B x embed_dims x N x 1 to the same shape."""
        splits = self.qkv(queries).squeeze(3).split(self.splits, dim=1)
        query, key, value = (x.unflatten(1, (self.num_heads, -1)) for x in splits)
        logits = self.logit_norm(query.mT @ key)
        weights = logits.softmax(-1, dtype=torch.float32).to(value.dtype)
        found = (value @ weights.mT).flatten(1, 2)[..., None]
        return self.output(F.gelu(self.value_norm(found)))


class KMaXLayer(nn.Module):
    """A step of k-means, self-attention of the queries, a network (`kMaXTransformerLayer`).

    Each place is of the one query whose mask is largest there. What the places of a query have is summed up, not
    averaged, and added to it. No gradient goes through the assignment: the masks learn from their losses alone.

    Args:
        in_channels: Channels of the map.
        embed_dims: Channels of the queries.
        mask_channels: See `Predictor`.
        num_classes: Classes without 'no object'.
        num_heads: Heads of self-attention.
        feedforward_channels: Of the network.
        norm_cfg: See `build_norm2d`.
        drop_path_rate: Of the three branches.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        mask_channels: int,
        num_classes: int,
        num_heads: int,
        feedforward_channels: int,
        norm_cfg: dict,
        drop_path_rate: float,
    ):
        super().__init__()
        self.query = ConvNorm(embed_dims, embed_dims, norm_cfg)
        self.pixel = ConvNorm(in_channels, embed_dims, norm_cfg)
        self.value = ConvNorm(embed_dims, embed_dims, norm_cfg, act=False, std=embed_dims**-0.5)
        self.predictor = Predictor(embed_dims, embed_dims, mask_channels, num_classes, norm_cfg)
        self.centre_norm = build_norm2d(norm_cfg, embed_dims)
        self.centre = ConvNorm(embed_dims, embed_dims, norm_cfg, act=False, gain=0.0)
        self.self_attn = QueryAttention(embed_dims, num_heads, norm_cfg)
        self.fc1 = ConvNorm(embed_dims, feedforward_channels, norm_cfg)
        self.fc2 = ConvNorm(feedforward_channels, embed_dims, norm_cfg, act=False, gain=0.0)
        self.drop_path = StochasticDepth(drop_path_rate, mode='row')

    def forward(self, queries: Tensor, maps: Tensor) -> tuple[Tensor, Clustering]:
        """Map queries of B x embed_dims x N x 1 to the same shape; what they predicted, classes in training alone."""
        pixels = self.pixel(F.gelu(maps))
        hidden = self.query(queries)
        predicted = self.predictor(hidden, hidden, pixels, with_classes=self.training)
        sums = cluster_sums(predicted.masks, self.value(pixels)).to(self.centre_norm.weight.dtype)
        queries = queries + self.drop_path(self.centre(self.centre_norm(sums[..., None])))
        # Of the queries as they came in.
        queries = F.gelu(queries + self.drop_path(self.self_attn(hidden)))
        return F.gelu(queries + self.drop_path(self.fc2(self.fc1(queries)))), predicted


def cluster_sums(masks: Tensor, values: Tensor) -> Tensor:
    """The sums of the values of each query's places, in float32 under autocast too.

    Args:
        masks: Logits, B x N x h x w; a place is of the query with the largest.
        values: B x C x h x w.

    Returns:
        B x C x N in float32, without a gradient for `masks`.
    """
    with torch.no_grad():
        index = masks.flatten(2).argmax(1, keepdim=True)
        members = torch.zeros_like(masks.flatten(2), dtype=torch.float32).scatter_(1, index, 1.0)
    with without_autocast(masks):
        return values.flatten(2).float() @ members.mT
