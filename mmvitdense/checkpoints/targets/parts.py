"""What several targets share: splitting projections, and rows of tables of positions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch

from mmvitdense.layers.positions.table_rows import CLASS_POSITIONS, axis_length

from .contract import Options, Weights

MASK_TOKEN = 'mask_token'

_FUSED = re.compile(r'^(.*\.)attn\.qkv\.(weight|bias)$')


def split_qkv(weights: Weights, parts: Sequence[str], key_bias: bool = True) -> Weights:
    """Queries, keys and values under names of their own.

    Args:
        weights: Names of `PlainViT`.
        parts: What stands in the place of 'attn.qkv' for queries, keys and values.
        key_bias: Whether the keys have a bias; a bias of keys is left out where not.
    """
    found = {}
    for name, tensor in weights.items():
        if (match := _FUSED.match(name)) is None:
            found[name] = tensor
            continue
        for index, (part, rows) in enumerate(zip(parts, tensor.chunk(3))):
            if key_bias or index != 1 or match[2] == 'weight':
                found[f'{match[1]}{part}.{match[2]}'] = rows
    return found


def split_gated(weights: Weights, gate: str, value: str) -> Weights:
    """The two halves of the first layer of gated networks under names in the place of 'w12'."""
    found = {}
    for name, tensor in weights.items():
        if '.mlp.w12.' not in name:
            found[name] = tensor
            continue
        for part, rows in zip((gate, value), tensor.chunk(2)):
            found[name.replace('.w12.', f'.{part}.')] = rows
    return found


def has_key_bias(weights: Weights) -> bool:
    """Whether keys have a bias that is not zero."""
    return any(bool(x.chunk(3)[1].any()) for name, x in weights.items() if name.endswith('attn.qkv.bias'))


def without_class_row(weights: Weights, options: Options) -> Weights:
    """Positions of patches alone: the row of the class token is added to it, which computes the same."""
    weights = dict(weights)
    if options['pos_embed_cls_slot']:
        table = weights['pos_embed']
        if options['with_cls_token']:
            weights['cls_token'] = weights['cls_token'] + table[:, :CLASS_POSITIONS]
        weights['pos_embed'] = table[:, CLASS_POSITIONS:]
    return weights


def with_class_row(weights: Weights, options: Options) -> Weights:
    """Positions with a row of the class token, of zeros where there was none."""
    weights = dict(weights)
    if not options['pos_embed_cls_slot']:
        table = weights['pos_embed']
        weights['pos_embed'] = torch.cat([table.new_zeros(1, CLASS_POSITIONS, table.shape[2]), table], dim=1)
    return weights


def with_patch_bias(weights: Weights) -> Weights:
    """A bias of zeros where the patch embedding has none."""
    kernel = weights['patch_embed.proj.weight']
    zeros = torch.zeros(len(kernel), dtype=kernel.dtype)
    return {'patch_embed.proj.bias': zeros, **weights}


def patch_bias_in_positions(weights: Weights) -> Weights:
    """For patches without a bias: it is added to the positions, which computes the same however these are resized."""
    weights = dict(weights)
    bias = weights.pop('patch_embed.proj.bias', None)
    if bias is not None and bool(bias.any()):
        weights['pos_embed'] = weights['pos_embed'] + bias.to(weights['pos_embed'].device)
    return weights


def with_mask_token(weights: Weights, *shape: int) -> Weights:
    """With the mask token that the model has, of zeros where the weights lack it, of this shape."""
    token = weights.get(MASK_TOKEN)
    like = weights['patch_embed.proj.weight']
    token = torch.zeros(shape, dtype=like.dtype) if token is None else token.reshape(shape)
    return {**weights, MASK_TOKEN: token}


def grid_of(options: Options) -> tuple[int, int]:
    """Rows and columns of the table of positions."""
    height, width = (side // options['patch_size'] for side in options['pretrain_img_size'])
    return height, width


def side_of(options: Options, name: str = 'pretrain_img_size') -> int | list[int]:
    """One number for a square image, else [height, width]."""
    height, width = options[name]
    return height if height == width else [height, width]


def only_square(options: Options) -> str | None:
    """Why a model with square tables does not have these positions."""
    height, width = grid_of(options)
    if options['pos_embed'] == 'absolute' and height != width:
        return f'has square tables of positions alone, and these have {height} x {width} rows'
    return None


def tables_of_other_size(weights: Weights, options: Options) -> str | None:
    """Why a model whose tables of relative positions have the size of the image or of windows cannot have these."""
    for index, window in enumerate(options['window_size']):
        table = weights.get(f'blocks.{index}.attn.rel_pos_h')
        side = window or options['img_size'][0] // options['patch_size']
        if table is not None and axis_length(len(table)) != side:
            return f'has tables of relative positions of the size of the image, and block {index} has other ones'
    return None


def only_whole_ratio(options: Options) -> str | None:
    """Why a model whose networks are a whole number of times as wide as its tokens does not have these."""
    hidden, width = options['feedforward_channels'], options['embed_dims']
    if hidden % width:
        return f'has networks of a multiple of its {width} channels, not of {hidden}'
    return None


def ratio(options: Options) -> float | int:
    """The width of the feed-forward network as a factor of the channels, from which libraries compute it again."""
    hidden, width = options['feedforward_channels'], options['embed_dims']
    if hidden % width == 0:
        return hidden // width
    factor = hidden / width
    while int(width * factor) < hidden:
        factor = math.nextafter(factor, math.inf)
    return factor
