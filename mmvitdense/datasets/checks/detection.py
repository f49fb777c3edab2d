"""Checks of data in COCO format, read by mmdet's CocoDataset or CocoPanopticDataset."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from collections.abc import Callable

import numpy as np

from .boxes import check_boxes
from .classes import check_categories, class_names
from .coco_file import CocoFile
from .coco_masks import RLE
from .image_files import check_images_exist, decode_images
from .messages import DataError, listed, warn
from .paths import check_file, check_folder, check_root
from .source import DataSource

Reader = Callable[[str], CocoFile]


def check_coco(source: DataSource, cfg: dict, read: Reader, scored: bool, **images) -> tuple[tuple[str, ...], CocoFile]:
    """Check one data set in COCO format.

    Args:
        source: The data set.
        cfg: The whole config.
        read: Reads an annotation file, or returns what it read before.
        scored: Whether the data is trained on or scored, so that there must be objects.
        **images: `every` and `allowed` of `decode_images`.

    Returns:
        Its classes and what its annotation file holds.
    """
    check_root(source, cfg)
    path = check_file(source, 'ann_file')
    folder = check_folder(source, 'img')
    file = read(path)
    check_ids_agree(file)
    check_file_names(file)
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
        check_boxes(source, file, file.of_classes(classes))
    check_images_exist(source, folder, file.file_names, path)
    sizes = decode_images(source, [osp.join(folder, name) for name in file.file_names], file.image_ids, **images)
    check_sizes(source, file, sizes)
    return classes, file


def check_ids_agree(file: CocoFile) -> None:
    """Raise where ids are not unique, or name an image or a category that the file does not have."""
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


def check_file_names(file: CocoFile) -> None:
    """Warn where several images have the name of one file."""
    if len(set(file.file_names)) < len(file.file_names):
        name, count = Counter(file.file_names).most_common(1)[0]
        ids = [value for value, of_image in zip(file.image_ids, file.file_names, strict=True) if of_image == name]
        warn(
            f'{file.path}: {count} images have the file name {name!r} (ids {listed(ids)}), so one picture is shown '
            'several times, each time with the objects of one id alone: join their annotations under one id.'
        )


def check_sizes(source: DataSource, file: CocoFile, sizes: dict[int, tuple[int, int]]) -> None:
    """Raise or warn where images have another size than the file states.

    Args:
        source: The data set.
        file: What its annotation file holds.
        sizes: {index of an image: (width, height) as it is loaded}.
    """
    wrong = [index for index, size in sorted(sizes.items()) if size != tuple(file.sizes[index])]
    if not wrong:
        return
    (width, height), stated = sizes[wrong[0]], file.sizes[wrong[0]]
    message = (
        f'{source.key}: {len(wrong)} of {len(sizes)} images looked at have another size than {file.path} states: '
        f'{file.file_names[wrong[0]]} (id {file.image_ids[wrong[0]]!r}) is {width}x{height}, stated '
        f'{stated[0]:g}x{stated[1]:g}'
    )
    with_rle = file.image_index[file.masks == RLE]
    if (source.loads('LoadAnnotations') or {}).get('with_mask') and np.isin(wrong, with_rle).any():
        raise DataError(f'{message}, and so have its RLE masks, which cannot be laid on the image: correct the file.')
    warn(f'{message}; boxes and masks may lie elsewhere.')


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
    wanted = file.of_classes(classes)
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
