"""The blocks of a plain ViT and their tables of positions, from its options."""

from __future__ import annotations

from functools import partial

from torch import nn

from mmvitdense.layers import (
    Attention,
    BiasTable,
    DecomposedTables,
    Mlp,
    RelativePositionBias,
    SwiGLU,
    TransformerBlock,
)


def build_block(
    embed_dims: int,
    num_heads: int,
    feedforward_channels: int,
    *,
    window: int,
    tables: DecomposedTables | BiasTable | None,
    drop_path_rate: float,
    conv_propagation: str | None,
    qkv_bias: bool | str,
    window_pad: str,
    ffn: str,
    act: str,
    ffn_norm: bool,
    attn_inner_norm: bool,
    value_conv: int,
    layer_scale_init: float | None,
    norm_eps: float,
    norm: str,
    proj_bias: bool,
    ffn_bias: bool,
) -> TransformerBlock:
    """A block with the options of `PlainViT`, with attention in windows of `window` tokens, 0 for all."""
    attn = Attention(
        embed_dims,
        num_heads,
        qkv_bias=qkv_bias,
        window_size=window,
        window_pad=window_pad,
        tables=tables,
        inner_norm_eps=norm_eps if attn_inner_norm else None,
        value_conv=value_conv,
        proj_bias=proj_bias,
    )
    network = {'mlp': partial(Mlp, act=act), 'swiglu': SwiGLU}[ffn]
    return TransformerBlock(
        attn,
        network(embed_dims, feedforward_channels, norm_eps=norm_eps if ffn_norm else None, bias=ffn_bias),
        embed_dims,
        drop_path_rate=drop_path_rate,
        layer_scale_init=layer_scale_init,
        norm_eps=norm_eps,
        conv_propagation=conv_propagation,
        norm=norm,
    )


def block_tables(
    rel_pos: str | None,
    at_windows: bool,
    window: int,
    grid: tuple[int, int],
    pos_grid: tuple[int, int],
    with_cls_token: bool,
) -> DecomposedTables | BiasTable | None:
    """Tables of one block: decomposed ones at its windows or at `grid`, biases at its windows or at `pos_grid`."""
    if rel_pos == 'decomposed':
        return DecomposedTables((window, window) if window else grid)
    if rel_pos != 'bias':
        return None
    return BiasTable((window, window)) if window and at_windows else BiasTable(pos_grid, with_cls_token)


def shared_tables(
    num_heads: int, at_windows: bool, windows: tuple[int, ...], pos_grid: tuple[int, int], with_cls_token: bool
) -> tuple[RelativePositionBias | None, nn.ModuleDict]:
    """Tables of biases that blocks share: one for all, or one for the global blocks and one for each size of windows.

    Args:
        num_heads: Attention heads.
        at_windows: Whether windows have tables of their own.
        windows: Side of the windows of each block, 0 where it attends globally.
        pos_grid: Grid of the table of the map.
        with_cls_token: Whether that table has rows for the class token.
    """
    whole = None
    if 0 in windows or not at_windows:
        whole = RelativePositionBias(num_heads, pos_grid, with_cls_token)
    sides = sorted(set(windows) - {0}) if at_windows else []
    return whole, nn.ModuleDict({str(side): RelativePositionBias(num_heads, (side, side), False) for side in sides})
