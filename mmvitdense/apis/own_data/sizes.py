"""Sizes of images in training and testing, chosen from the data."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from mmvitdense.datasets.checks.source import find_sources
from mmvitdense.datasets.doctor import Layout

_STEP, _LEAST = 128, 256
_KEYS = ('scale', 'scales', 'crop_size', 'size', 'stride', 'pad_size_divisor', 'img_size')
_MUCH_LARGER = 2.0


def fitted_sizes(cfg: Any, layout: Layout) -> tuple[dict[str, Any], list[str]]:
    """Options that make a recipe of one size, such as 1024 x 1024, work at the size of smaller images.

    Enlarging images of 300 pixels to 1024 takes ten times the time and shows nothing more. Recipes of several sizes and
    larger images stay as they are; of the latter a person is to know.

    Args:
        cfg: The config.
        layout: The data.

    Returns:
        {option: value}, and a sentence for each thing that a person is to know.
    """
    side = _side(cfg, layout.task)
    longest = layout.sides[0 if layout.task == 'semantic' else 1]
    if not side or not longest:
        return {}, []
    if longest > _MUCH_LARGER * side and layout.small > 0.5:
        return {}, [
            f'Images of {longest} pixels are made {side} in this recipe, and {layout.small:.0%} of the objects are '
            'below 32 x 32 pixels before that: cut the images into tiles, or take a recipe of more pixels.'
        ]
    chosen = max(_LEAST, -(-longest // _STEP) * _STEP)
    if chosen > side / 2:
        return {}, []
    options: dict[str, Any] = {}
    for key, value in [*_sizes(cfg.model, 'model'), *_sizes_of_pipelines(cfg)]:
        scaled = _scaled(value, side, chosen)
        if scaled != value:
            options[key] = scaled
    note = f'Images are {longest} pixels at the median, so the recipe works at {chosen} pixels and not at {side}.'
    return options, [note] if options else []


def _side(cfg: Any, task: str) -> int | None:
    """The one side of a recipe that pads or crops to squares; None for others."""
    preprocessor = cfg.model.get('data_preprocessor') or {}
    if task == 'semantic':
        size = preprocessor.get('size')
        return size[0] if size and size[0] == size[1] else None
    divisor = preprocessor.get('pad_size_divisor', 1)
    return divisor if divisor >= _LEAST else None


def _sizes_of_pipelines(cfg: Any) -> Iterator[tuple[str, Any]]:
    for split in ('train', 'val', 'test'):
        for source in find_sources(cfg, split):
            for key, transform in source.keyed_transforms():
                yield from ((f'{key}.{name}', transform[name]) for name in _KEYS if name in transform)


def _sizes(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Options of a model that are sizes of images: not those of the pre-training, or of windows."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name in _KEYS and name != 'scales':
                yield f'{key}.{name}', part
            elif name not in ('anchor_generator', 'init_cfg'):
                yield from _sizes(part, f'{key}.{name}')


def _scaled(value: Any, side: int, chosen: int) -> Any:
    """Sides of the recipe in the proportion of the new one; what is no side of it stays."""
    if isinstance(value, bool) or value is None:
        return copy.deepcopy(value)
    if isinstance(value, int):
        return round(value * chosen / side) if value >= side / 2 else value
    if isinstance(value, (list, tuple)) and all(isinstance(part, (int, list, tuple)) for part in value):
        return type(value)(_scaled(part, side, chosen) for part in value)
    return value
