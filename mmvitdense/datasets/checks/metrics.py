"""Is what a metric compares with about the images that the data set shows?"""

from __future__ import annotations

import os.path as osp
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np

from .coco_file import CocoFile
from .coco_masks import NO_MASK, SCORED_FAULTS
from .messages import DataError, listed, warn
from .outlines import name_faults
from .panoptic import check_things
from .paths import evaluators
from .source import DataSource, find_sources, type_name


def metrics_of(source: DataSource, cfg: dict) -> Iterator[tuple[str, dict]]:
    """Yield (key, settings) of each metric that scores a data set.

    That is each of the split, or with mmdet's MultiDatasetsEvaluator the one in the place of the data set.
    """
    metrics = list(evaluators(cfg, source.split))
    if _scores_apart(cfg, source.split):
        keys = [other.key for other in find_sources(cfg, source.split)]
        metrics = metrics[keys.index(source.key) :][:1]
    yield from metrics


def wanted_kinds(metric: dict) -> list[str]:
    """Return what a COCO metric scores: of 'bbox', 'segm', 'proposal', 'proposal_fast'."""
    kinds = metric.get('metric', 'bbox')
    return [kinds] if isinstance(kinds, str) else list(kinds)


def check_shown_once(cfg: dict, split: str, found: Sequence[tuple[DataSource, CocoFile]]) -> None:
    """Raise if a metric would take images of several data sets for one.

    Args:
        cfg: The whole config.
        split: 'val' or 'test'.
        found: The data sets of the split, with what their annotation files hold.
    """
    if _scores_apart(cfg, split) or not any(type_name(metric) == 'CocoMetric' for _, metric in evaluators(cfg, split)):
        return
    places: dict = {}
    seen: set = set()
    for source, file in found:
        for index in shown(source, file):
            if (source.key, file.image_ids[index]) in seen:
                raise DataError(
                    f'{source.key}.indices shows the image with the id {file.image_ids[index]!r} twice, and '
                    f'{split}_evaluator scores each image once: name each index once.'
                )
            seen.add((source.key, file.image_ids[index]))
            other = places.setdefault(file.image_ids[index], source.key)
            if other != source.key:
                raise DataError(
                    f'{other} and {source.key} both have an image with the id {file.image_ids[index]!r}, and '
                    f'{split}_evaluator would take the two for one: give the images of all data sets ids of their own '
                    'and score against one file with all of them, or score each data set apart with '
                    f"{split}_evaluator=dict(type='MultiDatasetsEvaluator', metrics=[...], dataset_prefixes=[...])."
                )


def check_truth(source: DataSource, cfg: dict, classes: tuple[str, ...], file: CocoFile, read) -> None:
    """Check the annotation files that the metrics of this split read on their own.

    Raises:
        DataError: If such a file is missing, is about other images, objects or categories than the data, or holds
            something that pycocotools cannot score.
    """
    # Panoptic models are scored on boxes and masks too, of things alone.
    things = {item['name'] for item in file.categories if item.get('isthing', True) or not file.panoptic}
    classes = tuple(name for name in classes if name in things)
    for key, metric in metrics_of(source, cfg):
        path = metric.get('ann_file')
        if type_name(metric) != 'CocoMetric' or not path or '://' in path:
            continue
        if not osp.isfile(path):
            raise DataError(
                f'{key}.ann_file: there is no file {path!r} ({osp.abspath(path)}): name it with '
                f'--cfg-options {key}.ann_file={file.path}'
            )
        truth = file if osp.samefile(path, file.path) and not file.panoptic else read(path)
        if metric.get('format_only'):
            continue
        _check_images(source, key, file, truth)
        if (scored := tuple(item['name'] for item in truth.categories if item['name'] in classes)) != classes:
            raise DataError(
                f'{key}.ann_file, {path}, has the classes {listed(scored)}, and {source.key} {listed(classes)}: score '
                f'against the file of the data set, --cfg-options {key}.ann_file={file.path}'
            )
        if file.panoptic:
            check_things(source, key, classes, file, truth)
        elif truth is not file:
            _check_objects(source, key, classes, file, truth)
        _check_scorable(truth, key, classes, 'segm' in wanted_kinds(metric))


def shown(source: DataSource, file: CocoFile) -> list[int]:
    """Return the indices of the images of a file that the data set shows: all, or what `indices` selects."""
    everything, chosen = list(range(len(file.image_ids))), source.option('indices')
    if chosen is None:
        return everything
    if isinstance(chosen, int):
        return everything[:chosen] if chosen >= 0 else everything[chosen:]
    if wrong := [index for index in chosen if not -len(everything) <= index < len(everything)]:
        raise DataError(
            f'{source.key}.indices names {listed(wrong)}, and {file.path} has {len(everything)} images: numbers from 0 '
            f'to {len(everything) - 1} can be chosen.'
        )
    return [everything[index] for index in chosen]


