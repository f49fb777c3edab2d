"""A convolution, its batch norm and GELU, as kMaX-DeepLab has them for maps and for queries alike."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import build_norm2d


class ConvNorm(nn.Module):
    """A convolution that keeps the size, a norm, GELU (`kmax_pixel_decoder.py:ConvBN`).

    Queries are maps here: B x C x N x 1.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        norm_cfg: See `build_norm2d`.
        kernel_size: Odd.
        dilation: Places from one tap to the next.
        depthwise: Whether each channel has a kernel of its own.
        bias: Whether the convolution has one.
        act: Whether GELU follows.
        std: Of the initial kernel, a normal distribution cut at two of it; where not given by He's rule for the
            channels alone, whatever the size of the kernel. Kernels of single channels are drawn by Glorot's rule.
        gain: Initial gain of the norm, 0 at the end of a branch.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm_cfg: dict,
        kernel_size: int = 1,
        dilation: int = 1,
        depthwise: bool = False,
        bias: bool = False,
        act: bool = True,
        std: float | None = None,
        gain: float = 1.0,
    ):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=in_channels if depthwise else 1,
            bias=bias,
        )
        self.norm = build_norm2d(norm_cfg, out_channels)
        self.act, self.gain = act, gain
        self.std = std or (None if depthwise else (2 / in_channels) ** 0.5)

    def reset_parameters(self) -> None:
        """Draw the kernel, start the norm."""
        if self.std is None:
            nn.init.xavier_uniform_(self.conv.weight)
        else:
            draw_cut_normal(self.conv.weight, self.std)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        nn.init.constant_(self.norm.weight, self.gain)

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x in_channels x h x w to B x out_channels x h x w."""
        maps = self.norm(self.conv(maps))
        return F.gelu(maps) if self.act else maps


def draw_cut_normal(weight: Tensor, std: float) -> None:
    """Draw from a normal distribution of zero mean, cut at two standard deviations."""
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
