"""ViT-CoMer as released (detection copy)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .eager_vit import embed, run_blocks
from .official_adapter import (
    conv_ffn,
    deformable_attention,
    fuse,
    join_levels,
    level_shapes,
    split_levels,
    stage_ranges,
    stem,
)
from .parameters import Parameters, batch_norm, conv, layer_norm, linear

EXTRA = 4


def vit_comer(model: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    """ViT-CoMer with all its interactions and four extra ones at the end."""
    params = Parameters.of(model)
    stride4, *levels = stem(params, image)
    c = torch.cat(levels, dim=1)
    x, grid = embed(model.vit, params.at('vit'), image)
    for stage, blocks in enumerate(stage_ranges(model.vit.num_layers)):
        here = params.at(f'interactions.{stage}')
        c = _add_to_stride16(_fuse_receptive_fields(here.at('mrfp'), c, grid), x, grid)
        x = _to_vit(here.at('cti_tov'), x, c, grid)
        x = run_blocks(model.vit, params.at('vit'), x, grid, *blocks)
        c = _to_cnn(here.at('cti_toc'), _add_to_stride16(c, x, grid), grid)
    for extra in range(EXTRA):
        tail = here.at(f'extra_CTIs.{extra}')
        c = _add_to_stride16(c, x, grid)
        c = c + conv_ffn(tail.at('ffn'), layer_norm(tail.at('ffn_norm'), c), grid)
        c = _to_cnn(tail, c, grid)
    return fuse(params, stride4, c, x, grid)


def _fuse_receptive_fields(params: Parameters, c: Tensor, grid: tuple[int, int]) -> Tensor:
    """MRFP: each level has a 3x3 for one half of the channels and a 5x5 for the other."""
    maps = []
    for level, hidden in enumerate(split_levels(linear(params.at('fc1'), c), grid)):
        halves = hidden.chunk(2, dim=1)
        convs = [params.at(f'dwconv.dwconv{2 * level + 1 + half}') for half in (0, 1)]
        hidden = torch.cat([conv(here, half, groups=half.shape[1]) for here, half in zip(convs, halves)], dim=1)
        maps.append(F.gelu(batch_norm(params.at(f'dwconv.bn{level + 1}'), hidden)))
    return linear(params.at('fc2'), F.gelu(join_levels(maps)))


def _add_to_stride16(c: Tensor, x: Tensor, grid: tuple[int, int]) -> Tensor:
    stride8, stride16, stride32 = c.split([h * w for h, w in level_shapes(grid)], dim=1)
    return torch.cat([stride8, stride16 + x, stride32], dim=1)


def _to_vit(params: Parameters, x: Tensor, c: Tensor, grid: tuple[int, int]) -> Tensor:
    a = _self_attention(params, c, grid)
    a = a + conv_ffn(params.at('ffn'), layer_norm(params.at('ffn_norm'), a), grid)
    stride8, stride16, stride32 = split_levels(a, grid)
    stride8 = F.interpolate(stride8, scale_factor=0.5, mode='bilinear', align_corners=False)
    stride32 = F.interpolate(stride32, scale_factor=2, mode='bilinear', align_corners=False)
    return x + params['gamma'] * (stride8 + stride16 + stride32).flatten(2).transpose(1, 2)


def _to_cnn(params: Parameters, c: Tensor, grid: tuple[int, int]) -> Tensor:
    query, value = layer_norm(params.at('query_norm'), c), layer_norm(params.at('feat_norm'), c)
    inner = params.at('cfinter')
    inner_query, inner_value = layer_norm(inner.at('query_norm'), query), layer_norm(inner.at('feat_norm'), value)
    shapes = level_shapes(grid)
    out = query + deformable_attention(inner.at('attn'), inner_query, inner_value, shapes, shapes)
    return out + conv_ffn(inner.at('ffn'), layer_norm(inner.at('ffn_norm'), out), grid)


def _self_attention(params: Parameters, c: Tensor, grid: tuple[int, int]) -> Tensor:
    query, value = layer_norm(params.at('query_norm'), c), layer_norm(params.at('feat_norm'), c)
    shapes = level_shapes(grid)
    return deformable_attention(params.at('attn'), query, value, shapes, shapes)
