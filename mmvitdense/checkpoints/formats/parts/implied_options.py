"""Constructor options of `PlainViT` that converted weights imply."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.layers.positions.table_rows import (
    CLASS_OFFSETS,
    CLASS_POSITIONS,
    num_offsets,
    num_positions,
    square_table,
)

from .families import options_of_families
from .patches import image_channels, patch_sides
from .window_plan import table_sides, window_plan

# Published widths and their heads, by embed_dims; formats with other heads for a width say so themselves.
_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1152: 16, 1280: 16, 1408: 16, 1536: 24, 1664: 16, 1792: 16, 4096: 32}
_RGB = 3
_BLOCK = re.compile(r'^blocks\.(\d+)\.')
_RESIDUAL = re.compile(r'^blocks\.(\d+)\.residual\.conv(\d)\.')
# By the number of convolutions.
_KINDS = ('naive', 'basic', 'bottleneck')


def implied_options(
    weights: dict[str, Tensor], given: Mapping[str, Any], families: Collection[str] = (), **known: Any
) -> dict[str, Any]:
    """Read the options off names and shapes.

    What weights do not determine is that of the family (`mmvitdense.pretrainings`), and `PlainViT`'s default
    without one: the epsilon of the norms, the activation, rotary positions, the rule that resizes positions.

    Args:
        weights: Names of `PlainViT`, as a format's `convert` returns them.
        given: Options that the user gives; they win.
        families: Families that the weights may be of, the likeliest first.
        known: Options that the format knows, over those of the family; None for those that it does not.

    Returns:
        Keyword arguments of `PlainViT`.

    Raises:
        CheckpointError: The number of heads, or the grid of a table that is no square, cannot be determined.
    """
    patch_size = patch_sides(weights)[1]
    size = given.get('pretrain_img_size', known.get('pretrain_img_size'))
    grid_is_known = size is not None
    options = {
        'embed_dims': weights['patch_embed.proj.weight'].shape[0],
        'num_layers': 1 + max(int(match[1]) for name in weights if (match := _BLOCK.match(name))),
        'patch_size': patch_size,
        **_embedding(weights, patch_size, size),
        **_block(weights),
        **_relative_positions(weights, patch_size, grid_is_known),
        **_convolutional_propagation(weights),
    }
    if (channels := image_channels(weights)) != _RGB:
        options['in_channels'] = channels
    of_family = options_of_families(families, weights)
    heads = of_family.pop('num_heads', None)
    options.update(of_family)
    options.update((name, value) for name, value in known.items() if value is not None)
    if 'norm.weight' not in weights:
        options.pop('final_norm', None)
    options.update(given)
    if 'num_heads' not in options:
        options['num_heads'] = _num_heads(weights, options['embed_dims'], heads)
    return options


def check_heads(embed_dims: int, num_heads: int) -> None:
    """Raise CheckpointError unless the number of attention heads divides the channels."""
    if not isinstance(num_heads, int) or num_heads < 1 or embed_dims % num_heads:
        raise CheckpointError(
            f'num_heads must divide the {embed_dims} channels of the ViT, got {num_heads!r}: give the number of heads '
            'that the weights were trained with'
        )


def _embedding(weights: dict[str, Tensor], patch_size: int, size: Any) -> dict[str, Any]:
    has_cls = 'cls_token' in weights
    options: dict[str, Any] = {'with_cls_token': has_cls}
    if 'patch_embed.proj.bias' not in weights:
        options['patch_bias'] = False
    if 'register_tokens' in weights:
        options['num_registers'] = weights['register_tokens'].shape[1]
    if 'patch_embed.norm.weight' in weights:
        options['patch_norm'] = True
    if 'norm_pre.weight' in weights:
        options['pre_norm'] = True
    if 'patch_embed.convs.0.conv.weight' in weights:
        options['stem'] = {'kind': 'conv'}
    if 'norm.weight' in weights:
        options['final_norm'] = 'last'
    table = weights.get('pos_embed')
    if table is None:
        return {**options, 'pos_embed': 'sine_conv' if 'sine_conv.conv.weight' in weights else None}
    rows = table.shape[1]
    if size is not None:
        slot = rows == CLASS_POSITIONS + _patches(size, patch_size)
        return options if slot == has_cls else {**options, 'pos_embed_cls_slot': slot}
    square = square_table(rows)
    if square is None:
        raise CheckpointError(
            f'the position table has {rows} rows, which is no square grid with or without a row for the class token: '
            'give pretrain_img_size as (height, width) in pixels'
        )
    side, slot = square
    if slot != has_cls:
        options['pos_embed_cls_slot'] = slot
    return {**options, 'pretrain_img_size': side * patch_size}


def _patches(size: Any, patch_size: int) -> int:
    """Patches of an image of so many pixels; what is no size is for the model to refuse."""
    try:
        height, width = (size, size) if isinstance(size, int) else size
        return num_positions((height // patch_size, width // patch_size))
    except (TypeError, ValueError, ZeroDivisionError):
        return 0


def _block(weights: dict[str, Tensor]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if 'blocks.0.mlp.w3.weight' in weights:
        options.update(ffn='swiglu', feedforward_channels=weights['blocks.0.mlp.w3.weight'].shape[1])
    else:
        options['feedforward_channels'] = weights['blocks.0.mlp.fc1.weight'].shape[0]
    if 'blocks.0.attn.qkv.bias' not in weights:
        options['qkv_bias'] = False
    if 'blocks.0.attn.proj.bias' not in weights:
        options['proj_bias'] = False
    if f'blocks.0.mlp.{"w3" if "ffn" in options else "fc2"}.bias' not in weights:
        options['ffn_bias'] = False
    if 'blocks.0.norm1.bias' not in weights:
        options['norm'] = 'rms'
    if 'blocks.0.ls1.gamma' in weights:
        options['layer_scale_init'] = 1e-5
    if 'blocks.0.mlp.norm.weight' in weights:
        options['ffn_norm'] = True
    if 'blocks.0.attn.inner_norm.weight' in weights:
        options['attn_inner_norm'] = True
    if 'blocks.0.attn.value_conv.weight' in weights:
        options['value_conv'] = weights['blocks.0.attn.value_conv.weight'].shape[-1]
    return options


def _relative_positions(weights: dict[str, Tensor], patch_size: int, grid_is_known: bool) -> dict[str, Any]:
    biases = [name for name in weights if name.endswith('relative_position_bias_table')]
    if biases:
        rows = len(weights[biases[0]])
        square = square_table(rows, num_offsets, CLASS_OFFSETS)
        if square is None and not grid_is_known:
            raise CheckpointError(
                f'{biases[0]} has {rows} rows, which is no square grid with or without rows of the class token: give '
                'pretrain_img_size as (height, width) in pixels'
            )
        kind = 'bias' if biases[0].startswith('blocks.') else 'bias_shared'
        return {'rel_pos': kind, **({} if square is None else {'pretrain_img_size': square[0] * patch_size})}
    return {'rel_pos': 'decomposed', **window_plan(weights, patch_size)} if table_sides(weights) else {}


def _convolutional_propagation(weights: dict[str, Tensor]) -> dict[str, Any]:
    names = [match.groups() for name in weights if (match := _RESIDUAL.match(name))]
    if not names:
        return {}
    kind = _KINDS[max(int(number) for _, number in names) - 1]
    options: dict[str, Any] = {'conv_blocks': tuple(sorted({int(index) for index, _ in names}))}
    return options if kind == 'bottleneck' else {**options, 'conv_block_kind': kind}


def _num_heads(weights: dict[str, Tensor], embed_dims: int, of_family: int | None) -> int:
    for name, table in weights.items():
        if name.endswith('attn.rel_pos_h'):
            return embed_dims // table.shape[1]
        if name.endswith('relative_position_bias_table'):
            return table.shape[1]
    if of_family is not None:
        return of_family
    if embed_dims not in _HEADS:
        raise CheckpointError(
            f'the number of attention heads is not in the weights, and {embed_dims} channels are no published width: '
            'give num_heads'
        )
    return _HEADS[embed_dims]
