"""Initial weights of a ViT."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from mmvitdense.ops import MultiScaleDeformableAttention


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


def draw_adapter_weights(*modules: nn.Module) -> None:
    """Initialise what an adapter puts beside a ViT, as ViT-Adapter and ViT-CoMer do (``_init_weights``).

    Truncated normal of 0.02 for linear layers; normal for convolutions, its variance 2 over the number of outputs that
    an input reaches; zero biases; deformable attention by its own rule.
    """
    layers = [layer for module in modules for layer in module.modules()]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, std=(2.0 / fan_out) ** 0.5)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for layer in layers:
        if isinstance(layer, MultiScaleDeformableAttention):
            layer.init_weights()
