"""Checks of a config's data before anything is trained on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from .coco_file import CocoFile, read_coco
from .detection import Reader, check_coco
from .heads import check_num_classes
from .ignored import check_ignored
from .label_maps import LabelMaps
from .lvis import check_lvis
from .masks_needed import Found, check_masks_needed
from .messages import DataError, note
from .metrics import check_shown_once, check_truth
from .outlines import check_outlines
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
_LVIS = {'load_data_list': ('mmdet.datasets.lvis',), 'parse_data_info': ('mmdet.datasets.coco',)}
_SEGMENTATION = {'load_data_list': ('mmseg.datasets.basesegdataset', 'mmvitdense.datasets.paired_segmentation')}


def check_data(
    cfg: dict,
    splits: Sequence[str] = ('train', 'val'),
    max_maps: int = 500,
    every_image: bool = False,
    bad_images: int = 0,
) -> None:
    """Check that the data of a config is there, is whole, and fits the model.

    Known are data sets that load like mmdet's CocoDataset and CocoPanopticDataset or mmseg's BaseSegDataset, inside of
    any wrapper. Others, and data on remote storage, are left alone with a line in the log.

    Args:
        cfg: An mmengine Config.
        splits: Which of 'train', 'val' and 'test' to check: those that the run will use.
        max_maps: How many label maps of each data set to look into at most, evenly spread.
        every_image: Decode every image and look into every label map, not a sample.
        bad_images: How many images that cannot be read the training may meet.

    Raises:
        DataError: With one sentence that says what is wrong and how to mend it.
    """
    try:
        _check(cfg, splits, max_maps, every_image, bad_images)
    except (DataError, OSError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise DataError(
            f'The data sets of the config cannot be checked ({type(error).__name__}: {error}): a field has a value of '
            'a kind that is not expected there; --debug shows where.'
        ) from error


def _check(cfg: dict, splits: Sequence[str], max_maps: int, every_image: bool, bad_images: int) -> None:
    check_windows(cfg)
    read = cache(read_coco)
    checked, done, reports = _Checked(), [], []
    for split in splits:
        check_pickles(cfg, split)
        metrics = [metric for _, metric in evaluators(cfg, split)]
        for source in find_sources(cfg, split):
            # A test loader is often the validation loader under another name, but one loader that shows data twice is
            # no such thing.
            if split == 'train' or (source.cfg, metrics) not in [entry[:2] for entry in done if entry[2] != split]:
                started = time.monotonic()
                content = _check_source(source, cfg, read, max_maps, checked, every=every_image, allowed=bad_images)
                reports.append((source, content, time.monotonic() - started))
                done.append((source.cfg, metrics, split))
    _check_together(cfg, splits, checked, read)
    for source, content, seconds in reports:
        note(
            f'{source.key}: {content}' if content.startswith('not ') else f'{source.key}: {content} ({seconds:.1f} s).'
        )


@dataclass
class _Checked:
    """Data sets that are in order by themselves: those in COCO format, and those of images and label maps."""

    coco: list[Found] = field(default_factory=list)
    maps: list[LabelMaps] = field(default_factory=list)


def _check_source(source: DataSource, cfg: dict, read: Reader, max_maps: int, checked: _Checked, **images: int) -> str:
    """Check a data set by itself, add it to what was checked, and return what it holds."""
    chosen = source.option('indices')
    if chosen == 0 or (isinstance(chosen, Sequence) and not len(chosen)):
        raise DataError(
            f'{source.key}.indices is {chosen!r}, which shows no image: leave it out, or give how many to show.'
        )
    if source.is_remote():
        return 'not checked, the data is on remote storage.'
    if _loads_like(source.cls, _COCO):
        classes, file = check_coco(source, cfg, read, _is_scored(source, cfg), **images)
        check_num_classes(source, cfg, len(classes), _number_of_things(file, classes))
        if file.panoptic and source.loads('LoadPanopticAnnotations'):
            check_segments(source, file)
        checked.coco.append((source, classes, file))
        return f'checked, {len(file.image_ids)} images, {len(file.boxes)} objects of {len(classes)} classes'
    if _loads_like(source.cls, _LVIS):
        return f'masks checked, {check_lvis(source, cfg, read)}'
    if _loads_like(source.cls, _SEGMENTATION):
        maps = check_segmentation(source, cfg, max_maps, **images)
        if maps.loaded:
            checked.maps.append(maps)
        return f'checked, {maps.content}'
    return f'not checked, there are no checks for {source.cfg.get("type")}.'


def _check_together(cfg: dict, splits: Sequence[str], checked: _Checked, read: Reader) -> None:
    """Check what data sets, model and metrics must agree in."""
    check_ignored(cfg, checked.maps, splits)
    if checked.maps:
        compare_splits(cfg)
        report_absent_classes(checked.maps)
    later = []
    if 'train' in splits and 'val' in splits:
        later = [source for source in find_sources(cfg, 'test') if 'test' not in splits and not source.is_remote()]
    check_masks_needed(cfg, checked.coco, later, read)
    for source, classes, file in checked.coco:
        if _is_scored(source, cfg):
            check_outlines(source, file, classes)
    for split in sorted(set(splits) - {'train'}):
        check_shown_once(cfg, split, [(source, file) for source, _, file in checked.coco if source.split == split])
    for source, classes, file in checked.coco:
        if source.split != 'train':
            check_truth(source, cfg, classes, file, read)
            check_panoptic_metrics(source, cfg, file)


def _loads_like(cls: type | None, methods: dict[str, tuple[str, ...]]) -> bool:
    return all(getattr(getattr(cls, name, None), '__module__', None) in modules for name, modules in methods.items())


def _is_scored(source: DataSource, cfg: dict) -> bool:
    """Say whether objects are needed: to train on, or because a metric compares with them."""
    return source.split == 'train' or any(not metric.get('format_only') for _, metric in evaluators(cfg, source.split))


def _number_of_things(file: CocoFile, classes: tuple[str, ...]) -> int | None:
    if not file.panoptic:
        return None
    return int(np.sum([bool(item['isthing']) for item in file.categories if item['name'] in classes]))
