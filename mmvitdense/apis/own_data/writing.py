"""A config of a dozen lines for data of one's own, which inherits the rest from a shipped one."""

from __future__ import annotations

import copy
import os
import os.path as osp
import re
from pathlib import Path
from typing import Any

from mmvitdense.datasets.checks import check_data
from mmvitdense.datasets.checks.heads import class_options
from mmvitdense.datasets.checks.masks_needed import box_options
from mmvitdense.datasets.checks.source import find_sources, type_name
from mmvitdense.datasets.doctor import Layout
from mmvitdense.visualization.drawing import class_colours
from mmvitdense.whole_files import written_whole

from ..adapt.small_data import short_recipe
from ..config import load_config
from ..errors import InputError
from ..files import check_output_file
from .code import Code, assignment, nested
from .heads import DENSE_HEADS, model_with_head, needs_find_unused, overlay_of
from .recipes import Recipe, find_recipe
from .sizes import fitted_sizes

_WITHOUT = """[
    dict(step, **{{name: False for name in ('with_mask', 'by_mask') if name in step}})
    for step in _base_.{key}
]"""
"""The pipeline of a recipe that loads no masks."""
_SPLITS = ('train', 'val', 'test')


def write_config(layout: Layout, model: str, path: str) -> list[str]:
    """Write a config for some data, and check it as a training does before it starts.

    Args:
        layout: The data, as mmdet and mmseg read it.
        model: A model such as `vitdet-b-dinov3`, or a whole name of a config.
        path: The file, which ends with .py.

    Returns:
        What a person is to know of it, a sentence each.

    Raises:
        InputError: There is no such model, or the file cannot be written.
        DataError: The config and the data do not fit, which is a fault of one of them.
    """
    check_config_file(path)
    recipe = find_recipe(model, layout.task)
    text, notes = config_text(layout, recipe)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding='utf-8')
        check_data(load_config(str(temporary)))
    return [*([recipe.note] if recipe.note else []), *notes]


def check_config_file(path: str) -> None:
    """Raise where no config could be written, before the work that it is for."""
    if Path(path).suffix != '.py':
        raise InputError(f'--write-config {path}: expected a file name that ends with .py.')
    check_output_file(path, '--write-config')


def config_text(layout: Layout, recipe: Recipe) -> tuple[str, list[str]]:
    """The text of the config, and what a person is to know of it."""
    cfg = load_config(recipe.config)
    changes = _boxes_alone(cfg) if recipe.boxes_alone else {}
    cfg.merge_from_dict(changes)
    classes = class_options(cfg, len(layout.classes), layout.things)
    if recipe.head in DENSE_HEADS:
        # The model is another one as a whole.
        changes = {key: value for key, value in changes.items() if not key.startswith('model.')}
        classes = {'model': model_with_head(load_config(recipe.config), recipe.head, len(layout.classes))}
        classes |= {'find_unused_parameters': True} if needs_find_unused(cfg) else {}
    elif recipe.head:
        changes['model.roi_head.type'] = 'mmvitdense.Detectron2CascadeRoIHead'
        changes['model.roi_head.bbox_head.reg_class_agnostic'] = True
    sizes, notes = fitted_sizes(cfg, layout)
    schedule, note = short_recipe(cfg, layout.images['train'])
    data = _data_options(cfg, layout)
    options = {**changes, **classes, **sizes, **schedule}
    whole = nested(_with_whole_lists(cfg, options))
    for key, value in data.items():
        whole[key] = _merged(whole.get(key), value)
    first = ('model', *(f'{split}_pipeline' for split in _SPLITS))
    whole = {name: whole[name] for name in (*(name for name in first if name in whole), *whole)}
    if whole.get('test_dataloader') == 'val_dataloader':
        whole.pop('test_pipeline', None)
    lines = [
        f'# {_described(layout)}',
        assignment('_base_', _bases(recipe)),
        '',
        assignment('data_root', osp.join(layout.root, '').replace(os.sep, '/')),
        assignment('metainfo', _metainfo(cfg, layout)),
        *(assignment(name, value) for name, value in whole.items()),
    ]
    return '\n'.join(lines) + '\n', [*notes, *([note] if note else [])]


def _bases(recipe: Recipe) -> str | list[str]:
    return [recipe.config, overlay_of(recipe.head)] if recipe.head in DENSE_HEADS else recipe.config


def _described(layout: Layout) -> str:
    counts = ', '.join(f'{number} images for {name}' for name, number in layout.images.items())
    what = {'detection': 'boxes', 'instance': 'instances', 'semantic': 'label maps', 'panoptic': 'panoptic segments'}
    ignored = '; 255 of the maps is ignored, 0 is the first class' if layout.task == 'semantic' else ''
    return f'Written by `mmvitdense data`: {what[layout.task]} of {len(layout.classes)} classes, {counts}{ignored}.'


