"""Multi-head self-attention over all tokens of an image or inside windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .relative_position import attention_with_relative_position
from .window import pad_to_windows, window_merge, window_partition

WINDOW_PADS = ('tokens', 'qkv')


class Attention(nn.Module):
    """Self-attention of a ViT block.

    Without a window every token attends to every other. With one, the patches of a window attend to each other; class
    and register tokens neither attend nor are attended to there, they wait for the next global block.

    Args:
        embed_dims: Channels of a token.
        num_heads: Number of heads; divides ``embed_dims``.
        qkv_bias: Whether the projection to query, key and value has a bias.
        window_size: Side of a window in tokens, 0 for global attention.
        window_pad: What fills a window that hangs over the edge. 'tokens': a zero token before the projection, so
            that its key and value are the bias (detectron2 ViTDet, SAM, BEiT). 'qkv': zeros after it (ViT-Adapter,
            ViT-CoMer). Padding is not masked in either; checkpoints depend on it.
        rel_pos_size: Grid (h, w) at which tables of decomposed relative positions are kept; None for none.
        num_prefix_tokens: How many class and register tokens come before the patches.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        qkv_bias: bool = True,
        window_size: int = 0,
        window_pad: str = 'tokens',
        rel_pos_size: tuple[int, int] | None = None,
        num_prefix_tokens: int = 0,
    ):
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'embed_dims must be a multiple of num_heads, got {embed_dims} and {num_heads}')
        if window_pad not in WINDOW_PADS:
            raise ValueError(f"window_pad must be one of {WINDOW_PADS}, got '{window_pad}'")
        self.num_heads = num_heads
        self.window_size = window_size
        self.window_pad = window_pad
        self.num_prefix_tokens = num_prefix_tokens
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=qkv_bias)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.has_rel_pos = rel_pos_size is not None
        if self.has_rel_pos:
            head_dims = embed_dims // num_heads
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * rel_pos_size[0] - 1, head_dims))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * rel_pos_size[1] - 1, head_dims))

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Attend. ``tokens`` is B x (prefix + h*w) x C with ``grid`` = (h, w); the result has the same shape."""
        if self.window_size:
            return self._attend_in_windows(tokens, grid)
        return self.proj(self._attend(self.qkv(tokens), grid))

    def _attend_in_windows(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        size = self.window_size
        prefix = self.num_prefix_tokens
        qkv = self.qkv(tokens[:, prefix:]).unflatten(1, grid)
        # A zero token projects to the bias: padding with it afterwards saves the products of the padding.
        fill = self.qkv.bias if self.window_pad == 'tokens' else None
        windows = window_partition(pad_to_windows(qkv, size, fill), size)
        patches = window_merge(self._attend(windows, (size, size)), size, grid).flatten(1, 2)
        return F.pad(self.proj(patches), (0, 0, prefix, 0))

    def _attend(self, qkv: Tensor, grid: tuple[int, int]) -> Tensor:
        query, key, value = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        if self.has_rel_pos:
            out = attention_with_relative_position(query, key, value, self.rel_pos_h, self.rel_pos_w, grid)
        else:
            out = F.scaled_dot_product_attention(query, key, value)
        return out.transpose(1, 2).flatten(2)
