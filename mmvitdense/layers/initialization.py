"""Initial weights of ViT blocks."""

from __future__ import annotations

from torch import nn


def draw_linear_weights(module: nn.Module) -> None:
    """Initialise all linear layers inside as timm and detectron2: truncated normal of 0.02, zero bias."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
