"""Do the heads of a model predict as many classes as the data has?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmvitdense.registry import MODELS

from .messages import DataError
from .source import DataSource, constructor_default, registered_class, type_name

# Heads whose num_classes counts the classes of the data. Others count something else: an RPN has one class, the
# semantic head of HTC has those of COCO-stuff, a keypoint head has keypoints.
_CLASS_HEADS = ('bbox_head', 'mask_head', 'mask_iou_head', 'point_head', 'query_head', 'decode_head', 'auxiliary_head')
_THING_HEADS = ('panoptic_head', 'panoptic_fusion_head', 'semantic_head')
# Predicts edges, not classes.
_EXCEPTIONS = ('STDCHead',)


def check_num_classes(source: DataSource, cfg: dict, classes: int, things: int | None = None) -> None:
    """Raise if a head of the model predicts another number of classes than the data has.

    Args:
        source: The data set.
        cfg: The whole config.
        classes: Number of classes of the data.
        things: For panoptic data, how many of the classes are things.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    wrong = {}
    for key, head in _heads(cfg.get('model') or {}, 'model'):
        for name, expected in _expected(key, head, classes, things):
            found = head[name] if name in head else _default(head, name, scope)
            if isinstance(found, int) and found != expected:
                wrong[f'{key}.{name}'] = (found, expected)
    if wrong:
        found = ', '.join(f'{key} is {value}' for key, (value, _) in wrong.items())
        options = ' '.join(f'{key}={expected}' for key, (_, expected) in wrong.items())
        data = f'{classes} classes' if things is None else f'{things} thing and {classes - things} stuff classes'
        raise DataError(f'The data of {source.key} has {data}, but {found}: set --cfg-options {options}')


def _expected(key: str, head: dict, classes: int, things: int | None) -> Iterator[tuple[str, int]]:
    """Yield (argument, value it should have) for a head."""
    name = next(part for part in reversed(key.split('.')) if not part.isdigit())
    if name in _CLASS_HEADS and type_name(head) not in _EXCEPTIONS:
        yield 'num_classes', classes if things is None else things
    elif name in _THING_HEADS and ('num_things_classes' in head or name != 'semantic_head'):
        yield 'num_things_classes', classes if things is None else things
        if things is not None:
            yield 'num_stuff_classes', classes - things


def _heads(value: Any, key: str) -> Iterator[tuple[str, dict]]:
    """Yield (key, settings) of every head below ``value``; heads that come as a list, one by one."""
    if isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _heads(part, f'{key}.{index}')
    elif isinstance(value, dict):
        name = next(part for part in reversed(key.split('.')) if not part.isdigit())
        if name in _CLASS_HEADS + _THING_HEADS and 'type' in value:
            yield key, value
        for name, part in value.items():
            yield from _heads(part, f'{key}.{name}')


def _default(head: dict, name: str, scope: str) -> int | None:
    return constructor_default(registered_class(MODELS, head, scope), name)
