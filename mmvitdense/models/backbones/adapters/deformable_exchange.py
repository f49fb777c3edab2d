"""Deformable attention between two sets of tokens, as ViT-Adapter and ViT-CoMer use it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from mmvitdense.ops import MultiScaleDeformableAttention
from mmvitdense.ops.module import attend

from .conv_ffn import ConvFFN
from .token_levels import TokenLevels


class Sampling(NamedTuple):
    """Where queries look: their reference points, 1 x N x 1 x 2, and the grids (h, w) of the maps that are sampled."""

    reference_points: Tensor
    grids: tuple[tuple[int, int], ...]


class DeformableExchange(nn.Module):
    """Deformable attention of normed queries to normed features, without residual connection.

    Args:
        embed_dims: Channels of a token.
        num_heads: Heads of the attention.
        num_levels: Maps that are sampled.
        num_points: Sampling points for each head and map.
        value_ratio: Channels of the projected values as a share of `embed_dims`.
        norm_eps: Epsilon of the norms.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_levels: int,
        num_points: int = 4,
        value_ratio: float = 1.0,
        norm_eps: float = 1e-6,
    ):
        super().__init__()
        self.query_norm = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.feat_norm = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.attn = MultiScaleDeformableAttention(
            embed_dims, num_heads, num_levels, num_points, dropout=0.0, batch_first=True, value_proj_ratio=value_ratio
        )

    def attend(self, query: Tensor, feat: Tensor, sampling: Sampling, residual: Tensor | None = None) -> Tensor:
        """Map queries, B x N x C, and features, B x S x C, to B x N x C, plus `residual` where there is one."""
        query, feat = self.query_norm(query), self.feat_norm(feat)
        return attend(self.attn, query, feat, None, sampling.reference_points, list(sampling.grids), residual)


class Extractor(DeformableExchange):
    """Tokens that collect from features: deformable attention and a convolutional network, each in a residual branch
    (`Extractor` of ViT-Adapter, `MultiscaleExtractor` of ViT-CoMer).

    Args:
        cffn_ratio: Channels inside the network as a share of `embed_dims`; None for no network.
        drop_path_rate: Probability with which a sample skips the network in training.
        attention: The options of `DeformableExchange`.
    """

    def __init__(
        self, embed_dims: int, *, cffn_ratio: float | None = 0.25, drop_path_rate: float = 0.0, **attention: float
    ):
        super().__init__(embed_dims, **attention)
        self.ffn = None
        if cffn_ratio is not None:
            self.ffn = ConvFFN(embed_dims, int(embed_dims * cffn_ratio))
            self.ffn_norm = nn.LayerNorm(embed_dims, eps=self.query_norm.eps)
            self.drop_path = StochasticDepth(drop_path_rate, mode='row')

    def feed_forward(self, tokens: Tensor, levels: TokenLevels) -> Tensor:
        """The second branch: B x N x C to the same shape."""
        if self.ffn is None:
            return tokens
        if self.ffn.joins():
            return self.ffn(self.ffn_norm(tokens), levels, tokens)
        return tokens + self.drop_path(self.ffn(self.ffn_norm(tokens), levels))

    def forward(self, tokens: Tensor, feat: Tensor, levels: TokenLevels, sampling: Sampling) -> Tensor:
        """Update `tokens`, B x N x C made of `levels`, by what they sample of `feat`, B x S x C."""
        return self.feed_forward(self.attend(tokens, feat, sampling, tokens), levels)
