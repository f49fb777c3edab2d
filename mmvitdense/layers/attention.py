"""Multi-head self-attention over all tokens of an image or inside windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.ops import Linear, apply_linear, has_map_attention, linear, map_attention
from mmvitdense.ops.linear_layer import is_plain, is_unwatched
from mmvitdense.ops.recording import is_exporting

from .heads import Heads, split_heads, split_heads_in_windows
from .positions import (
    AttentionPosition,
    BiasTable,
    DecomposedTables,
    OwnsTables,
    PositionTables,
    attention_with_relative_position,
    axis_table,
    rotate,
    with_mask,
)
from .query_mask import QueryMask
from .value_conv import ValueConv
from .window import pad_to_windows, window_merge, window_partition

WINDOW_PADS = ('tokens', 'qkv')


class Attention(OwnsTables):
    """Self-attention of a ViT block.

    Without a window every token attends to every other. With one, the patches of a window attend to each other; class
    and register tokens neither attend nor are attended to there, they wait for the next global block.

    Args:
        embed_dims: Channels of a token.
        num_heads: Number of heads; divides `embed_dims`.
        qkv_bias: Whether the projection to query, key and value has a bias; 'qv' for one that counts as zero for the
            keys, and stays frozen there.
        window_size: Side of a window in tokens, 0 for global attention.
        window_pad: What fills a window that hangs over the edge. 'tokens': a zero token before the projection, so
            that its key and value are the bias (detectron2 ViTDet, SAM, BEiT). 'qkv': zeros after it (ViT-Adapter,
            ViT-CoMer). Padding is not masked in either; checkpoints depend on it.
        tables: Positions of this block alone, `DecomposedTables` or `BiasTable`; None for none.
        inner_norm_eps: Epsilon of a norm before the output projection (EVA-02 of CLIP); None for no norm.
        value_conv: Side of the kernel of a convolution of the values, see `ValueConv`; 0 for none. It sees the map,
            whatever the windows.
        proj_bias: Whether the output projection has a bias (AIMv2's has none).
    """

    for_inference = False
    """Whether `map_attention` is called where it can be, see `fusing`."""

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        qkv_bias: bool | str = True,
        window_size: int = 0,
        window_pad: str = 'tokens',
        tables: PositionTables | None = None,
        inner_norm_eps: float | None = None,
        value_conv: int = 0,
        proj_bias: bool = True,
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
        self.qkv = Linear(embed_dims, 3 * embed_dims, bias=bool(qkv_bias))
        self.inner_norm = nn.Identity() if inner_norm_eps is None else nn.LayerNorm(embed_dims, eps=inner_norm_eps)
        self.value_conv = ValueConv(embed_dims // num_heads, value_conv) if value_conv else None
        self.proj = Linear(embed_dims, embed_dims, bias=proj_bias)
        self.add_tables(tables, num_heads, embed_dims // num_heads)

    def forward(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        position: AttentionPosition | None = None,
        mask: Tensor | QueryMask | None = None,
        residual: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            tokens: B x (prefix + h*w) x C.
            grid: (h, w).
            position: What this block shares with others, of a window where there is one.
            mask: Which token (the last axis but one) attends to which (the last): true where it does, or numbers that
                are added to the logits, broadcast to B x heads x N x N. Each must attend to one at least. A
                `QueryMask` masks the first tokens alone.
            residual: Added to the result, of the shape of `tokens`; None for nothing.

        Returns:
            The shape of `tokens`.

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
            return self._attend_in_windows(tokens, grid, position, prefix, residual)
        qkv = self._project(tokens)
        if self._takes_kernel(qkv, grid, position, mask):
            attended = self._attend_by_kernel(qkv, grid, position, prefix)
        else:
            attended = self._attend(split_heads(qkv, self.num_heads), grid, position, prefix, mask)
        if self.value_conv is not None:
            attended = attended + self.value_conv(_values(qkv)[:, prefix:].unflatten(1, grid), prefix)
        return apply_linear(self.proj, self.inner_norm(attended), residual)

    def keys(self, tokens: Tensor) -> Tensor:
        """The keys, ... x C and one head after the other, of tokens, ... x C, before any rotation by positions."""
        return self._project(tokens).chunk(3, dim=-1)[1]

    def _project(self, tokens: Tensor) -> Tensor:
        """Map ... x C to query, key and value, ... x 3*C."""
        if not self.without_key_bias:
            return apply_linear(self.qkv, tokens)
        if is_plain(self.qkv):
            return linear(tokens, self.qkv.weight, self._used_bias())
        # Of a layer that was changed or replaced the bias is what it makes of a zero token, which goes along with the
        # others: hooks see one call.
        qkv, bias = self.qkv(F.pad(tokens, (0, 0, 0, 1))).split([tokens.shape[-2], 1], dim=-2)
        query, key, value = bias.chunk(3, dim=-1)
        return qkv - torch.cat([torch.zeros_like(query), key, torch.zeros_like(value)], dim=-1)

    def _used_bias(self) -> Tensor | None:
        """The bias of the projection as it enters the function, 3*C."""
        if not self.without_key_bias:
            return self.qkv.bias
        query, key, value = self.qkv.bias.chunk(3)
        return torch.cat([query, torch.zeros_like(key), value])

    def _attend_in_windows(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        position: AttentionPosition | None,
        prefix: int,
        residual: Tensor | None,
    ) -> Tensor:
        size, patches = self.window_size, tokens[:, prefix:]
        padded_after = self.window_pad == 'qkv' or is_plain(self.qkv)
        if padded_after:
            # A zero token projects to the bias: padding with it afterwards saves the products of the padding.
            qkv = self._project(patches)
        if padded_after and self._takes_kernel(qkv, grid, position, None):
            patches, values = self._attend_by_kernel(qkv, grid, position, 0), _values(qkv).unflatten(1, grid)
        else:
            if padded_after:
                fill = None if self.window_pad == 'qkv' else self._used_bias()
                qkv = qkv.unflatten(1, grid)
                heads = split_heads_in_windows(qkv, self.num_heads, size, fill)
            else:
                windows = self._project(window_partition(pad_to_windows(patches.unflatten(1, grid), size), size))
                heads, qkv = split_heads(windows, self.num_heads), window_merge(windows, size, grid)
            patches = window_merge(self._attend(heads, (size, size), position, 0), size, grid).flatten(1, 2)
            values = _values(qkv)
        if self.value_conv is not None:
            patches = patches + self.value_conv(values)
        normed = self.inner_norm(patches)
        if residual is None:
            return F.pad(apply_linear(self.proj, normed), (0, 0, prefix, 0))
        added = apply_linear(self.proj, normed, residual[:, prefix:])
        return torch.cat([residual[:, :prefix].to(added.dtype), added], dim=1) if prefix else added

    def _takes_kernel(
        self,
        qkv: Tensor,
        grid: tuple[int, int],
        position: AttentionPosition | None,
        mask: Tensor | QueryMask | None,
    ) -> bool:
        """Whether `_attend_by_kernel` computes what `_attend` would."""
        if not self.for_inference or mask is not None or type(qkv) is not Tensor or qkv.requires_grad:
            return False
        rotation, bias, _ = position or AttentionPosition()
        known = self.tables is None or isinstance(self.tables, (DecomposedTables, BiasTable))
        alike = rotation is None or not self.window_size or self._fills_alike(grid)
        return known and bias is None and alike and has_map_attention(qkv.dtype)

    def _fills_alike(self, grid: tuple[int, int]) -> bool:
        """Whether the keys that fill windows are the same at all places when rotated: there are none, or zeros."""
        if self.window_pad == 'qkv' or not any(side % self.window_size for side in grid):
            return True
        bias = self._used_bias()
        return bias is None or not bias.chunk(3)[1].any()

    def _attend_by_kernel(
        self, qkv: Tensor, grid: tuple[int, int], position: AttentionPosition | None, prefix: int
    ) -> Tensor:
        """Attend by one kernel, in windows where there are any: B x (prefix + h*w) x 3*C to B x (prefix + h*w) x C."""
        side = (self.window_size, self.window_size) if self.window_size else grid
        offsets = self.tables.offsets(self, side) if isinstance(self.tables, BiasTable) else None
        own = self.own_position(side, prefix) if offsets is None else AttentionPosition()
        position = own.joined(position)
        if position.rotation is not None:
            qkv = qkv if is_unwatched(self.qkv) else qkv.clone()
            both = qkv.unflatten(-1, (3, self.num_heads, -1))[:, :, :2].permute(0, 2, 3, 1, 4)
            rotation = position.rotation.repeated(side, grid) if self.window_size else position.rotation
            both.copy_(rotate(both, rotation))
        tables = position.decomposed
        if tables is not None:
            tables = tuple(axis_table(table, length).float().transpose(1, 2) for table, length in zip(tables, side))
        fill = self._used_bias() if self.window_size and self.window_pad == 'tokens' else None
        return map_attention(qkv, self.num_heads, grid, self.window_size, fill, tables, offsets)

    def _attend(
        self,
        heads: Heads,
        grid: tuple[int, int],
        position: AttentionPosition | None,
        prefix: int,
        mask: Tensor | QueryMask | None = None,
    ) -> Tensor:
        query, key, value = heads
        position = self.own_position(grid, prefix).joined(position)
        if position.rotation is not None:
            query, key = rotate(query, position.rotation), rotate(key, position.rotation)
        if isinstance(mask, QueryMask) and (position.bias is not None or position.decomposed is not None):
            mask = mask.of_all()  # these have numbers for all pairs anyway
        if isinstance(mask, Tensor) and mask.dtype != torch.bool:
            mask = mask.to(query.dtype)
        if position.bias is not None:
            mask = with_mask(position.bias.to(query.dtype)[None], mask)
        if position.decomposed is not None:
            out = attention_with_relative_position(query, key, value, *position.decomposed, grid, mask=mask)
        elif isinstance(mask, QueryMask):
            out = mask.attend(query, key, value)
        else:
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out = out.transpose(1, 2)
        if is_exporting():
            # torch's kernels lay their output out like the tokens, what replaces them elsewhere need not.
            out = out.clone(memory_format=torch.contiguous_format)
        return out.flatten(2)


def _values(qkv: Tensor) -> Tensor:
    return qkv[..., 2 * qkv.shape[-1] // 3 :]
