"""Checks of data in COCO format, read by mmdet's CocoDataset or CocoPanopticDataset."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from collections.abc import Callable

import numpy as np

from .classes import check_categories, class_names
from .coco_file import BROKEN_MASK, NO_MASK, POLYGON, CocoFile
from .image_files import check_images_exist, check_sizes
from .messages import DataError, listed, warn
from .paths import check_file, check_folder, check_root, evaluators
from .source import DataSource, type_name

Reader = Callable[[str], CocoFile]


def check_coco(source: DataSource, cfg: dict, read: Reader, scored: bool) -> tuple[tuple[str, ...], CocoFile]:
    """Check one data set in COCO format.

    Args:
        source: The data set.
        cfg: The whole config.
        read: Reads an annotation file, or returns what it read before.
        scored: Whether the data is trained on or scored, so that there must be objects.

    Returns:
        Its classes and what its annotation file holds.
    """
    check_root(source, cfg)
    path = check_file(source, 'ann_file')
    folder = check_folder(source, 'img')
    file = read(path)
    _check_ids(file)
    classes = class_names(source) or ()
    names = [category['name'] for category in file.categories]
    annotated = set(file.category_index.tolist())
    check_categories(source, classes, names, [name for i, name in enumerate(names) if i in annotated], path)
    if source.loads('LoadPanopticAnnotations') or (source.loads('LoadAnnotations') or {}).get('with_seg'):
        check_folder(source, 'seg')
    if file.panoptic:
        _check_things_first(file, classes)
    if scored:
        _check_objects_left(source, file, classes)
        _check_boxes(source, file)
        _check_masks(source, cfg, file, classes)
    check_images_exist(source, folder, file.file_names, path)
    check_sizes(source, folder, file.file_names, file.sizes, path)
    return classes, file


def check_metrics(source: DataSource, cfg: dict, classes: tuple[str, ...], file: CocoFile, read: Reader) -> None:
    """Check the annotation files that the metrics of this split read on their own.

    Raises:
        DataError: If such a file is missing, is about other images or categories than the data, or lacks what
            pycocotools needs.
    """
    # Panoptic models are scored on boxes and masks too, of things alone.
    things = {item['name'] for item in file.categories if item.get('isthing', True) or not file.panoptic}
    classes = [name for name in classes if name in things]
    for key, metric in evaluators(cfg, source.split):
        path = metric.get('ann_file')
        if type_name(metric) != 'CocoMetric' or not path or '://' in path:
            continue
        if not osp.isfile(path):
            raise DataError(
                f'{key}.ann_file: there is no file {path!r} ({osp.abspath(path)}): name it with '
                f'--cfg-options {key}.ann_file={file.path}'
            )
        truth = read(path)
        if absent := sorted(set(file.image_ids) - set(truth.image_ids), key=str):
            raise DataError(
                f'{key}.ann_file, {path}, lacks {len(absent)} of the {len(file.image_ids)} images of {source.key}, '
                f'id {absent[0]!r} for one: score against the file of the data set, --cfg-options '
                f'{key}.ann_file={file.path}'
            )
        if (scored := [item['name'] for item in truth.categories if item['name'] in classes]) != classes:
            raise DataError(
                f'{key}.ann_file, {path}, has the classes {listed(scored)}, and {source.key} {listed(classes)}: score '
                f'against the file of the data set, --cfg-options {key}.ann_file={file.path}'
            )
        metrics = metric.get('metric', 'bbox')
        _check_truth(truth, key, 'segm' in ([metrics] if isinstance(metrics, str) else metrics))


def _check_truth(truth: CocoFile, key: str, with_masks: bool) -> None:
    if not truth.has_crowd_flag.all():
        number = int((~truth.has_crowd_flag).sum())
        raise DataError(
            f"{truth.path}: {number} annotations have no 'iscrowd', without which the COCO metric of {key} fails: add "
            "'iscrowd': 0 to them."
        )
    if with_masks and (truth.masks == NO_MASK).any():
        raise DataError(
            f"{truth.path}: {int((truth.masks == NO_MASK).sum())} annotations have no 'segmentation', which {key} "
            f'needs to score masks: add it, or score boxes alone with --cfg-options {key}.metric=bbox'
        )
    if 0 in truth.annotation_ids:
        warn(
            f'{truth.path}: the annotation with id 0 can never count as found, because pycocotools takes 0 for "no '
            'match": number annotations from 1.',
        )


def _check_ids(file: CocoFile) -> None:
    for kind, ids in (
        ('images', file.image_ids),
        ('categories', [item['id'] for item in file.categories]),
        ('annotations', [] if file.panoptic else file.annotation_ids),
    ):
        if len(set(ids)) < len(ids):
            repeated = [value for value, count in Counter(ids).items() if count > 1]
            raise DataError(
                f'{file.path}: several {kind} share the ids {listed(repeated)}: give each an id of its own.'
            )
    if file.unknown_categories:
        unknown, defined = file.unknown_categories, [item['id'] for item in file.categories]
        raise DataError(
            f'{file.path}: {int((file.category_index < 0).sum())} annotations use the category ids '
            f"{listed(sorted(unknown, key=str))}, but 'categories' defines {listed(defined)}{_shift(file)}: correct "
            "the category_id of the annotations, or the ids in 'categories'."
        )
    if file.unknown_images:
        wrong_type = {str(value) for value in file.unknown_images} <= {str(value) for value in file.image_ids}
        hint = '; the one is text, the other a number' if wrong_type else ''
        raise DataError(
            f'{file.path}: {int((file.image_index < 0).sum())} annotations have an image_id that no image has, '
            f"{listed(file.unknown_images, 3)} for example{hint}: remove them, or add their images to 'images'."
        )


def _shift(file: CocoFile) -> str:
    """Return a clause that says by how much the ids of the annotations are shifted, if that explains them all."""
    defined = [item['id'] for item in file.categories]
    used = {defined[i] for i in set(file.category_index.tolist()) if i >= 0} | set(file.unknown_categories)
    if all(isinstance(value, int) for value in [*used, *defined]):
        for shift in (1, -1):
            if {value + shift for value in used} <= set(defined):
                return f' (all of them are {abs(shift)} too {"low" if shift > 0 else "high"})'
    return ''


def _check_things_first(file: CocoFile, classes: tuple[str, ...]) -> None:
    if any('isthing' not in item for item in file.categories):
        raise DataError(f"{file.path}: each category of a panoptic file must have 'isthing', 0 or 1: add it.")
    flags = [bool(item['isthing']) for item in file.categories if item['name'] in set(classes)]
    if flags != sorted(flags, reverse=True):
        raise DataError(
            f"{file.path}: heads expect things to be numbered before stuff: sort 'categories' so that those with "
            "'isthing': 1 come first, and metainfo.classes alike."
        )


def _check_objects_left(source: DataSource, file: CocoFile, classes: tuple[str, ...]) -> None:
    """Raise if no image or no object survives what mmdet filters out before training or scoring."""
    if not len(file.boxes):
        raise DataError(
            f'{source.key}: {file.path} has {len(file.image_ids)} images but no annotations: give a file with objects.'
        )
    wanted = np.array([item['name'] in set(classes) for item in file.categories], dtype=bool)[file.category_index]
    usable = wanted & file.usable() & ~file.crowd
    if not usable.any():
        raise DataError(
            f'{source.key}: of {len(file.boxes)} objects in {file.path} none is left: {_losses(file, wanted)}.'
        )
    if source.split != 'train' or source.option('test_mode', False):
        return
    filters = source.option('filter_cfg') or {}
    min_size = filters.get('min_size', 0)
    kept = file.sizes.min(1) >= min_size
    if filters.get('filter_empty_gt', False):
        kept[np.setdiff1d(np.arange(len(kept)), file.image_index[wanted])] = False
    if not (usable & kept[file.image_index]).any():
        raise DataError(
            f'{source.key}: no image of {file.path} with an object is left by filter_cfg, which drops images whose '
            f'shorter side is below min_size={min_size} pixels (the largest has {file.sizes.min(1).max():.0f}): lower '
            f'it with --cfg-options {source.key}.filter_cfg.min_size=0'
        )


def _losses(file: CocoFile, wanted: np.ndarray) -> str:
    """Return why all objects are lost, and what mends it."""
    if not wanted.any():
        return 'none is of the classes in metainfo; annotate some, or name the classes that are there'
    if file.crowd[wanted].all():
        return "all are marked 'iscrowd': 1, which is only for groups; set it to 0 for single objects"
    if file.ignored[wanted].all():
        return "all are marked 'ignore'; set it to 0"
    if (file.areas[wanted] <= 0).all():
        return "the 'area' of all is 0; write the area of each object in pixels"
    if (file.boxes[wanted] <= 1).all():
        return 'the boxes look like parts of the image (0 to 1); COCO boxes are (x, y, width, height) in pixels'
    small = int((file.boxes[wanted, 2:] < 1).any(1).sum())
    return (
        f'{small} boxes are less than a pixel wide or high and the others lie outside of their image or are marked '
        'crowd or ignored; write boxes as (x, y, width, height) in pixels of the image'
    )


def _check_boxes(source: DataSource, file: CocoFile) -> None:
    """Warn about boxes that mmdet drops without a word, and about corners written for sizes."""
    x, y, width, height = file.boxes.T
    limits = file.sizes[file.image_index]
    outside = (x + width > 1.01 * limits[:, 0] + 1) | (y + height > 1.01 * limits[:, 1] + 1)
    like_corners = (width > x) & (height > y) & (width <= limits[:, 0] + 1) & (height <= limits[:, 1] + 1)
    if like_corners.all() and outside.mean() > 0.2:
        message = (
            f'{source.key}: the boxes of {file.path} look like corners (x1, y1, x2, y2): read as (x, y, width, '
            f'height), {int(outside.sum())} of {len(x)} reach out of their image. COCO boxes are (x, y, width, height).'
        )
        warn(message)
    elif lost := int((~file.usable() & ~file.ignored).sum()):
        message = (
            f'{source.key}: {lost} of {len(x)} objects in {file.path} are left out by mmdet: their area is 0, or '
            'their box is less than a pixel wide or high, or outside of the image.'
        )
        warn(message)


def _check_masks(source: DataSource, cfg: dict, file: CocoFile, classes: tuple[str, ...]) -> None:
    """Raise where masks are trained and the pipeline does not load them or the file does not have them."""
    if source.split != 'train' or file.panoptic:
        return
    loader = source.loads('LoadAnnotations')
    mask_head = ((cfg.get('model') or {}).get('roi_head') or {}).get('mask_head')
    with_mask = bool(loader and loader.get('with_mask'))
    if mask_head and loader and not with_mask:
        raise DataError(
            f'model.roi_head.mask_head is trained on masks, but the pipeline of {source.key} does not load any: write '
            "dict(type='LoadAnnotations', with_bbox=True, with_mask=True), or set model.roi_head.mask_head=None."
        )
    if not with_mask:
        return
    wanted = np.array([item['name'] in set(classes) for item in file.categories], dtype=bool)[file.category_index]
    masks = file.masks[wanted & file.usable()]
    if (masks == NO_MASK).any():
        raise DataError(
            f'{source.key}: {int((masks == NO_MASK).sum())} of {len(masks)} objects in {file.path} have no '
            "'segmentation', "
            'but the pipeline loads masks: add outlines to the file, or train boxes alone, with with_mask=False in the '
            'pipeline and a model without mask head.'
        )
    readable = masks == POLYGON if not loader.get('poly2mask', True) else masks != BROKEN_MASK
    if not readable.any():
        raise DataError(
            f'{source.key}: no mask of {file.path} can be used: a mask is a list of polygons with at least three '
            'points, or an RLE with size and counts, which needs poly2mask=True (the default) in LoadAnnotations.'
        )
