"""Cutting an image into patches and projecting each to a token."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PatchEmbed(nn.Module):
    """Non-overlapping convolution from an image to a grid of tokens.

    An image whose sides are not multiples of the patch is padded with zeros at the bottom and on the right, so that
    no pixel is lost; detectron2 and timm drop or refuse the remainder. For multiples all three agree.

    Args:
        embed_dims: Channels of a token.
        patch_size: Side of a square patch in pixels.
        in_channels: Channels of the image.
        bias: Whether the projection has a bias (CLIP's has none).
        norm: Norm of each patch after the projection (AIMv2); None for none.
    """

    def __init__(
        self,
        embed_dims: int,
        patch_size: int = 16,
        in_channels: int = 3,
        bias: bool = True,
        norm: nn.Module | None = None,
    ):
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv2d(in_channels, embed_dims, patch_size, stride=patch_size, bias=bias)
        self.norm = nn.Identity() if norm is None else norm

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed ``image`` (B x in_channels x H x W); return tokens (B x h*w x C, row by row) and the grid (h, w)."""
        pad_bottom, pad_right = (-image.shape[-2] % self.patch_size, -image.shape[-1] % self.patch_size)
        if pad_bottom or pad_right:
            image = F.pad(image, (0, pad_right, 0, pad_bottom))
        maps = self.proj(image)
        # The sums of the blocks keep the layout of their first operand, so each norm would copy channels-first tokens.
        patches = self.norm(maps.flatten(2).transpose(1, 2).contiguous())
        return patches, (maps.shape[-2], maps.shape[-1])
