"""Heads for boxes alone on the trunk of any Mask R-CNN of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmvitdense.datasets.checks.source import type_name
from mmvitdense.project_files import project_folder

from ..config import load_config
from ..errors import InputError
from .code import Code

OVERLAYS = {'retinanet': 'boxes_retinanet', 'atss': 'boxes_atss', 'dino': 'boxes_dino'}
"""{head: file of `_base_/models` that has it}."""
DENSE_HEADS = tuple(OVERLAYS)
CASCADE = 'cascade-rcnn'
"""Keeps all of a Mask R-CNN but for the type of its RoI head."""
_DENSE = ('retinanet', 'atss')
_SIZE_AWARE = 'mmvitdense.SizeAware'
_LEVELS = {'retinanet': 5, 'atss': 5, 'dino': 4}


def overlay_of(head: str) -> str:
    """What `_base_` calls the file of a head."""
    return f'mmvitdense::_base_/models/{OVERLAYS[head]}.py'


def model_with_head(cfg: Any, head: str, classes: int) -> dict[Any, Any]:
    """The `model` of a config that has the trunk of `cfg`, a Mask R-CNN, and other heads.

    Args:
        cfg: The config of a Mask R-CNN.
        head: One of `OVERLAYS`.
        classes: Number of classes.
    """
    name = OVERLAYS[head].removeprefix('boxes_')
    if head == 'dino' and not _is_pyramid(cfg.model.get('neck')):
        name = 'dino_5scale'
    overlay = load_config(str(Path(project_folder('configs'), 'configs/_base_/models', f'{OVERLAYS[head]}.py')))[name]
    kind = overlay['type'].rpartition('.')[2]
    aware = {'type': f'{_SIZE_AWARE}{kind}'} if cfg.model['type'].startswith(_SIZE_AWARE) else {}
    return {
        Code(f'_base_.{name}'): None,
        '_delete_': True,
        **aware,
        'data_preprocessor': Code('_base_.model.data_preprocessor'),
        'backbone': Code('_base_.model.backbone'),
        'neck': _neck(cfg.model.get('neck'), head),
        'bbox_head': {Code(f'_base_.{name}.bbox_head'): None, 'num_classes': classes},
    }


def needs_find_unused(cfg: Any) -> bool:
    """Whether the neck leaves out a map, and with it parameters that get no gradient."""
    return not _is_pyramid(cfg.model.get('neck'))


def _is_pyramid(neck: Any) -> bool:
    return type_name(neck[-1] if isinstance(neck, (list, tuple)) else neck or {}) == 'SimpleFeaturePyramid'


def _neck(neck: Any, head: str) -> Any:
    """The neck of a Mask R-CNN, strides 4 to 64, without its level of stride 4 and with levels of higher strides."""
    if isinstance(neck, (list, tuple)):
        return [*(_plain(part) for part in neck[:-1]), _neck(neck[-1], head)]
    neck, levels = _plain(neck or {}), _LEVELS[head]
    if type_name(neck) == 'SimpleFeaturePyramid':
        factors = tuple(neck.get('scale_factors', (4.0, 2.0, 1.0, 0.5)))[1:]
        return {**neck, 'scale_factors': factors, 'num_outs': levels, 'extra_convs': True}
    if type_name(neck) != 'FPN':
        raise InputError(f'{head} is not known on the neck {neck.get("type")}: take a Faster R-CNN.')
    if head in _DENSE:
        return {**neck, 'start_level': 1, 'add_extra_convs': 'on_output', 'num_outs': levels}
    # The levels of a DINO come from the maps themselves.
    return {
        'type': 'ChannelMapper',
        'in_channels': list(neck['in_channels']),
        'kernel_size': 1,
        'out_channels': 256,
        'act_cfg': None,
        'norm_cfg': {'type': 'GN', 'num_groups': 32},
        'num_outs': 5,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if key != '_scope_'}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(part) for part in value)
    return value
