"""MIMDet's "Benchmarking" checkpoints: a ViT with windows and FPN (arXiv 2111.11429), alone or in Mask R-CNN."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.layers.positions.table_rows import num_offsets, square_side

from .contract import Format
from .parts.detectron2_fpn import rename_fpn
from .parts.detectron2_heads import rename_heads
from .parts.implied_options import implied_options
from .parts.renaming import QKV, rename, stack

_BODY = 'backbone.bottom_up.'
_TABLE = '{}_rel_pos_bias.relative_position_bias_table'
_INDEX = 'global_rel_pos_bias.relative_position_index'
_RULES = (
    (r'^backbone\.ms_adaptor\.', 'neck.0.resample.'),
    (r'^backbone\.global_rel_pos_bias\.', 'backbone.rel_pos_bias.'),
    (r'\.gamma_([12])$', r'.ls\1.gamma'),
    (r'\.attn\.([qv])_bias$', r'.attn.\1.bias'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are the two tables of relative positions and the layers that change the scale."""
    return any(f'{prefix}{_TABLE.format("windowed")}' in state_dict for prefix in ('', _BODY)) and any(
        'ms_adaptor.' in name for name in state_dict
    )


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to 'backbone.' (PlainViT), 'neck.0.' (ViTFPN), 'neck.1.' (mmdet's FPN) and mmdet's Mask R-CNN.

    Names that are none of these are kept as they are. Indices of the tables of relative positions and settings that are
    tensors (means of pixels, anchors) are dropped.
    """
    body = _body_of(state_dict)
    weights = {
        f'backbone.{name}': value for name, value in body.items() if not name.endswith('relative_position_index')
    }
    windowed = weights.pop(f'backbone.{_TABLE.format("windowed")}')
    weights[f'backbone.window_rel_pos_bias.{_window_side(windowed)}.relative_position_bias_table'] = windowed
    weights = stack(rename(weights, _RULES), QKV, 'attn.qkv')
    if len(body) < len(state_dict):
        others = {name: value for name, value in state_dict.items() if not name.startswith(_BODY)}
        weights.update(rename_heads(rename_fpn(others, 'neck.1.'), norm='bn'))
    return weights


def options(state_dict: dict[str, Tensor], **given: Any) -> dict[str, Any]:
    """Options of `PlainViT`; `given` ones win."""
    body = _body_of(state_dict)
    weights = {name.removeprefix('backbone.'): value for name, value in convert(state_dict).items()}
    patch_size = body['patch_embed.proj.weight'].shape[-1]
    height, width = (side * patch_size for side in _grid(body))
    size = height if height == width else (height, width)
    num_layers = 1 + max(int(name.split('.')[1]) for name in body if name.startswith('blocks.'))
    return implied_options(
        weights,
        given,
        img_size=size,
        pretrain_img_size=size,
        pos_embed_cls_slot=False,
        window_size=_window_side(body[_TABLE.format('windowed')]),
        rel_pos='bias_shared',
        rel_pos_at='window',
        out_indices=tuple(num_layers * quarter // 4 - 1 for quarter in (1, 2, 3, 4)),
        qkv_bias='qv' if 'blocks.0.attn.q_bias' in body else None,
    )


def pos_grid(state_dict: dict[str, Tensor]) -> tuple[int, int]:
    """Rows and columns of the table of positions."""
    return _grid(_body_of(state_dict))


def _body_of(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The ViT and its adaptors, without the prefix of a whole detector."""
    if f'{_BODY}pos_embed' not in state_dict:
        return dict(state_dict)
    return {name.removeprefix(_BODY): value for name, value in state_dict.items() if name.startswith(_BODY)}


def _window_side(table: Tensor) -> int:
    side = square_side(len(table), num_offsets)
    if side is None:
        raise CheckpointError(
            f'{_TABLE.format("windowed")} has {len(table)} rows, which are the offsets of no square window: it is '
            'none of the official code'
        )
    return side


def _grid(body: dict[str, Tensor]) -> tuple[int, int]:
    """Height and width of the map in patches."""
    patches, rows = body['pos_embed'].shape[1], len(body[_TABLE.format('global')])
    side = square_side(patches)
    if side is not None and num_offsets((side, side)) == rows:
        return side, side
    index = body.get(_INDEX)
    if index is None or index.is_meta:
        raise CheckpointError(
            f'the map of {patches} patches is no square, and without {_INDEX} its sides cannot be determined: give '
            'pretrain_img_size'
        )
    # Offsets to the first patch count the columns of the first row, and jump where the second begins.
    steps = index[:, 0].diff() != 1
    width = int(steps.int().argmax()) + 1 if steps.any() else patches
    return patches // width, width


FORMAT = Format(
    name='MIMDet Benchmarking ViTDet',
    about=__doc__,
    matches=matches,
    convert=convert,
    own_options=options,
    pos_grid=pos_grid,
)
