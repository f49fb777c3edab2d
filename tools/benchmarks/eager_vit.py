"""The plain ViT and the simple feature pyramid in the formulation of their releases."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitdense.models.backbones.plain_vit import PlainViT
from mmvitdense.models.necks.simple_feature_pyramid import SimpleFeaturePyramid

from .eager_attention import attend
from .parameters import Parameters, conv, layer_norm, linear, up_conv


def embed(vit: PlainViT, params: Parameters, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Tokens and grid of an image, with the positions resized; no class token."""
    patch = params.at('patch_embed.proj')
    maps = F.conv2d(image, patch['weight'], patch.get('bias'), stride=vit.patch_size)
    grid = (maps.shape[2], maps.shape[3])
    tokens = maps.flatten(2).transpose(1, 2)
    table = params['pos_embed'][:, int(vit.pos_embed_cls_slot) :]
    table = table.transpose(1, 2).unflatten(2, vit.pos_grid)
    table = F.interpolate(table, size=grid, mode='bicubic', align_corners=False)
    return tokens + table.flatten(2).transpose(1, 2), grid


def run_blocks(
    vit: PlainViT, params: Parameters, tokens: Tensor, grid: tuple[int, int], start: int, stop: int
) -> Tensor:
    """Blocks `start` to `stop`, exclusive."""
    for index in range(start, stop):
        block, here = vit.blocks[index], params.at(f'blocks.{index}')
        branch = attend(block.attn, here.at('attn'), layer_norm(here.at('norm1'), tokens), grid)
        tokens = tokens + _scaled(here.get('ls1.gamma'), branch)
        hidden = F.gelu(linear(here.at('mlp.fc1'), layer_norm(here.at('norm2'), tokens)))
        tokens = tokens + _scaled(here.get('ls2.gamma'), linear(here.at('mlp.fc2'), hidden))
    return tokens


def _scaled(gain: Tensor | None, branch: Tensor) -> Tensor:
    return branch if gain is None else gain * branch


def pyramid(neck: SimpleFeaturePyramid, params: Parameters, maps: Tensor) -> tuple[Tensor, ...]:
    """The levels of ViTDet of strides 4 to 64."""
    first = params.at('resample.0')
    fine = F.gelu(channel_norm(first.at('1'), up_conv(first.at('0'), maps)))
    scaled = [up_conv(first.at('3'), fine), up_conv(params.at('resample.1.0'), maps), maps, F.max_pool2d(maps, 2, 2)]
    levels = []
    for index, level in enumerate(scaled):
        for convs in ('lateral_convs', 'output_convs'):
            here = params.at(f'{convs}.{index}')
            level = channel_norm(here.at('1'), conv(here.at('0'), level))
        levels.append(level)
    for _ in neck.extra:
        levels.append(F.max_pool2d(levels[-1], 1, 2))
    return tuple(levels)


def channel_norm(params: Parameters, maps: Tensor, eps: float = 1e-6) -> Tensor:
    """Layer norm over channels, step by step."""
    mean = maps.mean(1, keepdim=True)
    variance = (maps - mean).pow(2).mean(1, keepdim=True)
    normed = (maps - mean) / torch.sqrt(variance + eps)
    return params['weight'][:, None, None] * normed + params['bias'][:, None, None]


def vitdet(vit: PlainViT, neck: SimpleFeaturePyramid, image: Tensor) -> tuple[Tensor, ...]:
    """Backbone and pyramid of ViTDet."""
    params = Parameters.of(vit)
    tokens, grid = embed(vit, params, image)
    tokens = run_blocks(vit, params, tokens, grid, 0, vit.num_layers)
    return pyramid(neck, Parameters.of(neck), tokens.transpose(1, 2).unflatten(2, grid))