def _scores_apart(cfg: dict, split: str) -> bool:
    evaluator = cfg.get(f'{split}_evaluator')
    return isinstance(evaluator, dict) and type_name(evaluator) == 'MultiDatasetsEvaluator'


def _check_images(source: DataSource, key: str, file: CocoFile, truth: CocoFile) -> None:
    if truth is file:
        return
    places = {value: index for index, value in enumerate(truth.image_ids)}
    indices = shown(source, file)
    if absent := sorted((file.image_ids[i] for i in indices if file.image_ids[i] not in places), key=str):
        raise DataError(
            f'{key}.ann_file, {truth.path}, lacks {len(absent)} of the {len(indices)} images of {source.key}, '
            f'id {absent[0]!r} for one: score against the file of the data set, --cfg-options '
            f'{key}.ann_file={file.path}'
        )
    for index in indices:
        name, other = file.file_names[index], truth.file_names[places[file.image_ids[index]]]
        if not _same_name(name, other):
            raise DataError(
                f'{key}.ann_file, {truth.path}, is about other images than {source.key}: id {file.image_ids[index]!r} '
                f'is {other!r} there and {name!r} in {file.path}; score against the file of the data set, '
                f'--cfg-options {key}.ann_file={file.path}'
            )


def _check_objects(source: DataSource, key: str, classes: tuple[str, ...], file: CocoFile, truth: CocoFile) -> None:
    """Raise if an image has more or fewer objects in the one file than in the other; warn if their boxes differ."""
    if not len(file.boxes):
        return  # A list of images alone, whose objects only the metric knows.
    places = {value: index for index, value in enumerate(truth.image_ids)}
    indices = np.array(shown(source, file), dtype=np.int64)
    theirs = np.array([places[file.image_ids[i]] for i in indices], dtype=np.int64)
    counts = [
        np.bincount(one.image_index[one.of_classes(classes)], minlength=len(one.image_ids))[images]
        for one, images in ((file, indices), (truth, theirs))
    ]
    if len(differ := np.flatnonzero(counts[0] != counts[1])):
        first = differ[0]
        raise DataError(
            f'{key}.ann_file, {truth.path}, has other objects than {source.key}: {len(differ)} of {len(indices)} '
            f'images differ, {file.file_names[indices[first]]} (id {file.image_ids[indices[first]]!r}) for one with '
            f'{counts[1][first]} objects there and {counts[0][first]} in {file.path}; score against the file of the '
            f'data set, --cfg-options {key}.ann_file={file.path}'
        )
    boxes = [
        one.boxes[np.isin(one.image_index, images) & one.of_classes(classes)]
        for one, images in ((file, indices), (truth, theirs))
    ]
    if not all(np.array_equal(*pair) for pair in zip(*(np.sort(part.round(1), axis=0).T for part in boxes))):
        warn(
            f'{key}.ann_file, {truth.path}, has as many objects in each image as {source.key}, but other boxes: what '
            'is scored is not what the data set holds.'
        )


def _same_name(one: str, other: str) -> bool:
    """Say whether two file names may mean the same file below different folders."""
    one, other = (PurePosixPath(name.replace('\\', '/')).parts[::-1] for name in (one, other))
    return all(a == b for a, b in zip(one, other, strict=False))


def _check_scorable(truth: CocoFile, key: str, classes: tuple[str, ...], with_masks: bool) -> None:
    if not truth.has_crowd_flag.all():
        number = int((~truth.has_crowd_flag).sum())
        raise DataError(
            f"{truth.path}: {number} annotations have no 'iscrowd', without which the COCO metric of {key} fails: add "
            "'iscrowd': 0 to them."
        )
    scored = truth.of_classes(classes)
    if with_masks and (truth.masks[scored] == NO_MASK).any():
        raise DataError(
            f"{truth.path}: {int((truth.masks[scored] == NO_MASK).sum())} annotations have no 'segmentation', which "
            f'{key} needs to score masks: add it, or score boxes alone with --cfg-options {key}.metric=bbox'
        )
    if with_masks:
        name_faults(truth, scored, f'{key}.ann_file', allowed=SCORED_FAULTS, share=1.0)
    if 0 in truth.annotation_ids:
        warn(
            f'{truth.path}: the annotation with id 0 can never count as found, because pycocotools takes 0 for "no '
            'match": number annotations from 1.',
        )
