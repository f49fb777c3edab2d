"""LayerScale: a learned gain for each channel of a residual branch (CaiT, arXiv 2103.17239)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LayerScale(nn.Module):
    """Multiply each channel by a learned gain.

    Args:
        embed_dims: Number of channels, the last axis of the input.
        init_value: Gain at the start.
    """

    def __init__(self, embed_dims: int, init_value: float = 1e-5):
        super().__init__()
        self.init_value = float(init_value)
        self.gamma = nn.Parameter(torch.full((embed_dims,), self.init_value))

    def reset_parameters(self) -> None:
        """Start with the gain that was given."""
        nn.init.constant_(self.gamma, self.init_value)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scale `... x embed_dims`."""
        return tokens * self.gamma
