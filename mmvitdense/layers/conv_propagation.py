"""Convolutional blocks that carry information between windows (ViTDet, arXiv 2203.16527 section 3).

detectron2 has only the bottleneck (`modeling/backbone/vit.py:ResBottleneckBlock`); the paper also reports 'basic'
(two 3x3) and 'naive' (one 3x3) without code, which are defined here by analogy.
"""

from __future__ import annotations

from torch import Tensor, nn

from .norm import LayerNorm2d

CONV_PROPAGATION_KINDS = ('bottleneck', 'basic', 'naive')


class ConvPropagation(nn.Module):
    """Residual convolutional block on a token map; the identity at the start, because its last norm is zero.

    Args:
        embed_dims: Channels of the map.
        kind: 'bottleneck' (1x1 to half the channels, 3x3, 1x1), 'basic' (3x3, 3x3) or 'naive' (3x3). Each convolution
            is followed by a norm, and by GELU where another one follows. No activation after the sum.
    """

    def __init__(self, embed_dims: int, kind: str = 'bottleneck'):
        super().__init__()
        if kind not in CONV_PROPAGATION_KINDS:
            raise ValueError(f"the kind of conv_blocks must be one of {CONV_PROPAGATION_KINDS}, got '{kind}'")
        half = embed_dims // 2
        layers = {
            'bottleneck': [(embed_dims, half, 1), (half, half, 3), (half, embed_dims, 1)],
            'basic': [(embed_dims, embed_dims, 3)] * 2,
            'naive': [(embed_dims, embed_dims, 3)],
        }[kind]
        self.num_convs = len(layers)
        for index, (in_channels, out_channels, kernel) in enumerate(layers, start=1):
            conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
            setattr(self, f'conv{index}', conv)
            setattr(self, f'norm{index}', LayerNorm2d(out_channels))
        self.act = nn.GELU()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the convolutions and start as the identity (detectron2 `ResBottleneckBlock`)."""
        for index in range(1, self.num_convs + 1):
            nn.init.kaiming_normal_(getattr(self, f'conv{index}').weight, mode='fan_out', nonlinearity='relu')
            getattr(self, f'norm{index}').reset_parameters()
        nn.init.zeros_(getattr(self, f'norm{self.num_convs}').weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x C x H x W to the same shape."""
        out = maps
        for index in range(1, self.num_convs + 1):
            out = getattr(self, f'norm{index}')(getattr(self, f'conv{index}')(out))
            if index < self.num_convs:
                out = self.act(out)
        return maps + out
