"""What the official ViT-Adapter and ViT-CoMer have in common, and ViT-Adapter, as released.

Deformable attention reads each level with `grid_sample`, as mmcv does without its kernel; the depth-wise convolution
is called once a level between copies of the tokens; points and shapes are made anew in every call.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .eager_vit import embed, run_blocks
from .parameters import Parameters, batch_norm, conv, layer_norm, linear, up_conv

Shapes = list[tuple[int, int]]
POINTS = 4


def stem(params: Parameters, image: Tensor) -> list[Tensor]:
    """The convolutional branch: a map of stride 4, then B x h*w x C of strides 8, 16 and 32, level embedding added."""
    here = params.at('spm')
    maps = image
    for index, stride in ((0, 2), (3, 1), (6, 1)):
        maps = F.relu(batch_norm(here.at(f'stem.{index + 1}'), conv(here.at(f'stem.{index}'), maps, stride)))
    maps = F.max_pool2d(maps, 3, 2, 1)
    outputs = [conv(here.at('fc1'), maps)]
    for level in (2, 3, 4):
        maps = F.relu(batch_norm(here.at(f'conv{level}.1'), conv(here.at(f'conv{level}.0'), maps, 2)))
        tokens = conv(here.at(f'fc{level}'), maps).flatten(2).transpose(1, 2)
        outputs.append(tokens + params['level_embed'][level - 2])
    return outputs


def level_shapes(grid: tuple[int, int]) -> Shapes:
    """Grids of strides 8, 16 and 32 around that of the ViT."""
    height, width = grid
    return [(2 * height, 2 * width), (height, width), (height // 2, width // 2)]


def split_levels(tokens: Tensor, grid: tuple[int, int]) -> list[Tensor]:
    """The three maps, B x C x h x w, of a sequence of all levels."""
    shapes = level_shapes(grid)
    parts = tokens.split([h * w for h, w in shapes], dim=1)
    return [part.transpose(1, 2).unflatten(2, shape).contiguous() for part, shape in zip(parts, shapes)]


def join_levels(maps: list[Tensor]) -> Tensor:
    """Undo `split_levels`."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)


def cell_centres(shapes: Shapes, device: torch.device) -> Tensor:
    """1 x sum of h*w x 1 x 2, (x, y) in 0..1."""
    points = []
    for height, width in shapes:
        rows = torch.linspace(0.5, height - 0.5, height, device=device) / height
        columns = torch.linspace(0.5, width - 0.5, width, device=device) / width
        y, x = torch.meshgrid(rows, columns, indexing='ij')
        points.append(torch.stack((x.reshape(-1), y.reshape(-1)), -1))
    return torch.cat(points)[None, :, None]


def deformable_attention(params: Parameters, query: Tensor, value: Tensor, queries: Shapes, shapes: Shapes) -> Tensor:
    """Deformable attention of queries that are the pixels of `queries` to the maps `shapes`."""
    batch, count, _ = query.shape
    levels = len(shapes)
    heads = len(params['attention_weights.weight']) // (levels * POINTS)
    values = linear(params.at('value_proj'), value).view(batch, value.shape[1], heads, -1)
    offsets = linear(params.at('sampling_offsets'), query).view(batch, count, heads, levels, POINTS, 2)
    weights = linear(params.at('attention_weights'), query).view(batch, count, heads, levels * POINTS).softmax(-1)
    sizes = torch.tensor(shapes, device=query.device)
    reference = cell_centres(queries, query.device)
    locations = reference[:, :, None, :, None, :] + offsets / sizes.flip(1)[None, None, None, :, None, :]
    grids = 2 * locations - 1
    sampled = []
    for level, part in enumerate(values.split([h * w for h, w in shapes], dim=1)):
        maps = part.flatten(2).transpose(1, 2).reshape(batch * heads, -1, *shapes[level])
        points = grids[:, :, :, level].transpose(1, 2).flatten(0, 1)
        sampled.append(F.grid_sample(maps, points.to(maps.dtype), padding_mode='zeros', align_corners=False))
    weights = weights.transpose(1, 2).reshape(batch * heads, 1, count, levels * POINTS)
    out = (torch.stack(sampled, dim=-2).flatten(-2) * weights).sum(-1)
    out = out.view(batch, -1, count).transpose(1, 2).contiguous()
    return linear(params.at('output_proj'), out)


def conv_ffn(params: Parameters, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Linear, one depth-wise 3x3 called for each level, GELU, Linear."""
    hidden = linear(params.at('fc1'), tokens)
    depthwise = params.at('dwconv.dwconv')
    maps = [conv(depthwise, level, groups=hidden.shape[-1]) for level in split_levels(hidden, grid)]
    return linear(params.at('fc2'), F.gelu(join_levels(maps)))


def fuse(params: Parameters, stride4: Tensor, tokens: Tensor, vit: Tensor, grid: tuple[int, int]) -> tuple[Tensor, ...]:
    """Outputs of strides 4 to 32: the branch, plus the last map of the ViT, normed (detection copies)."""
    stride8, stride16, stride32 = split_levels(tokens, grid)
    maps = [up_conv(params.at('up'), stride8) + stride4, stride8, stride16, stride32]
    whole = vit.transpose(1, 2).unflatten(2, grid).contiguous()
    outputs = []
    for index, (level, scale) in enumerate(zip(maps, (4, 2, 1, 0.5)), start=1):
        resized = F.interpolate(whole, scale_factor=scale, mode='bilinear', align_corners=False)
        outputs.append(batch_norm(params.at(f'norm{index}'), level + resized))
    return tuple(outputs)


def stage_ranges(depth: int) -> list[tuple[int, int]]:
    """First block and the one after the last, of four equal stages."""
    return [(depth * stage // 4, depth * (stage + 1) // 4) for stage in range(4)]


def vit_adapter(model: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    """ViT-Adapter, detection copy."""
    params = Parameters.of(model)
    stride4, *levels = stem(params, image)
    c = torch.cat(levels, dim=1)
    x, grid = embed(model.vit, params.at('vit'), image)
    for stage, blocks in enumerate(stage_ranges(model.vit.num_layers)):
        here = params.at(f'interactions.{stage}')
        x = _inject(here.at('injector'), x, c, grid)
        x = run_blocks(model.vit, params.at('vit'), x, grid, *blocks)
        c = _extract(here.at('extractor'), c, x, grid)
    for extra in range(2):
        c = _extract(here.at(f'extra_extractors.{extra}'), c, x, grid)
    return fuse(params, stride4, c, x, grid)


def _inject(params: Parameters, x: Tensor, c: Tensor, grid: tuple[int, int]) -> Tensor:
    query, value = layer_norm(params.at('query_norm'), x), layer_norm(params.at('feat_norm'), c)
    return x + params['gamma'] * deformable_attention(params.at('attn'), query, value, [grid], level_shapes(grid))


def _extract(params: Parameters, c: Tensor, x: Tensor, grid: tuple[int, int]) -> Tensor:
    query, value = layer_norm(params.at('query_norm'), c), layer_norm(params.at('feat_norm'), x)
    c = c + deformable_attention(params.at('attn'), query, value, level_shapes(grid), [grid])
    return c + conv_ffn(params.at('ffn'), layer_norm(params.at('ffn_norm'), c), grid)
