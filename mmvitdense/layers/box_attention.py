"""Attention of boxes to all tokens of a map, with a bias from how far a token is from the sides of the box."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import without_autocast
from .recompute import recomputed

ELEMENTS = 2**26
"""Most numbers of one tensor of a slice of queries: 256 MB in float32."""
_OF_PADDING = -100.0


class BoxAttention(nn.Module):
    """Cross-attention with decomposed relative positions of box and pixel (BoxRPB, Plain-DETR, arXiv 2308.01904).

    The bias of a head for a box and the token in row y and column x is the sum of a term of x, made from the two
    distances of the left and the right side of the box to the middle of the token, and one of y, made from those of the
    upper and the lower side: in pixels, each by a layer of its own (`models/global_rpe_decomp_decoder.py` of
    impiga/Plain-DETR, `decoder_rpe_type='linear'`). A token of the padding has 100 less, and is not hidden.

    Distances of pixels are more than 16 bits can hold, so the bias is made in float32 under autocast too. Neither it
    nor the hidden numbers behind it, of which a query has (height + width) x `hidden_dims`, exist for all queries at
    once where they are many: queries are taken in slices, each of which is computed again for the gradients.

    Args:
        embed_dims: Channels of queries and tokens.
        num_heads: Attention heads.
        hidden_dims: Width of the layers that make the bias.

    Raises:
        ValueError: The channels are no multiple of the heads.
    """

    def __init__(self, embed_dims: int, num_heads: int, hidden_dims: int = 512):
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(
                f'BoxAttention got embed_dims={embed_dims} and num_heads={num_heads}; expected a multiple of the heads.'
            )
        self.embed_dims, self.num_heads, self.hidden_dims = embed_dims, num_heads, hidden_dims
        self.bias_x, self.bias_y = self._bias_layers(), self._bias_layers()
        self.q, self.k, self.v, self.proj = (nn.Linear(embed_dims, embed_dims) for _ in range(4))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all as Plain-DETR does."""
        for layer in (self.q, self.k, self.v, self.proj, *self.bias_x, *self.bias_y):
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(
        self,
        query: Tensor,
        boxes: Tensor,
        key: Tensor,
        value: Tensor,
        grid: tuple[int, int],
        stride: int,
        padding: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            query: B x Q x embed_dims.
            boxes: Those of the queries, left, upper, right and lower side in pixels, B x Q x 4.
            key, value: B x h*w x embed_dims.
            grid: (h, w).
            stride: Side of a token in pixels.
            padding: B x h*w, true for tokens of the padding.

        Returns:
            B x Q x embed_dims.
        """
        keys, values = self._heads(self.k(key)), self._heads(self.v(value))
        number = max(ELEMENTS // self._elements(len(query), grid), 1)
        slices = list(zip(query.split(number, dim=1), boxes.split(number, dim=1)))
        found = [
            recomputed(self._attend, *part, keys, values, grid, stride, padding, when=len(slices) > 1)
            for part in slices
        ]
        return self.proj(torch.cat(found, dim=1))

    def bias(self, boxes: Tensor, grid: tuple[int, int], stride: int) -> tuple[Tensor, Tensor]:
        """The terms of the rows, B x heads x Q x h, and those of the columns, B x heads x Q x w."""
        dtype = torch.float64 if boxes.dtype == torch.float64 else torch.float32
        with without_autocast(boxes):
            boxes = boxes.to(dtype)
            found = []
            for layers, sides, length in (
                (self.bias_y, boxes[..., 1::2], grid[0]),
                (self.bias_x, boxes[..., 0::2], grid[1]),
            ):
                middles = (torch.arange(length, dtype=dtype, device=boxes.device) + 0.5) * stride
                terms = self._in_full(layers, sides[:, :, None] - middles[:, None])
                found.append(terms.permute(0, 3, 1, 2))
        return found[0], found[1]

    @staticmethod
    def _in_full(layers: nn.Sequential, distances: Tensor) -> Tensor:
        """The layers in the type of the distances, whatever the model is stored in."""
        first, _, last = layers
        hidden = F.linear(distances, first.weight.to(distances), first.bias.to(distances)).relu_()
        return F.linear(hidden, last.weight.to(hidden))

    def _attend(
        self,
        query: Tensor,
        boxes: Tensor,
        keys: Tensor,
        values: Tensor,
        grid: tuple[int, int],
        stride: int,
        padding: Tensor | None,
    ) -> Tensor:
        queries = self._heads(self.q(query))
        rows, columns = self.bias(boxes, grid, stride)
        bias = (rows[..., :, None] + columns[..., None, :]).flatten(-2)
        if padding is not None:
            bias = bias + padding[:, None, None].to(bias) * _OF_PADDING
        found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias.to(queries))
        return found.transpose(1, 2).flatten(-2)

    def _heads(self, tokens: Tensor) -> Tensor:
        """B x N x C to B x heads x N x C/heads."""
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _elements(self, batch: int, grid: tuple[int, int]) -> int:
        """Numbers of the largest tensor for one query."""
        height, width = grid
        return batch * max(self.num_heads * height * width, self.hidden_dims * max(height, width))

    def _bias_layers(self) -> nn.Sequential:
        last = nn.Linear(self.hidden_dims, self.num_heads, bias=False)
        return nn.Sequential(nn.Linear(2, self.hidden_dims), nn.ReLU(), last)
