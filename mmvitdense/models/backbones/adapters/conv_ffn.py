"""The feed-forward network of ViT-Adapter and ViT-CoMer, with a convolution between its two layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers.fusing import Fusing, fuses
from mmvitdense.ops import Linear, apply_linear
from mmvitdense.ops.linear_layer import is_unwatched
from mmvitdense.ops.token_maps import DepthwiseTokens, can_convolve, can_convolve_here, convolve_levels

from .token_levels import TokenLevels


def depthwise_conv(channels: int, kernel: int) -> nn.Conv2d:
    """A depth-wise convolution that keeps the size, its weights laid out as their gradients come from maps of tokens:
    distributed training then copies none."""
    layer = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
    return layer.to(memory_format=torch.channels_last)


class LevelwiseDepthwiseConv(nn.Module):
    """One 3x3 depth-wise convolution, applied to the map of each level.

    Args:
        channels: Channels of a token.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = depthwise_conv(channels, 3)

    def forward(self, tokens: Tensor, levels: TokenLevels) -> Tensor:
        """Map B x N x channels to the same shape."""
        if can_convolve_here([self.dwconv], tokens):
            return convolve_levels([self.dwconv], tokens, levels.grids)
        return levels.join([self.dwconv(level) for level in levels.maps(tokens)])


class ConvFFN(nn.Module):
    """Linear, depth-wise convolution of each level, GELU, Linear (`adapter_modules.py` of ViT-Adapter).

    Args:
        embed_dims: Channels in and out.
        hidden_channels: Channels between.
    """

    joined = False
    """Whether the sum with a residual is done in the last layer, see `mmvitdense.layers.fusing`."""
    activated = False
    """Whether GELU is done with the convolution."""

    def __init__(self, embed_dims: int, hidden_channels: int):
        super().__init__()
        self.fc1 = Linear(embed_dims, hidden_channels)
        self.dwconv = LevelwiseDepthwiseConv(hidden_channels)
        self.fc2 = Linear(hidden_channels, embed_dims)

    def forward(self, tokens: Tensor, levels: TokenLevels, residual: Tensor | None = None) -> Tensor:
        """Map B x N x embed_dims to the same shape, plus `residual` where there is one."""
        return apply_linear(self.fc2, self.hidden(tokens, levels), residual)

    def hidden(self, tokens: Tensor, levels: TokenLevels) -> Tensor:
        """What the last layer is given: B x N x embed_dims to B x N x hidden_channels."""
        mixed = self.dwconv(apply_linear(self.fc1, tokens), levels)
        return mixed if self.activated else F.gelu(mixed)

    def joins(self) -> bool:
        """Whether the residual is to be given to the network, which nobody looks at."""
        return self.joined and is_unwatched(self)


@fuses(ConvFFN)
def _fuse_network(network: ConvFFN, fusing: Fusing) -> None:
    """The sum with the residual is done in the last product, and GELU with the convolution."""
    network.joined = True
    conv = network.dwconv
    if type(conv) is LevelwiseDepthwiseConv and fusing.is_free(conv, conv.dwconv) and can_convolve(conv.dwconv):
        network.dwconv, network.activated = DepthwiseTokens([[conv.dwconv]], gelus=1), True
