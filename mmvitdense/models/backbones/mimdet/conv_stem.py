"""The convolutional stem of MIMDet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import recomputed

from .padding import inside_images


class ConvStem(nn.Module):
    """Four convolutions of stride 2 from an image to a map of tokens (MIMDet, arXiv 2204.02964 section 3.2).

    Each is followed by a norm over all channels and positions of an image, and by GELU; the last map passes a 1x1
    convolution. There is no need to pad an image: odd sides are rounded up at each stage.

    Args:
        embed_dims: Channels of a token, a multiple of 8; the stages have an eighth, a quarter, a half and all of them.
        in_channels: Channels of the image.
        mask_padding: Whether an image that is padded to the size of a batch is computed as if it were alone. The
            published models let padding enter the statistics of the norms, so that the features of an image depend
            on the images beside it.
        norm_eps: Epsilon of the norms.
        with_cp: Whether stages are recomputed in the backward pass to save memory.
    """

    def __init__(
        self,
        embed_dims: int,
        in_channels: int = 3,
        mask_padding: bool = False,
        norm_eps: float = 1e-6,
        with_cp: bool = False,
    ):
        super().__init__()
        if embed_dims % 8:
            raise ValueError(f'embed_dims of the convolutional stem must be a multiple of 8, got {embed_dims}')
        self.mask_padding, self.with_cp = mask_padding, with_cp
        widths = [in_channels, *(embed_dims // part for part in (8, 4, 2, 1))]
        self.stages = nn.ModuleList(_Stage(before, after, norm_eps) for before, after in pairwise(widths))
        self.proj = nn.Conv2d(embed_dims, embed_dims, 1)

    def forward(
        self, image: Tensor, image_sizes: Sequence[tuple[int, int]] | Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map an image, B x in_channels x H x W, to the strides 4, 8 and 16 with D/4, D/2 and D channels.

        `image_sizes` (height, width before padding) are needed for `mask_padding` alone; without them nothing is
        padding.
        """
        maps, outputs = image, []
        for index, stage in enumerate(self.stages):
            inside = None
            if self.mask_padding and image_sizes is not None:
                grid = ((maps.shape[-2] + 1) // 2, (maps.shape[-1] + 1) // 2)
                inside = inside_images(image_sizes, len(image), grid, 2 << index, image.device)
            maps = recomputed(stage, maps, inside, when=self.with_cp and self.training)
            outputs.append(maps)
        return outputs[1], outputs[2], self.proj(outputs[3])


class _Stage(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, norm_eps: float):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False)
        self.norm = nn.GroupNorm(1, out_channels, eps=norm_eps)

    def forward(self, maps: Tensor, inside: Tensor | None = None) -> Tensor:
        """Halve the size; `inside` (B x H/2 x W/2) marks what is no padding of the result."""
        maps = self.conv(maps)
        if inside is None:
            return F.gelu(self.norm(maps))
        # Padding is left at zero, which is what the next convolution pads an image with that is alone.
        return F.gelu(_norm_inside(maps, inside[:, None], self.norm)) * inside[:, None]


def _norm_inside(maps: Tensor, inside: Tensor, norm: nn.GroupNorm) -> Tensor:
    """`norm`, of one group, with the statistics of what is inside."""
    wide = maps if maps.dtype == torch.float64 else maps.float()
    axes, count = (1, 2, 3), inside.sum((1, 2, 3), keepdim=True) * maps.shape[1]
    centred = wide - (wide * inside).sum(axes, keepdim=True) / count
    variance = (centred.square() * inside).sum(axes, keepdim=True) / count
    gain, shift = (parameter[:, None, None] for parameter in (norm.weight, norm.bias))
    return centred * (variance + norm.eps).rsqrt() * gain + shift