def _has_palette(cfg: Any) -> bool:
    """Whether the recipe has colours for its own classes, which would be taken for those of others."""
    return any(
        'palette' in (source.option('metainfo') or {}) for split in _SPLITS for source in find_sources(cfg, split)
    )


def _metainfo(cfg: Any, layout: Layout) -> dict[str, Any]:
    classes = tuple(layout.classes)
    palette = {'palette': class_colours(classes)} if _has_palette(cfg) else {}
    if layout.task != 'panoptic':
        return {'classes': classes, **palette}
    return {
        'classes': classes,
        **palette,
        'thing_classes': classes[: layout.things],
        'stuff_classes': classes[layout.things :],
    }


def _data_options(cfg: Any, layout: Layout) -> dict[str, Any]:
    """Data sets and metrics; what is not tested apart is tested as it is validated."""
    options: dict[str, Any] = {}
    for split in _SPLITS:
        place = layout.splits.get(split, layout.splits['val'])
        loader = cfg.get(f'{split}_dataloader') or {}
        options[f'{split}_dataloader'] = {'dataset': _dataset(loader.get('dataset') or {}, layout, place)}
        if split == 'train' or layout.task == 'semantic':
            continue
        options[f'{split}_evaluator'] = _evaluator(layout, place)
    if 'test' not in layout.splits:
        options['test_dataloader'] = Code('val_dataloader')
        if layout.task != 'semantic':
            options['test_evaluator'] = Code('val_evaluator')
    return options


def _dataset(dataset: dict, layout: Layout, place: dict[str, str]) -> dict[str, Any]:
    if 'dataset' in dataset or 'datasets' in dataset:
        raise InputError(f'The data of this recipe is wrapped in {dataset.get("type")}: take another model.')
    common = {'data_root': Code('data_root'), 'metainfo': Code('metainfo')}
    if layout.task == 'semantic':
        kind = {'type': 'BaseSegDataset'} if type_name(dataset) != 'BaseSegDataset' else {}
        prefix = {'img_path': place['img'], 'seg_map_path': place['seg']}
        suffixes = {'img_suffix': layout.suffix, 'seg_map_suffix': '.png', 'reduce_zero_label': False}
        return {**kind, **common, **suffixes, 'data_prefix': prefix}
    prefix = {'img': place['img']} | ({'seg': place['seg']} if layout.task == 'panoptic' else {})
    usual = 'CocoPanopticDataset' if layout.task == 'panoptic' else 'CocoDataset'
    kind = {'type': usual} if type_name(dataset) != usual else {}
    return {**kind, **common, 'ann_file': place['ann_file'], 'data_prefix': prefix}


def _evaluator(layout: Layout, place: dict[str, str]) -> Any:
    file = Code(f"data_root + '{place['ann_file']}'")
    if layout.task == 'panoptic':
        return [{'type': 'CocoPanopticMetric', 'ann_file': file, 'seg_prefix': Code(f"data_root + '{place['seg']}'")}]
    return {'ann_file': file}


def _boxes_alone(cfg: Any) -> dict[str, Any]:
    options = box_options(cfg)
    if type_name(cfg.model) == 'MaskRCNN':
        options = {'model.type': 'FasterRCNN', **options}
    return {**options, 'model.roi_head.mask_roi_extractor': None}


def _with_whole_lists(cfg: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Options with no number among their keys: a config cannot change a part of a list, so such lists are whole."""
    changed = copy.deepcopy(cfg)
    changed.merge_from_dict(copy.deepcopy(options))
    whole: dict[str, Any] = {}
    for key, value in options.items():
        parts = key.split('.')
        number = next((place for place, part in enumerate(parts) if part.isdigit()), None)
        if number is None:
            whole[key] = value
            continue
        key = '.'.join(parts[:number])
        if _switched_off(key, options):
            variable = f'{parts[0].partition("_")[0]}_pipeline'
            whole[variable], whole[key] = Code(_WITHOUT.format(key=key)), Code(variable)
            continue
        whole[key] = _plain(_at(changed, parts[:number]))
    return whole


def _switched_off(key: str, options: dict[str, Any]) -> bool:
    """Whether all that changes in a list is that its transforms load and look at no masks."""
    inside = {name[len(key) + 1 :]: value for name, value in options.items() if name.startswith(f'{key}.')}
    return all(re.fullmatch(r'\d+\.(with_mask|by_mask)', name) and value is False for name, value in inside.items())


def _at(cfg: Any, parts: list[str]) -> Any:
    for part in parts:
        cfg = cfg[part]
    return cfg


def _plain(value: Any) -> Any:
    """Without mmengine's own kinds of dict, and what it notes in them of the library that a part came from."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if key != '_scope_'}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(part) for part in value)
    return value


def _merged(one: Any, other: Any) -> Any:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    return {**one, **{key: _merged(one.get(key), value) for key, value in other.items()}}
