"""Multi-head self-attention over all tokens of an image or inside windows."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.ops import Linear, apply_linear, linear
from mmvitdense.ops.linear_layer import is_plain
from mmvitdense.ops.recording import is_exporting

from .recorded_positions import RecordsPositions
from .relative_position import attention_with_relative_position
from .relative_position_bias import num_bias_rows, relative_position_bias
from .rope import Rotation, rotate
from .window import pad_to_windows, window_merge, window_partition

WINDOW_PADS = ('tokens', 'qkv')


class AttentionPosition(NamedTuple):
    """Positions that blocks have in common: how queries and keys are rotated, and heads x N x N added to the logits."""

    rotation: Rotation | None = None
    bias: Tensor | None = None


class Attention(RecordsPositions):
    """Self-attention of a ViT block.

    Without a window every token attends to every other. With one, the patches of a window attend to each other; class
    and register tokens neither attend nor are attended to there, they wait for the next global block.

    Args:
        embed_dims: Channels of a token.
        num_heads: Number of heads; divides ``embed_dims``.
        qkv_bias: Whether the projection to query, key and value has a bias; 'qv' for one that counts as zero for the
            keys, and stays frozen there.
        window_size: Side of a window in tokens, 0 for global attention.
        window_pad: What fills a window that hangs over the edge. 'tokens': a zero token before the projection, so
            that its key and value are the bias (detectron2 ViTDet, SAM, BEiT). 'qkv': zeros after it (ViT-Adapter,
            ViT-CoMer). Padding is not masked in either; checkpoints depend on it.
        rel_pos_size: Grid (h, w) at which tables of decomposed relative positions are kept; None for none.
        bias_grid: Grid (h, w) at which a table of relative-position biases is kept; None for none.
        with_cls_token: Whether that table has rows for a class token.
        num_prefix_tokens: How many class and register tokens come before the patches.
        inner_norm_eps: Epsilon of a norm before the output projection (EVA-02 of CLIP); None for no norm.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        qkv_bias: bool | str = True,
        window_size: int = 0,
        window_pad: str = 'tokens',
        rel_pos_size: tuple[int, int] | None = None,
        bias_grid: tuple[int, int] | None = None,
        with_cls_token: bool = False,
        num_prefix_tokens: int = 0,
        inner_norm_eps: float | None = None,
    ):
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'embed_dims must be a multiple of num_heads, got {embed_dims} and {num_heads}')
        if window_pad not in WINDOW_PADS:
            raise ValueError(f"window_pad must be one of {WINDOW_PADS}, got '{window_pad}'")
        if qkv_bias not in (True, False, 'qv'):
            raise ValueError(f"qkv_bias must be True, False or 'qv', got {qkv_bias!r}")
        self.num_heads = num_heads
        self.without_key_bias = qkv_bias == 'qv'
        self.window_size = window_size
        self.window_pad = window_pad
        self.num_prefix_tokens = num_prefix_tokens
        self.qkv = Linear(embed_dims, 3 * embed_dims, bias=bool(qkv_bias))
        self.inner_norm = nn.Identity() if inner_norm_eps is None else nn.LayerNorm(embed_dims, eps=inner_norm_eps)
        self.proj = Linear(embed_dims, embed_dims)
        self.has_rel_pos = rel_pos_size is not None
        if self.has_rel_pos:
            head_dims = embed_dims // num_heads
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * rel_pos_size[0] - 1, head_dims))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * rel_pos_size[1] - 1, head_dims))
        self.bias_grid = bias_grid
        self.with_cls_token = with_cls_token
        if bias_grid is not None:
            rows = num_bias_rows(bias_grid, with_cls_token)
            self.relative_position_bias_table = nn.Parameter(torch.zeros(rows, num_heads))

    def reset_parameters(self) -> None:
        """Start the tables of relative positions at zero."""
        for table in self.parameters(recurse=False):
            nn.init.zeros_(table)

    def forward(self, tokens: Tensor, grid: tuple[int, int], position: AttentionPosition | None = None) -> Tensor:
        """Attend.

        Args:
            tokens: B x (prefix + h*w) x C.
            grid: (h, w).
            position: What this block shares with others, of a window where there is one.

        Returns:
            The shape of ``tokens``.
        """
        position = position or AttentionPosition()
        if self.window_size:
            return self._attend_in_windows(tokens, grid, position)
        return apply_linear(
            self.proj, self.inner_norm(self._attend(self._project(tokens), grid, position, self.num_prefix_tokens))
        )

    def table_grids(self) -> dict[str, tuple[int, int]]:
        """See ``RecordsPositions``."""
        return {} if self.bias_grid is None else {'relative_position_bias_table': tuple(self.bias_grid)}

    def _project(self, tokens: Tensor) -> Tensor:
        """Map ... x C to query, key and value, ... x 3*C."""
        if not self.without_key_bias:
            return apply_linear(self.qkv, tokens)
        if is_plain(self.qkv):
            return linear(tokens, self.qkv.weight, self._used_bias(tokens))
        return self.qkv(tokens) + (self._used_bias(tokens) - self._bias(tokens))

    def _bias(self, tokens: Tensor) -> Tensor | None:
        """The bias of the projection, 3*C: of a layer put in the place of torch's, what it makes of a zero token."""
        return self.qkv.bias if isinstance(self.qkv, nn.Linear) else self.qkv(tokens.new_zeros(1, tokens.size(-1)))[0]

    def _used_bias(self, tokens: Tensor) -> Tensor | None:
        """The bias as it enters the function, 3*C."""
        bias = self._bias(tokens)
        if not self.without_key_bias:
            return bias
        query, key, value = bias.chunk(3)
        return torch.cat([query, torch.zeros_like(key), value])

    def _attend_in_windows(self, tokens: Tensor, grid: tuple[int, int], position: AttentionPosition) -> Tensor:
        size = self.window_size
        prefix = self.num_prefix_tokens
        qkv = self._project(tokens[:, prefix:]).unflatten(1, grid)
        # A zero token projects to the bias: padding with it afterwards saves the products of the padding.
        fill = self._used_bias(tokens) if self.window_pad == 'tokens' else None
        windows = window_partition(pad_to_windows(qkv, size, fill), size)
        patches = window_merge(self._attend(windows, (size, size), position, 0), size, grid).flatten(1, 2)
        return F.pad(apply_linear(self.proj, self.inner_norm(patches)), (0, 0, prefix, 0))

    def _attend(self, qkv: Tensor, grid: tuple[int, int], position: AttentionPosition, prefix: int) -> Tensor:
        query, key, value = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        if position.rotation is not None:
            query, key = rotate(query, position.rotation), rotate(key, position.rotation)
        if self.has_rel_pos:
            out = attention_with_relative_position(query, key, value, self.rel_pos_h, self.rel_pos_w, grid)
        else:
            bias = position.bias
            if self.bias_grid is not None:
                table = self.relative_position_bias_table
                bias = relative_position_bias(table, self.bias_grid, grid, prefix, self.with_cls_token)
            mask = None if bias is None else bias.to(query.dtype)[None]
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out = out.transpose(1, 2)
        if is_exporting():
            # torch's kernels lay their output out like the tokens, what replaces them elsewhere need not.
            out = out.clone(memory_format=torch.contiguous_format)
        return out.flatten(2)
