"""The ViTs inside official ViT-CoMer and ViT-Adapter checkpoints.

There are four: timm's (both models), BEiT in windows without class token (detection), BEiT with class token
(segmentation), and Uni-Perceiver's encoder (ViT-Adapter).
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.layers.positions.table_rows import CLASS_OFFSETS, num_offsets, square_side

from .adapter_parts import VIT, Adapter, find_adapter
from .implied_options import implied_options
from .openmmlab_heads import convert_heads
from .renaming import rename
from .timm_names import convert_body

_OF_THE_TRUNK = re.compile(r'^(blocks|layers|patch_embed|visual_embed)\.|^(pos_embed|cls_token)$')
_ANCHORS = ('blocks.0.attn.qkv.weight', 'layers.0.self_attn.in_proj.weight')
_TABLE = re.compile(r'^blocks\.(\d+)\.attn\.relative_position_bias_table$')
_UNI_PERCEIVER = (
    (r'^layers\.(\d+)\.self_attn\.in_proj\.', r'blocks.\1.attn.qkv.'),
    (r'^layers\.(\d+)\.self_attn\.out_proj\.', r'blocks.\1.attn.proj.'),
    (r'^layers\.(\d+)\.linear([12])\.', r'blocks.\1.mlp.fc\2.'),
    (r'^layers\.(\d+)\.', r'blocks.\1.'),
    (r'^visual_embed\.embeddings_norm\.', 'norm_pre.'),
    (r'^visual_embed\.patch_embed\.proj\.', 'patch_embed.proj.'),
)
_SPATIAL = 'visual_embed.patch_embed.spatial_pos_embed.weight'
_TEMPORAL = 'visual_embed.patch_embed.temporal_pos_embed.weight'
_BIAS_OF_QUERIES = 'blocks.0.attn.q_bias'


def find_official(state_dict: dict[str, Tensor]) -> Adapter | None:
    """The adapter of a checkpoint, if its ViT has an official layout."""
    adapter = find_adapter(state_dict)
    return adapter if adapter is not None and any(anchor in adapter.backbone for anchor in _ANCHORS) else None


def convert_adapter(adapter: Adapter, interactions: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join what was converted: the ViT under 'vit.', what surrounds it, and under 'backbone.' the heads beside.

    Args:
        adapter: The official checkpoint, taken apart.
        interactions: What is not of the ViT, in this project's names.
    """
    trunk = {name: x for name, x in adapter.backbone.items() if _OF_THE_TRUNK.match(name)}
    backbone = {**{f'{VIT}{name}': x for name, x in _convert_trunk(trunk).items()}, **interactions}
    if not adapter.prefix.endswith('backbone.'):
        return backbone
    return {**{f'backbone.{name}': x for name, x in backbone.items()}, **convert_heads(adapter.others)}


def surroundings(adapter: Adapter) -> dict[str, Tensor]:
    """What is not of the ViT, in official names."""
    return {name: x for name, x in adapter.backbone.items() if not _OF_THE_TRUNK.match(name)}


def _convert_trunk(trunk: dict[str, Tensor]) -> dict[str, Tensor]:
    if _SPATIAL in trunk:
        trunk = dict(trunk)
        # An image is the first frame of a video.
        trunk['pos_embed'] = (trunk.pop(_SPATIAL) + trunk.pop(_TEMPORAL)[:1])[None]
        trunk = rename(trunk, _UNI_PERCEIVER)
    return convert_body(trunk)


def trunk_options(adapter: Adapter, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the `PlainViT` inside; `given` ones win.

    Raises:
        CheckpointError: The number of heads, or the grid of BEiT's tables, cannot be determined.
    """
    weights = _convert_trunk({name: x for name, x in adapter.backbone.items() if _OF_THE_TRUNK.match(name)})
    if any(_TABLE.match(name) for name in weights):
        known = {
            'qkv_bias': 'qv' if _BIAS_OF_QUERIES in adapter.backbone else False,
            'layer_scale_init': 1e-6,
            **_grids_of_tables(weights, given),
        }
    elif _SPATIAL in adapter.backbone:
        known = {'norm_eps': 1e-5, 'layer_scale_init': 0.0}
    else:
        known = {'window_pad': 'qkv', 'layer_scale_init': 1.0}
    if 'blocks.0.ls1.gamma' not in weights:
        del known['layer_scale_init']
    return implied_options(weights, given, **known)


def _grids_of_tables(weights: dict[str, Tensor], given: dict[str, Any]) -> dict[str, Any]:
    """BEiT without class token has a table for the window of each block, with class token for the grid of the image."""
    rows = {int(match[1]): len(x) for name, x in weights.items() if (match := _TABLE.match(name))}
    extra = CLASS_OFFSETS if 'cls_token' in weights else 0
    sides = {index: square_side(count - extra, num_offsets) for index, count in rows.items()}
    odd = [rows[index] for index, side in sides.items() if side is None]
    if odd and 'pretrain_img_size' not in given:
        raise CheckpointError(
            f'a table of relative positions has {odd[0]} rows, {extra} of them of the class token, which is no square '
            'grid: give pretrain_img_size as (height, width) in pixels'
        )
    if extra or odd:  # tables for the grid of the image
        return {}
    known = {'window_size': [sides[index] for index in sorted(sides)], 'rel_pos_at': 'window'}
    side = square_side(weights['pos_embed'].shape[1]) if 'pos_embed' in weights else None
    if side is not None:
        known['pretrain_img_size'] = side * weights['patch_embed.proj.weight'].shape[-1]
    return known
