"""Queries of a mask transformer, and how classes and masks are read off tokens (EoMT, `models/eomt.py`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmvitdense.layers import LayerNorm2d, UpConv2d
from mmvitdense.models.backbones.vit_options import check_sizes


class ScaleBlock(nn.Module):
    """A map at twice its resolution (EoMT, `models/scale_block.py`).

    Args:
        embed_dims: Channels.
    """

    def __init__(self, embed_dims: int):
        super().__init__()
        self.conv1 = UpConv2d(embed_dims, embed_dims)
        self.act = nn.GELU()
        self.conv2 = nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims, bias=False)
        self.norm = LayerNorm2d(embed_dims, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x embed_dims x h x w to B x embed_dims x 2*h x 2*w."""
        return self.norm(self.conv2(self.act(self.conv1(maps))))


def num_scale_blocks(patch_size: int) -> int:
    """How many lead from the patches to a stride of 4 pixels, one at least (stride 7 for patches of 14)."""
    return max(1, int(math.log2(patch_size)) - 2)


class MaskHead(nn.Module):
    """Queries, and the classes and masks that they predict.

    The logit of a mask at a place is the product of the query, after a network of three layers, and the patches,
    upscaled by `ScaleBlock`.

    Args:
        embed_dims: Channels of a token.
        num_classes: Classes without 'no object'.
        num_queries: Queries.
        patch_size: Side of a patch in pixels.
    """

    def __init__(self, embed_dims: int, num_classes: int, num_queries: int, patch_size: int):
        super().__init__()
        check_sizes(num_classes=num_classes, num_queries=num_queries)
        self.num_classes, self.num_queries = num_classes, num_queries
        self.query_embed = nn.Embedding(num_queries, embed_dims)
        self.cls_embed = nn.Linear(embed_dims, num_classes + 1)
        self.mask_embed = nn.Sequential(
            nn.Linear(embed_dims, embed_dims),
            nn.GELU(),
            nn.Linear(embed_dims, embed_dims),
            nn.GELU(),
            nn.Linear(embed_dims, embed_dims),
        )
        self.upscale = nn.Sequential(*(ScaleBlock(embed_dims) for _ in range(num_scale_blocks(patch_size))))

    def with_queries(self, tokens: Tensor) -> Tensor:
        """Put the queries before B x N x embed_dims tokens."""
        queries = self.query_embed.weight.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        return torch.cat([queries, tokens], dim=1)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            tokens: Normed, B x (num_queries + prefix + h*w) x embed_dims.
            grid: (h, w) of the patches, the last tokens.

        Returns:
            Logits of the classes, B x num_queries x (num_classes + 1), and of the masks, B x num_queries x s*h x s*w;
            each `ScaleBlock` doubles s.
        """
        queries = tokens[:, : self.num_queries]
        patches = tokens[:, tokens.shape[1] - grid[0] * grid[1] :]
        maps = self.upscale(patches.transpose(1, 2).unflatten(2, grid))
        masks = torch.einsum('bqc,bchw->bqhw', self.mask_embed(queries), maps)
        return self.cls_embed(queries), masks
