"""Masked attention of queries that stand before the tokens of an image (EoMT, arXiv 2503.19108; `models/eomt.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QueryMask(NamedTuple):
    """Which tokens the first Q of N attend to; all others attend to all.

    Attention runs in two calls, the queries with their mask and the rest without, so that no N x N mask is made.

    Attributes:
        rows: B x 1 x Q x N, true where a query attends; each attends to one token at least.
    """

    rows: Tensor

    def of_all(self) -> Tensor:
        """The same as B x 1 x N x N."""
        size = self.rows.shape[-1]
        return F.pad(self.rows, (0, 0, 0, size - self.rows.shape[-2]), value=True)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Scaled dot-product attention of B x heads x N x d."""
        count = self.rows.shape[-2]
        masked = F.scaled_dot_product_attention(query[:, :, :count], key, value, attn_mask=self.rows)
        return torch.cat([masked, F.scaled_dot_product_attention(query[:, :, count:], key, value)], dim=2)


class QueryMasking(nn.Module):
    """Masks of queries in several blocks, each in force with a probability that a training lowers from 1 to 0.

    A query attends to the patches where its mask is positive, and to all queries, class and register tokens. With the
    probability 1 - p of a block it attends to all, drawn for each image and query. The probabilities are a buffer, so
    that a checkpoint has them; `MaskAnnealingHook` sets them.

    Args:
        num_blocks: Blocks with masks, from the first to the last.
    """

    def __init__(self, num_blocks: int):
        super().__init__()
        self.num_blocks = num_blocks
        self.register_buffer('attn_mask_probs', torch.ones(num_blocks))

    def reset_parameters(self) -> None:
        """Start with all masks in force."""
        self.attn_mask_probs.fill_(1.0)

    def set_probabilities(self, probabilities: Sequence[float]) -> None:
        """Set the probability of each block."""
        if len(probabilities) != self.num_blocks:
            raise ValueError(
                f'{len(probabilities)} probabilities of masks are given for {self.num_blocks} blocks with queries: '
                'give one for each'
            )
        self.attn_mask_probs.copy_(torch.tensor(probabilities, dtype=self.attn_mask_probs.dtype))

    def forward(self, index: int, mask_logits: Tensor, grid: tuple[int, int], num_prefix_tokens: int) -> QueryMask:
        """The mask of a block.

        Args:
            index: Of the blocks with masks, from 0.
            mask_logits: B x Q x h' x w', resized to the grid bilinearly.
            grid: (h, w) of the patches.
            num_prefix_tokens: Tokens between queries and patches.

        Returns:
            Of N = Q + num_prefix_tokens + h*w tokens.
        """
        with torch.no_grad():
            logits = F.interpolate(mask_logits, size=grid, mode='bilinear', align_corners=False).flatten(2)
            opened = torch.rand(logits.shape[:2], device=logits.device) >= self.attn_mask_probs[index]
            patches = (logits > 0) | opened[..., None]
            rows = F.pad(patches, (patches.shape[1] + num_prefix_tokens, 0), value=True)
        return QueryMask(rows[:, None])
