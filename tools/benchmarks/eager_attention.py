"""Attention as the released ViTs compute it: all logits as a tensor, windows as padded copies.

Two kinds of windows: detectron2's, which pads the tokens before the projections (ViTDet, SAM, BEiT), and that of
ViT-Adapter and ViT-CoMer, which pads query, key and value and cuts with unfold.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitdense.layers import Attention, BiasTable, DecomposedTables

from .parameters import Parameters, linear


def attend(module: Attention, params: Parameters, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """What `module` computes, for maps without class token: B x h*w x C to the same shape."""
    if not module.window_size:
        return linear(params.at('proj'), _attention(module, params, _qkv(module, params, tokens), grid))
    maps = tokens.unflatten(1, grid)
    windowed = _unfolded_windows if module.window_pad == 'qkv' else _padded_windows
    return windowed(module, params, maps).flatten(1, 2)


def _qkv(module: Attention, params: Parameters, tokens: Tensor) -> Tensor:
    bias = params.get('qkv.bias')
    if module.without_key_bias:
        query, key, value = bias.chunk(3)
        bias = torch.cat([query, torch.zeros_like(key), value])
    return F.linear(tokens, params['qkv.weight'], bias)


def _padded_windows(module: Attention, params: Parameters, maps: Tensor) -> Tensor:
    batch, height, width, dims = maps.shape
    size = module.window_size
    maps = F.pad(maps, (0, 0, 0, -width % size, 0, -height % size))
    rows, columns = maps.shape[1] // size, maps.shape[2] // size
    windows = maps.view(batch, rows, size, columns, size, dims).permute(0, 1, 3, 2, 4, 5).contiguous()
    windows = windows.view(-1, size * size, dims)
    windows = linear(params.at('proj'), _attention(module, params, _qkv(module, params, windows), (size, size)))
    maps = windows.view(batch, rows, columns, size, size, dims).permute(0, 1, 3, 2, 4, 5).contiguous()
    return maps.view(batch, rows * size, columns * size, dims)[:, :height, :width].contiguous()


def _unfolded_windows(module: Attention, params: Parameters, maps: Tensor) -> Tensor:
    batch, height, width, dims = maps.shape
    size = module.window_size
    qkv = _qkv(module, params, maps).permute(0, 3, 1, 2)
    qkv = F.pad(qkv, (0, -width % size, 0, -height % size))
    padded = qkv.shape[2:]
    windows = F.unfold(qkv, size, stride=size).view(batch, 3 * dims, size * size, -1)
    windows = windows.permute(0, 3, 2, 1).flatten(0, 1)
    out = _attention(module, params, windows, (size, size))
    out = out.view(batch, -1, size * size, dims).permute(0, 3, 2, 1).flatten(1, 2)
    out = F.fold(out, padded, size, stride=size)[:, :, :height, :width].permute(0, 2, 3, 1)
    return linear(params.at('proj'), out)


def _attention(module: Attention, params: Parameters, qkv: Tensor, grid: tuple[int, int]) -> Tensor:
    batch, count, _ = qkv.shape
    heads = module.num_heads
    qkv = qkv.view(batch, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = qkv.reshape(3, batch * heads, count, -1).unbind(0)
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if isinstance(module.tables, DecomposedTables):
        logits = _add_decomposed(logits, query, params, grid)
    if isinstance(module.tables, BiasTable):
        logits = (logits.view(batch, heads, count, count) + _table_bias(params, grid)).flatten(0, 1)
    out = logits.softmax(dim=-1) @ value
    return out.view(batch, heads, count, -1).transpose(1, 2).reshape(batch, count, -1)


def _add_decomposed(logits: Tensor, query: Tensor, params: Parameters, grid: tuple[int, int]) -> Tensor:
    height, width = grid
    maps = query.view(-1, height, width, query.shape[-1])
    rows = torch.einsum('byxd,ykd->byxk', maps, _spread(params['rel_pos_h'], height))
    columns = torch.einsum('byxd,xkd->byxk', maps, _spread(params['rel_pos_w'], width))
    pairs = logits.view(-1, height, width, height, width) + rows[..., :, None] + columns[..., None, :]
    return pairs.view_as(logits)


def _spread(table: Tensor, length: int) -> Tensor:
    if len(table) != 2 * length - 1:
        resized = F.interpolate(table.t().unsqueeze(0), size=2 * length - 1, mode='linear')
        table = resized.squeeze(0).t()
    places = torch.arange(length, device=table.device)
    return table[places.unsqueeze(1) - places.unsqueeze(0) + length - 1]


def _table_bias(params: Parameters, grid: tuple[int, int]) -> Tensor:
    """heads x N x N from a table kept at this very grid."""
    table = params['relative_position_bias_table']
    height, width = grid
    row = torch.arange(height, device=table.device).repeat_interleave(width)
    column = torch.arange(width, device=table.device).repeat(height)
    down, right = row[:, None] - row + height - 1, column[:, None] - column + width - 1
    index = down * (2 * width - 1) + right
    return table[index.flatten()].view(*index.shape, -1).permute(2, 0, 1).contiguous()
