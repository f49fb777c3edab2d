"""Checks of a config's data before anything is trained on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache

import numpy as np

from .coco_file import CocoFile, read_coco
from .detection import Reader, check_coco, check_metrics
from .heads import check_num_classes
from .ignored import check_ignored
from .label_maps import LabelMaps
from .messages import DataError, note
from .panoptic import check_panoptic_metrics, check_segments
from .paths import evaluators
from .pickles import check_pickles
from .segmentation import check_segmentation, report_absent_classes
from .source import DataSource, find_sources
from .windows import check_windows
from .zero_label import compare_splits

__all__ = ['DataError', 'check_data', 'check_windows']

# Those who change one of these methods read their data in their own way, so that nothing here need hold for them.
_COCO = {
    'load_data_list': ('mmdet.datasets.coco',),
    'filter_data': ('mmdet.datasets.coco', 'mmdet.datasets.coco_panoptic'),
    'parse_data_info': ('mmdet.datasets.coco', 'mmdet.datasets.coco_panoptic'),
}
_SEGMENTATION = {'load_data_list': ('mmseg.datasets.basesegdataset',)}


def check_data(cfg: dict, splits: Sequence[str] = ('train', 'val'), max_maps: int = 500) -> None:
    """Check that the data of a config is there, is whole, and fits the model.

    Known are data sets that load like mmdet's CocoDataset and CocoPanopticDataset or mmseg's BaseSegDataset, inside of
    any wrapper. Others, and data on remote storage, are left alone with a line in the log.

    Args:
        cfg: An mmengine Config.
        splits: Which of 'train', 'val' and 'test' to check: those that the run will use.
        max_maps: How many label maps of each data set to look into at most, evenly spread.

    Raises:
        DataError: With one sentence that says what is wrong and how to mend it.
    """
    check_windows(cfg)
    read = cache(read_coco)
    done, maps = [], []
    for split in splits:
        check_pickles(cfg, split)
        metrics = [metric for _, metric in evaluators(cfg, split)]
        for source in find_sources(cfg, split):
            # A test loader is often the validation loader under another name.
            if split == 'train' or (source.cfg, metrics) not in done:
                _check_source(source, cfg, read, max_maps, maps)
                done.append((source.cfg, metrics))
    check_ignored(cfg, maps, splits)
    if maps:
        compare_splits(cfg)
        report_absent_classes(maps)


def _check_source(source: DataSource, cfg: dict, read: Reader, max_maps: int, maps: list[LabelMaps]) -> None:
    started = time.monotonic()
    if source.is_remote():
        note(f'{source.key}: not checked, the data is on remote storage.')
    elif _loads_like(source.cls, _COCO):
        classes, file = check_coco(source, cfg, read, _is_scored(source, cfg))
        check_num_classes(source, cfg, len(classes), _number_of_things(file, classes))
        if file.panoptic and source.loads('LoadPanopticAnnotations'):
            check_segments(source, file)
        if source.split != 'train':
            check_metrics(source, cfg, classes, file, read)
            check_panoptic_metrics(source, cfg, file)
        _report(source, f'{len(file.image_ids)} images, {len(file.boxes)} objects of {len(classes)} classes', started)
    elif _loads_like(source.cls, _SEGMENTATION):
        found = check_segmentation(source, cfg, max_maps)
        maps += [found] * found.loaded
        _report(source, found.content, started)
    else:
        kind = source.cfg.get('type')
        note(f'{source.key}: not checked, there are no checks for {kind}.')


def _loads_like(cls: type | None, methods: dict[str, tuple[str, ...]]) -> bool:
    return all(getattr(getattr(cls, name, None), '__module__', None) in modules for name, modules in methods.items())


def _is_scored(source: DataSource, cfg: dict) -> bool:
    """Say whether objects are needed: to train on, or because a metric compares with them."""
    return source.split == 'train' or any(not metric.get('format_only') for _, metric in evaluators(cfg, source.split))


def _number_of_things(file: CocoFile, classes: tuple[str, ...]) -> int | None:
    if not file.panoptic:
        return None
    return int(np.sum([bool(item['isthing']) for item in file.categories if item['name'] in classes]))


def _report(source: DataSource, content: str, started: float) -> None:
    note(f'{source.key}: checked, {content} ({time.monotonic() - started:.1f} s).')
