"""The codes of an image that NAF compares, from two stacks of convolutions (`src/layers/convolutions.py`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8
STRIP = 2**22
"""Numbers of a map that are normed at once where no gradient is wanted: 16 MB in float32."""


class ImageEncoder(nn.Module):
    """Two stacks of convolutions, of single pixels and of 3 x 3, whose maps are averaged over cells, side by side.

    Args:
        dims: Channels of both, a multiple of 16.
        num_layers: Blocks of each stack.
    """

    def __init__(self, dims: int, num_layers: int):
        super().__init__()
        self.encoder = _stack(dims // 2, 1, num_layers)
        self.sem_encoder = _stack(dims // 2, 3, num_layers)

    def forward(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Map B x 3 x H x W to B x dims x size."""
        # Averaged one by one, so that no more than one stack has maps of the image's size.
        return torch.cat([F.adaptive_avg_pool2d(part(image), size) for part in (self.encoder, self.sem_encoder)], 1)


class _Block(nn.Module):
    """Twice a norm, an activation and a convolution; nothing is added to the input."""

    def __init__(self, dims: int, kernel: int):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, dims), _convolution(dims, dims, kernel)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, dims), _convolution(dims, dims, kernel)

    def forward(self, maps: Tensor) -> Tensor:
        for norm, convolution in ((self.norm1, self.conv1), (self.norm2, self.conv2)):
            recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
            trained = torch.is_grad_enabled() and (maps.requires_grad or convolution.weight.requires_grad)
            whole = recorded or trained or maps.numel() <= STRIP
            maps = convolution(F.silu(norm(maps))) if whole else _in_strips(norm, convolution, maps)
        return maps


def _in_strips(norm: nn.GroupNorm, convolution: nn.Conv2d, maps: Tensor) -> Tensor:
    """Norm, activation and convolution of some rows at a time: beside input and output no map exists as a whole."""
    height, border = maps.shape[-2], convolution.kernel_size[0] // 2
    scale, shift = _affine(norm, maps)
    rows = max(STRIP // (maps.numel() // height), 2 * border + 1)
    found = None
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        first, last = max(start - border, 0), min(stop + border, height)
        strip = F.silu(torch.addcmul(shift, maps[..., first:last, :], scale), inplace=True)
        # What is beyond the image is reflected, of each strip alone where it is at an end.
        above, below = border - (start - first), border - (last - stop)
        strip = F.pad(strip, (border, border, above, below), mode='reflect') if border else strip
        strip = F.conv2d(strip, convolution.weight, convolution.bias)
        if found is None:
            found = strip.new_empty(*strip.shape[:2], height, strip.shape[-1])
        found[..., start:stop, :] = strip
    return found


def _affine(norm: nn.GroupNorm, maps: Tensor) -> tuple[Tensor, Tensor]:
    """The norm as a factor and a summand of each channel of each image, B x C x 1 x 1."""
    groups = maps.unflatten(1, (norm.num_groups, -1)).flatten(2)
    wide = groups if groups.dtype == torch.float64 else groups.float()
    variance, mean = torch.var_mean(wide, -1, correction=0)
    each = maps.shape[1] // norm.num_groups
    factor, mean = ((variance + norm.eps) ** -0.5).repeat_interleave(each, 1), mean.repeat_interleave(each, 1)
    scale = norm.weight * factor
    return scale[..., None, None], (norm.bias - mean * scale)[..., None, None]


def _stack(dims: int, kernel: int, num_layers: int) -> nn.Sequential:
    return nn.Sequential(_convolution(3, dims, kernel), *(_Block(dims, kernel) for _ in range(num_layers)))


def _convolution(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, padding_mode='reflect')
