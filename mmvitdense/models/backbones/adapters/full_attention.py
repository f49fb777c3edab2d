"""Attention of all tokens of the branch to all others, or to all patches, where ViT-Hook has no deformable one."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from mmvitdense.layers import Attention
from mmvitdense.ops import Linear, MultiScaleDeformableAttention, apply_linear
from mmvitdense.ops.module import attend

from .deformable_exchange import Extractor, Sampling
from .token_levels import TokenLevels


class LevelAttention(nn.Module):
    """Self-attention over the tokens of all levels, full or deformable, in a residual branch (ViT-Hook: `SelfAttn`).

    Args:
        embed_dims: Channels of a token.
        kind: 'full', whose products grow with the square of the number of tokens, or 'deformable'.
        num_heads: Heads of the attention.
        num_points: Sampling points for each head and level of the deformable one.
        value_ratio: Channels of its projected values as a share of `embed_dims`.
        norm_eps: Epsilon of the norm.
        drop_path_rate: Probability with which a sample skips the branch in training.
    """

    def __init__(
        self,
        embed_dims: int,
        kind: str,
        num_heads: int,
        num_points: int = 4,
        value_ratio: float = 1.0,
        norm_eps: float = 1e-6,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        self.deformable = kind == 'deformable'
        self.norm = nn.LayerNorm(embed_dims, eps=norm_eps)
        if self.deformable:
            self.attn = MultiScaleDeformableAttention(
                embed_dims, num_heads, 3, num_points, dropout=0.0, batch_first=True, value_proj_ratio=value_ratio
            )
        else:
            self.attn = Attention(embed_dims, num_heads)
        self.drop_path = StochasticDepth(drop_path_rate, mode='row')

    def forward(self, tokens: Tensor, levels: TokenLevels) -> Tensor:
        """Map B x N x C, made of `levels`, to the same shape."""
        normed = self.norm(tokens)
        if self.deformable:
            mixed = attend(self.attn, normed, normed, None, levels.centres, list(levels.grids))
        else:
            mixed = self.attn(normed, (1, tokens.shape[1]))
        return tokens + self.drop_path(mixed)


class CrossAttention(nn.Module):
    """Attention of queries to features.

    Args:
        embed_dims: Channels of a token.
        num_heads: Heads; divides `embed_dims`.
    """

    def __init__(self, embed_dims: int, num_heads: int):
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'embed_dims must be a multiple of num_heads, got {embed_dims} and {num_heads}')
        self.num_heads = num_heads
        self.q = Linear(embed_dims, embed_dims)
        self.kv = Linear(embed_dims, 2 * embed_dims)
        self.proj = Linear(embed_dims, embed_dims)

    def forward(self, query: Tensor, feat: Tensor) -> Tensor:
        """Map queries, B x N x C, and features, B x S x C, to B x N x C."""
        query = apply_linear(self.q, query).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        both = apply_linear(self.kv, feat).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, both[0], both[1])
        return apply_linear(self.proj, attended.transpose(1, 2).flatten(2))


class FullExtractor(Extractor):
    """An `Extractor` whose tokens attend to all features.

    Args:
        embed_dims: Channels of a token.
        num_heads: Heads of the attention.
        options: Those of `Extractor`.
    """

    def __init__(self, embed_dims: int, *, num_heads: int, **options: float):
        super().__init__(embed_dims, num_heads=num_heads, **options)
        self.attn = CrossAttention(embed_dims, num_heads)

    def attend(self, query: Tensor, feat: Tensor, sampling: Sampling, residual: Tensor | None = None) -> Tensor:
        """Map queries, B x N x C, and features, B x S x C, to B x N x C, plus `residual` where there is one."""
        attended = self.attn(self.query_norm(query), self.feat_norm(feat))
        return attended if residual is None else residual + attended
