"""Feed-forward networks of a ViT block."""

from __future__ import annotations

from torch import Tensor, nn


class Mlp(nn.Module):
    """Linear, GELU (exact), Linear.

    Args:
        embed_dims: Channels in and out.
        feedforward_channels: Channels between.
    """

    def __init__(self, embed_dims: int, feedforward_channels: int):
        super().__init__()
        self.fc1 = nn.Linear(embed_dims, feedforward_channels)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(feedforward_channels, embed_dims)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map B x N x embed_dims to the same shape."""
        return self.fc2(self.act(self.fc1(tokens)))
