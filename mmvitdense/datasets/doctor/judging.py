"""What is wrong with a data set, found by the checks that a training makes before it starts."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..checks.boxes import absurd_boxes, check_boxes, off_image
from ..checks.detection import check_file_names, check_ids_agree, check_sizes
from ..checks.image_files import decode_some
from ..checks.messages import DataError, listed, warnings_heard
from ..checks.outlines import misplaced_masks
from ..checks.panoptic import check_pictures
from ..checks.source import DataSource
from .found import Found, Split
from .images import same_bytes, sizes_of

_PIPELINE = [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True}]
_MANY = 0.5
"""Share of images that are missing from which it is the folder that is wrong."""


def judge(found: Found, every_image: bool = False) -> None:
    """Note in `found.problems` what is wrong, and mark images and objects that are to be left out.

    Args:
        found: The data set.
        every_image: Decode every image and not a sample.
    """
    for split in found.splits:
        if split.file is not None:
            _judge_objects(found, split)
        _judge_images(found, split, every_image)
    _judge_duplicates(found)
    _judge_outlines(found)
    _judge_classes(found)


def _judge_objects(found: Found, split: Split) -> None:
    file, problems = split.file, found.problems
    source = DataSource('train', split.origin, {'pipeline': _PIPELINE}, None)
    with warnings_heard() as heard:
        try:
            check_ids_agree(file)
            check_file_names(file)
            _check_read_sizes(split, source)
            _leave_out_boxes(found, split)
            if split.keep_objects.any() and not file.panoptic:
                check_boxes(source, file, split.keep_objects)
            if file.panoptic and split.segments:
                for name in check_pictures(source, file, split.segments, None, split.pictures):
                    heard.append(f'{name} has segments that {split.origin} does not list: they are ignored.')
        except DataError as error:
            problems.stop(error)
            return
    for text in heard:
        problems.warn(text)
    if not file.panoptic:
        _leave_out_masks(found, split)


def _check_read_sizes(split: Split, source: DataSource) -> None:
    """Compare the sizes that the file states with those of the images."""
    sizes = sizes_of([path for path in split.images if path])
    check_sizes(source, split.file, {
        index: sizes[path] for index, path in enumerate(split.images) if path and not isinstance(sizes[path], str)
    })  # fmt: skip


def _leave_out_boxes(found: Found, split: Split) -> None:
    file = split.file
    if file.panoptic or not len(file.boxes):
        return
    empty = (file.boxes[:, 2:] <= 0).any(1)
    off = (off_image(file) | absurd_boxes(file)) & ~empty
    for kind, chosen in (('empty box', empty), ('box off image', off)):
        for index in np.flatnonzero(chosen):
            width, height = file.sizes[file.image_index[index]]
            box = ', '.join(f'{value:g}' for value in file.boxes[index])
            found.problems.add(kind, f'{file.describe(index)} with ({box}) in {width:g}x{height:g} pixels')
    split.keep_objects &= ~(empty | off)


def _leave_out_masks(found: Found, split: Split) -> None:
    file = split.file
    chosen = split.keep_objects & (file.image_index >= 0)
    faults = {index: fault for index, fault in file.mask_faults.items() if chosen[index]} | misplaced_masks(
        file, chosen
    )
    for index, fault in sorted(faults.items()):
        found.problems.add('broken mask', f'{file.describe(index)} {fault}')
        split.keep_objects[index] = False


def _judge_images(found: Found, split: Split, every_image: bool) -> None:
    """Note images that cannot be read; where most are not there it is their folder that is wrong."""
    there = [index for index, path in enumerate(split.images) if path]
    if len(there) < (1 - _MANY) * len(split.images):
        found.problems.stop(
            f'{split.origin} names {len(split.images)} images, {split.file.file_names[0]!r} for one, and '
            f'{len(split.images) - len(there)} of them are not in {found.root}: give the folder that holds them too '
            '(mmvitdense data FILE FOLDER).'
        )
        return
    if not there:
        return
    sizes = sizes_of([split.images[index] for index in there])
    bad = {index: sizes[split.images[index]] for index in there if isinstance(sizes[split.images[index]], str)}
    whole = [index for index in there if index not in bad]
    if whole:
        _, problems = decode_some([split.images[index] for index in whole], every_image)
        bad |= {whole[place]: problem for place, problem in problems.items()}
    for index, problem in sorted(bad.items()):
        found.problems.add('unreadable image', f'{split.images[index]}: {problem}')
        split.keep[index] = False


def _judge_duplicates(found: Found) -> None:
    """Note images that are there twice: an error where two splits have them, else a warning."""
    places: dict[str, list[tuple[Split, int]]] = {}
    for split in found.splits:
        for index in np.flatnonzero(split.keep):
            places.setdefault(split.images[index], []).append((split, int(index)))
    twice = []
    for group in [*same_bytes(places), *([path] for path, uses in places.items() if len(uses) > 1)]:
        uses = [use for path in group for use in places[path]]
        # Of a test set nothing is learnt, so what it shares with the training set is the one to leave out there too.
        names = {split.name for split, _ in uses}
        if len(names) > 1:
            shown = ' and '.join(f'{split.images[index]} ({split.title})' for split, index in uses[:2])
            found.problems.add('shown in two splits', shown)
            kept = next(name for name in ('test', 'val', 'train', '') if name in names)
            for split, index in uses:
                split.keep[index] &= split.name == kept
        else:
            twice.append(' and '.join(split.images[index] for split, index in uses[:2]))
    if twice:
        found.problems.warn(
            f'{len(twice)} images are there more than once, {twice[0]} for one: they count as many times.'
        )


def _judge_outlines(found: Found) -> None:
    """Warn where a few boxes are all that keeps outlines from being learnt: two points of a polygon read as a box."""
    lacking, total = 0, 0
    first = ''
    for split in found.splits:
        if split.file is None or split.file.panoptic:
            continue
        counted = split.keep_objects & ~split.file.crowd
        bare = np.flatnonzero(counted & (split.file.masks == 0))
        first = first or (split.file.describe(int(bare[0])) if len(bare) else '')
        lacking, total = lacking + len(bare), total + int(counted.sum())
    if 0 < lacking < total:
        found.problems.warn(
            f'{lacking} of {total} objects are boxes without an outline, {first} for one, so boxes alone can be '
            'learnt: for outlines, draw them or take these objects out.'
        )


def _judge_classes(found: Found) -> None:
    """Warn of classes that nothing is of, and stop where there is nothing at all."""
    from .summary import class_counts

    if not found.splits or not any(split.keep.any() for split in found.splits):
        if not list(found.problems.serious(False)):
            found.problems.stop(f'{found.root} has no image with a label: give the folder that holds them.')
        return
    counts = sum((class_counts(found, split) for split in found.splits), np.zeros(len(found.classes), np.int64))
    if not counts.sum():
        if not list(found.problems.serious(False)):
            count = sum(len(split.images) for split in found.splits)
            found.problems.stop(
                f'{found.root} has {count} images and no object: its annotations are empty; give the folder of those '
                'that were filled in.'
            )
        return
    trained = [split for split in found.splits if split.name in ('train', '')] or found.splits
    learnt = sum((class_counts(found, split) for split in trained), np.zeros(len(found.classes), np.int64))
    if absent := [name for name, count in zip(found.classes, learnt, strict=True) if not count]:
        found.problems.warn(
            f'Nothing to learn is of {len(absent)} of the {len(found.classes)} classes: {listed(absent)}.'
        )
    alike = [name for name, count in Counter(name.strip().lower() for name in found.classes).items() if count > 1]
    if alike:
        found.problems.warn(
            f'The classes have names that differ in case or spaces alone, {listed(alike)}: are they one?'
        )
