"""What `config.json` says of a model beside its config: task, classes, preprocessing, versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import mmvitdense
from mmvitdense.apis.environment.distributions import LINES, installed
from mmvitdense.apis.image_loading import test_dataset

_OF_A_RUN = ('work_dir', 'load_from', 'resume', 'launcher', 'log_level', 'randomness', 'visualizer', 'vis_backends')
"""Fields that belong to one run on one machine, and to no model."""


def portable(config: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    """A config for others: without the fields of one run, with the classes of the weights in its test data."""
    kept = {key: value for key, value in config.items() if key not in _OF_A_RUN}
    if meta.get('classes'):
        for split in ('test', 'val'):
            if loader := kept.get(f'{split}_dataloader'):
                dataset = test_dataset({'test_dataloader': loader})
                dataset['metainfo'] = {**(dataset.get('metainfo') or {}), **meta}
    return kept


def task_of(config: dict[str, Any]) -> str:
    """'object detection', 'instance segmentation', 'semantic segmentation' or 'panoptic segmentation'."""
    model = config['model']
    if config.get('default_scope') == 'mmseg':
        return 'semantic segmentation'
    if model.get('panoptic_head') is not None and (model.get('test_cfg') or {}).get('panoptic_on', True):
        return 'panoptic segmentation'
    roi_head = model.get('roi_head') or {}
    masks = any(part.get(name) is not None for part in (model, roi_head) for name in ('mask_head', 'panoptic_head'))
    return 'instance segmentation' if masks else 'object detection'


def preprocessing_of(config: dict[str, Any]) -> dict[str, Any]:
    """What happens to an image: statistics of the pixels, and the steps of the test pipeline."""
    preprocessor = config['model'].get('data_preprocessor') or config.get('data_preprocessor') or {}
    names = ('mean', 'std', 'bgr_to_rgb', 'rgb_to_bgr', 'pad_size_divisor', 'size', 'test_cfg')
    steps = test_dataset(config).get('pipeline') or config.get('test_pipeline') or []
    return {
        'values': '8 bits, read in BGR order',
        **{name: preprocessor[name] for name in names if preprocessor.get(name) is not None},
        'pipeline': [step for step in steps if 'Annotations' not in str(step.get('type'))],
    }


def library_versions() -> dict[str, str]:
    """Versions of what the model was made with."""
    import torch

    names = tuple(name for maintained, originals in LINES.values() for name in (maintained, *originals))
    return {'mmvitdense': mmvitdense.__version__, 'torch': torch.__version__, **installed(names)}


def paths_of_this_machine(value: Any, place: str = '') -> Iterator[str]:
    """Places of a config that name absolute paths, which others do not have and may not be meant to see."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths_of_this_machine(item, f'{place}.{key}' if place else str(key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from paths_of_this_machine(item, f'{place}.{number}')
    elif isinstance(value, str) and (PurePath(value).is_absolute() or re.match(r'~|[A-Za-z]:\\', value)):
        yield f'{place}={value}'
