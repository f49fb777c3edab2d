"""The transformer block of a ViT."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from mmvitdense.ops.linear_layer import is_unwatched

from .attention import Attention
from .conv_propagation import ConvPropagation
from .layer_scale import LayerScale
from .norm import TOKEN_NORMS
from .positions import AttentionPosition
from .query_mask import QueryMask


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward network, each in a residual branch.

    Args:
        attn: The attention.
        mlp: The feed-forward network.
        embed_dims: Channels of a token.
        drop_path_rate: Probability with which a sample skips a branch in training.
        layer_scale_init: Gain of the branches at the start; None for branches without LayerScale.
        norm_eps: Epsilon of both norms.
        conv_propagation: Kind of the convolutional block at the end, see `ConvPropagation`; None for none.
        norm: Kind of both norms, of `TOKEN_NORMS`.
    """

    joined = False
    """Whether each branch adds the residual in its last product, see `fusing`; both LayerScales are then in these."""

    def __init__(
        self,
        attn: Attention,
        mlp: nn.Module,
        embed_dims: int,
        drop_path_rate: float = 0.0,
        layer_scale_init: float | None = None,
        norm_eps: float = 1e-6,
        conv_propagation: str | None = None,
        norm: str = 'layer',
    ):
        super().__init__()

        def scale() -> nn.Module:
            return nn.Identity() if layer_scale_init is None else LayerScale(embed_dims, layer_scale_init)

        self.norm1 = TOKEN_NORMS[norm](embed_dims, eps=norm_eps)
        self.attn = attn
        self.ls1 = scale()
        self.norm2 = TOKEN_NORMS[norm](embed_dims, eps=norm_eps)
        self.mlp = mlp
        self.ls2 = scale()
        self.drop_path = StochasticDepth(drop_path_rate, mode='row')
        self.residual = ConvPropagation(embed_dims, conv_propagation) if conv_propagation else None

    def forward(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        position: AttentionPosition | None = None,
        mask: Tensor | QueryMask | None = None,
    ) -> Tensor:
        """Map `tokens` (B x (prefix + h*w) x C, `grid` = (h, w)) to the same shape, see `Attention`."""
        if self.joined and is_unwatched(self.attn) and is_unwatched(self.mlp):
            tokens = self.attn(self.norm1(tokens), grid, position, mask, tokens)
            tokens = self.mlp(self.norm2(tokens), tokens)
        else:
            tokens = tokens + self.drop_path(self.ls1(self.attn(self.norm1(tokens), grid, position, mask)))
            tokens = tokens + self.drop_path(self.ls2(self.mlp(self.norm2(tokens))))
        if self.residual is not None:
            tokens = self._propagate(tokens, grid)
        return tokens

    def _propagate(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        prefix = tokens.shape[1] - grid[0] * grid[1]
        maps = tokens[:, prefix:].transpose(1, 2).unflatten(2, grid)
        patches = self.residual(maps).flatten(2).transpose(1, 2)
        return torch.cat([tokens[:, :prefix], patches], dim=1) if prefix else patches
