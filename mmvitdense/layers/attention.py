"""Multi-head self-attention over all tokens of an image or inside windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.ops import Linear, linear
from mmvitdense.ops.recording import is_exporting

from .positions import (
    AttentionPosition,
    OwnsTables,
    PositionTables,
    attention_with_relative_position,
    rotate,
    with_mask,
)
from .window import pad_to_windows, window_merge, window_partition

WINDOW_PADS = ('tokens', 'qkv')


class QkvLinear(Linear):
    """Projection to query, key and value, whose bias may leave out the key.

    Args:
        embed_dims: Channels of a token.
        bias: Whether there is a bias; 'qv' for one that counts as zero for the keys, and stays frozen there.
    """

    def __init__(self, embed_dims: int, bias: bool | str = True):
        if bias not in (True, False, 'qv'):
            raise ValueError(f"qkv_bias must be True, False or 'qv', got {bias!r}")
        super().__init__(embed_dims, 3 * embed_dims, bias=bool(bias))
        self.without_key_bias = bias == 'qv'

    def used_bias(self) -> Tensor | None:
        """The bias as it enters the function, 3*embed_dims."""
        if not self.without_key_bias:
            return self.bias
        query, key, value = self.bias.chunk(3)
        return torch.cat([query, torch.zeros_like(key), value])

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ... x embed_dims to ... x 3*embed_dims."""
        return linear(tokens, self.weight, self.used_bias())


class Attention(OwnsTables):
    """Self-attention of a ViT block.

    Without a window every token attends to every other. With one, the patches of a window attend to each other; class
    and register tokens neither attend nor are attended to there, they wait for the next global block.

    Args:
        embed_dims: Channels of a token.
        num_heads: Number of heads; divides ``embed_dims``.
        qkv_bias: Whether the projection to query, key and value has a bias; 'qv' for none on the keys.
        window_size: Side of a window in tokens, 0 for global attention.
        window_pad: What fills a window that hangs over the edge. 'tokens': a zero token before the projection, so
            that its key and value are the bias (detectron2 ViTDet, SAM, BEiT). 'qkv': zeros after it (ViT-Adapter,
            ViT-CoMer). Padding is not masked in either; checkpoints depend on it.
        tables: Positions of this block alone, ``DecomposedTables`` or ``BiasTable``; None for none.
        inner_norm_eps: Epsilon of a norm before the output projection (EVA-02 of CLIP); None for no norm.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        qkv_bias: bool | str = True,
        window_size: int = 0,
        window_pad: str = 'tokens',
        tables: PositionTables | None = None,
        inner_norm_eps: float | None = None,
    ):
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'embed_dims must be a multiple of num_heads, got {embed_dims} and {num_heads}')
        if window_pad not in WINDOW_PADS:
            raise ValueError(f"window_pad must be one of {WINDOW_PADS}, got '{window_pad}'")
        self.num_heads = num_heads
        self.window_size = window_size
        self.window_pad = window_pad
        self.qkv = QkvLinear(embed_dims, qkv_bias)
        self.inner_norm = nn.Identity() if inner_norm_eps is None else nn.LayerNorm(embed_dims, eps=inner_norm_eps)
        self.proj = Linear(embed_dims, embed_dims)
        self.add_tables(tables, num_heads, embed_dims // num_heads)

    def forward(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        position: AttentionPosition | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            tokens: B x (prefix + h*w) x C.
            grid: (h, w).
            position: What this block shares with others, of a window where there is one.
            mask: Which token (the last axis but one) attends to which (the last): true where it does, or numbers that
                are added to the logits, broadcast to B x heads x N x N. Each must attend to one at least.

        Returns:
            The shape of ``tokens``.

        Raises:
            ValueError: A mask is given to attention in windows.
        """
        prefix = tokens.shape[1] - grid[0] * grid[1]
        if self.window_size:
            if mask is not None:
                raise ValueError(
                    f'a mask of all tokens is given to attention in windows of {self.window_size}: give it to '
                    'blocks that attend globally alone'
                )
            return self._attend_in_windows(tokens, grid, position, prefix)
        return self.proj(self.inner_norm(self._attend(self.qkv(tokens), grid, position, prefix, mask)))

    def _attend_in_windows(
        self, tokens: Tensor, grid: tuple[int, int], position: AttentionPosition | None, prefix: int
    ) -> Tensor:
        size = self.window_size
        qkv = self.qkv(tokens[:, prefix:]).unflatten(1, grid)
        # A zero token projects to the bias: padding with it afterwards saves the products of the padding.
        fill = self.qkv.used_bias() if self.window_pad == 'tokens' else None
        windows = window_partition(pad_to_windows(qkv, size, fill), size)
        patches = window_merge(self._attend(windows, (size, size), position, 0), size, grid).flatten(1, 2)
        return F.pad(self.proj(self.inner_norm(patches)), (0, 0, prefix, 0))

    def _attend(
        self,
        qkv: Tensor,
        grid: tuple[int, int],
        position: AttentionPosition | None,
        prefix: int,
        mask: Tensor | None = None,
    ) -> Tensor:
        query, key, value = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        position = self.own_position(grid, prefix).joined(position)
        if position.rotation is not None:
            query, key = rotate(query, position.rotation), rotate(key, position.rotation)
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.to(query.dtype)
        if position.bias is not None:
            mask = with_mask(position.bias.to(query.dtype)[None], mask)
        if position.decomposed is not None:
            out = attention_with_relative_position(query, key, value, *position.decomposed, grid, mask=mask)
        else:
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out = out.transpose(1, 2)
        if is_exporting():
            # torch's kernels lay their output out like the tokens, what replaces them elsewhere need not.
            out = out.clone(memory_format=torch.contiguous_format)
        return out.flatten(2)
