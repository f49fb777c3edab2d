"""Initial weights of a ViT."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def draw_initial_weights(blocks: nn.Module, tokens: Iterable[nn.Parameter]) -> None:
    """Initialise as timm and detectron2: truncated normal of 0.02 for linear layers, tokens and positions, zero biases.

    Args:
        blocks: All linear layers inside are drawn.
        tokens: Class token, registers and position table.
    """
    for layer in blocks.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for parameter in tokens:
        nn.init.trunc_normal_(parameter, std=0.02)
