"""Feed-forward networks of a ViT block."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.ops import Linear, apply_linear


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the approximation of GELU that OpenAI's CLIP was trained with (`clip/model.py`)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Map any shape to the same shape."""
        return tokens * (1.702 * tokens).sigmoid()


ACTIVATIONS = {
    'gelu': nn.GELU,
    'gelu_tanh': lambda: nn.GELU(approximate='tanh'),
    'quick_gelu': QuickGELU,
}


class Mlp(nn.Module):
    """Linear, activation, Linear.

    Args:
        embed_dims: Channels in and out.
        feedforward_channels: Channels between.
        act: 'gelu' (exact), 'gelu_tanh' or 'quick_gelu'.
        norm_eps: Epsilon of a norm before the last layer; None for no norm.
        bias: Whether both layers have a bias.
    """

    def __init__(
        self,
        embed_dims: int,
        feedforward_channels: int,
        act: str = 'gelu',
        norm_eps: float | None = None,
        bias: bool = True,
    ):
        super().__init__()
        if act not in ACTIVATIONS:
            raise ValueError(f'act must be one of {tuple(ACTIVATIONS)}, got {act!r}')
        self.fc1 = Linear(embed_dims, feedforward_channels, bias=bias)
        self.act_name = act
        self.act = ACTIVATIONS[act]()
        self.norm = nn.Identity() if norm_eps is None else nn.LayerNorm(feedforward_channels, eps=norm_eps)
        self.fc2 = Linear(feedforward_channels, embed_dims, bias=bias)

    def forward(self, tokens: Tensor, residual: Tensor | None = None) -> Tensor:
        """Map B x N x embed_dims to the same shape, plus `residual` where there is one."""
        return apply_linear(self.fc2, self.norm(self.act(apply_linear(self.fc1, tokens))), residual)


class SwiGLU(nn.Module):
    """Linear, SiLU of one half times the other half, Linear (arXiv 2002.05202).

    Args:
        embed_dims: Channels in and out.
        feedforward_channels: Channels of the product. `w12` has twice as many outputs, those of the gate first.
        norm_eps: Epsilon of a norm before the last layer; None for no norm.
        bias: Whether both layers have a bias (those of AIMv2 have none).
    """

    def __init__(self, embed_dims: int, feedforward_channels: int, norm_eps: float | None = None, bias: bool = True):
        super().__init__()
        self.w12 = Linear(embed_dims, 2 * feedforward_channels, bias=bias)
        self.norm = nn.Identity() if norm_eps is None else nn.LayerNorm(feedforward_channels, eps=norm_eps)
        self.w3 = Linear(feedforward_channels, embed_dims, bias=bias)

    def forward(self, tokens: Tensor, residual: Tensor | None = None) -> Tensor:
        """Map B x N x embed_dims to the same shape, plus `residual` where there is one."""
        gate, values = apply_linear(self.w12, tokens).chunk(2, dim=-1)
        return apply_linear(self.w3, self.norm(F.silu(gate) * values), residual)
