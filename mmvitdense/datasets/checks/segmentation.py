"""Checks of semantic segmentation data: folders of images and label maps, read by mmseg's BaseSegDataset."""

from __future__ import annotations

import math
import os.path as osp
from collections.abc import Sequence

import numpy as np
from mmengine.registry import METRICS

from mmvitdense.datasets.paired_names import pair_of_names

from .classes import class_names
from .heads import check_num_classes, decode_heads
from .ignored import ignored_labels
from .image_files import decode_images
from .label_maps import IGNORED, MAX_SECONDS, LabelMaps
from .messages import DataError, listed, note, warn
from .paths import check_folder, check_root, describe_suffixes, evaluators, find_files
from .source import DataSource, find_sources, registered_class, type_name
from .zero_label import check_zero_is_no_class, check_zero_label_agrees, zero_label_options


def check_segmentation(
    source: DataSource, cfg: dict, max_maps: int, every: bool = False, allowed: int = 0
) -> LabelMaps:
    """Check one data set of images and label maps.

    Args:
        source: The data set.
        cfg: The whole config.
        max_maps: How many label maps to look into at most.
        every: Look into all of them instead, and decode all images.
        allowed: As for `decode_images`.

    Returns:
        Its label maps, so far as they were looked at: none where the pipeline loads none.
    """
    check_root(source, cfg)
    _check_loading(source, cfg)
    maps = _find_maps(source, cfg, _class_names(source, cfg))
    decode_images(source, [image for image, _ in maps.pairs], every=every, allowed=allowed)
    if maps.loaded:
        maps.replaceable = allowed > 0
        maps.look(len(maps.pairs) if every else max_maps, math.inf if every else MAX_SECONDS)
        check_zero_label_agrees(maps, cfg)
        _check_values(maps, cfg)
        _check_variety(maps)
        check_zero_is_no_class(maps, cfg, lambda other: _maps_if_there(other, cfg))
    if maps.classes is not None:
        check_num_classes(source, cfg, len(maps.classes))
    return maps


def _check_loading(source: DataSource, cfg: dict) -> None:
    """Raise if the pipeline loads no labels although the model learns from them or a metric compares with them."""
    kinds = [type_name(transform) for transform in source.transforms()]
    loads = any(kind.startswith('Load') and 'Image' not in kind for kind in kinds)
    scored = [key for key, metric in evaluators(cfg, source.split) if _compares(metric, cfg)]
    if 'PackSegInputs' in kinds and not loads and (source.split == 'train' or scored):
        use = f'{scored[0]} compares' if scored else 'training compares'
        raise DataError(
            f'{source.key}.pipeline loads no label maps, with which {use} the predictions: write '
            "dict(type='LoadAnnotations') into it, in testing after the resize."
        )
    if source.cfg.get('filter_cfg'):
        warn(f'{source.key}.filter_cfg: not used, data sets of label maps filter nothing.')


def _compares(metric: dict, cfg: dict) -> bool:
    cls = registered_class(METRICS, metric, cfg.get('default_scope') or 'mmengine')
    return hasattr(cls, 'intersect_and_union') and not metric.get('format_only')


def _find_maps(source: DataSource, cfg: dict, classes: tuple[str, ...] | None) -> LabelMaps:
    """Find the images and label maps of a data set, of which none is looked at yet."""
    images, suffix = check_folder(source, 'img_path'), source.option('img_suffix', '.jpg')
    names = _image_names(source, images)
    loaded = source.loads('LoadAnnotations') is not None
    paths = _map_paths(source, names) if loaded else [''] * len(names)
    pairs = [(osp.join(images, _pair(source, name)[0] + suffix), path) for name, path in zip(names, paths, strict=True)]
    heads = [head.get('num_classes') for _, head in decode_heads(cfg)]
    number = len(classes) if classes else next((count for count in heads if isinstance(count, int)), 256)
    # Where metainfo selects from the classes of the data set's type, the maps still hold the values of all of them.
    in_files = _own_meta(source, 'classes') or classes
    reduce_zero = bool(source.option('reduce_zero_label', False))
    return LabelMaps(source, pairs, loaded, reduce_zero, classes, in_files and tuple(in_files), number)


def _map_paths(source: DataSource, names: list[str]) -> list[str]:
    """Return the path of the label map of each image, all of which must be there."""
    folder, suffix = check_folder(source, 'seg_map_path'), source.option('seg_map_suffix', '.png')
    present = set(find_files(folder))
    names = [_pair(source, name)[1] for name in names]
    if absent := [name + suffix for name in names if name + suffix not in present]:
        raise DataError(
            f'{source.key}: {len(absent)} of {len(names)} images have no label map: {folder!r} lacks {absent[0]!r} '
            f'for one and holds {describe_suffixes(sorted(present))}: add the maps, or name their folder or suffix '
            f'with --cfg-options {source.key}.data_prefix.seg_map_path=FOLDER {source.key}.seg_map_suffix=SUFFIX'
        )
    return [osp.join(folder, name + suffix) for name in names]


def _pair(source: DataSource, name: str) -> tuple[str, str]:
    """The names of an image and of its label map."""
    folder, _, last = name.rpartition('/')
    image, labels = pair_of_names(last, source.option('name_parts'))
    return (image, labels) if not folder else (f'{folder}/{image}', f'{folder}/{labels}')


def _maps_if_there(source: DataSource, cfg: dict) -> LabelMaps | None:
    try:
        maps = _find_maps(source, cfg, class_names(source))
    except DataError:
        return None
    return maps if maps.loaded else None


def _class_names(source: DataSource, cfg: dict) -> tuple[str, ...] | None:
    classes = class_names(source)
    if classes is None:
        if source.option('test_mode', False):
            raise DataError(
                f'{source.key} has no class names, which mmseg needs to score: write '
                "metainfo=dict(classes=('NAME OF VALUE 0', 'NAME OF VALUE 1')) for this data set."
            )
        return None
    own = _own_meta(source, 'classes')
    if own is not None and (foreign := [name for name in classes if name not in own]):
        others = (other for split in ('train', 'val', 'test') for other in find_sources(cfg, split))
        options = ' '.join(f'{other.key}.type=mmseg.BaseSegDataset' for other in others if other.cls is source.cls)
        raise DataError(
            f'{source.key}.metainfo.classes names {listed(foreign)}, which {source.cls.__name__} does not have; data '
            f'with classes of its own is --cfg-options {options}'
        )
    _check_palette(source, classes, own)
    return classes


def _check_palette(source: DataSource, classes: tuple[str, ...], own: Sequence[str] | None) -> None:
    """Raise unless there is a colour for each class, or none at all: mmseg draws lots then."""
    given = (source.option('metainfo') or {}).get('palette')
    palette = given if given is not None else _own_meta(source, 'palette') or ()
    if isinstance(palette, str) or any(np.shape(colour) != (3,) for colour in palette):
        raise DataError(
            f'{source.key}.metainfo.palette is {palette!r}: write [red, green, blue] for each class, or leave it out.'
        )
    selects = own is not None and tuple(own) != classes and len(palette) == len(own)
    if len(palette) not in (0, len(classes)) and not selects:
        raise DataError(
            f'{source.key}.metainfo.palette has {len(palette)} colours for {len(classes)} classes: write one '
            '[red, green, blue] for each class in the order of the classes, or leave the palette out.'
        )


def _own_meta(source: DataSource, name: str) -> Sequence | None:
    """Return what the type of a data set says of its classes or palette, None if it says nothing."""
    return (getattr(source.cls, 'METAINFO', None) or {}).get(name)


def _image_names(source: DataSource, folder: str) -> list[str]:
    """Return the names of the images without suffix: those that ann_file lists, else those in the folder."""
    suffix = source.option('img_suffix', '.jpg')
    listing = source.path(source.option('ann_file')) if source.option('ann_file') else ''
    present = find_files(folder)
    if listing and osp.isdir(listing):
        raise DataError(
            f'{source.key}.ann_file: {listing!r} is a folder; expected a file with the name of one image a line, or '
            f"every image of the folder with {source.key}.ann_file=''"
        )
    if not listing:
        names = [name[: len(name) - len(suffix)] for name in present if name.endswith(suffix)]
        if not names:
            raise DataError(
                f'{source.key}: {folder!r} holds no file that ends in {suffix!r}, but {describe_suffixes(present)}: '
                f'give the suffix with --cfg-options {source.key}.img_suffix=SUFFIX, or the folder with '
                f'{source.key}.data_prefix.img_path=FOLDER'
            )
        return names
    if not osp.isfile(listing):
        raise DataError(
            f'{source.key}.ann_file: there is no file {listing!r} ({osp.abspath(listing)}): name it with --cfg-options '
            f"{source.key}.ann_file=FILE, or use every image of the folder with {source.key}.ann_file=''"
        )
    with open(listing, encoding='utf-8') as lines:
        names = [line.strip() for line in lines]
    if not any(names):
        raise DataError(
            f'{source.key}.ann_file: {listing} is empty: write the name of one image, without suffix, a line.'
        )
    files = set(present)
    if absent := [name for name in (_pair(source, name)[0] for name in names) if name + suffix not in files]:
        raise DataError(
            f'{source.key}: {len(absent)} of the {len(names)} images that {listing} lists are not in {folder!r}, '
            f'{absent[0] + suffix!r} for one: the file lists names without suffix, one a line; correct it or '
            'img_suffix.'
        )
    return names


def _check_values(maps: LabelMaps, cfg: dict) -> None:
    """Raise if labels occur that are neither a class nor ignored."""
    values = np.arange(256)
    number = len(maps.file_classes or ()) or maps.number
    labels = np.where((values == 0) | (values == IGNORED), IGNORED, values - 1) if maps.reduce_zero else values
    allowed = (labels < number) | np.isin(labels, list(ignored_labels(cfg) or {IGNORED}))
    # That nothing else is ignored where 0 turns into 255 is for `check_ignored` to say.
    allowed[0] = True
    if offenders := [value for value in sorted(maps.examples) if not allowed[value]]:
        raise DataError(_wrong_values(maps, cfg, offenders, int(np.flatnonzero(labels < number).max())))


def _wrong_values(maps: LabelMaps, cfg: dict, offenders: list[int], limit: int) -> str:
    key = maps.source.key
    found = (
        f'{key}: label values {listed(offenders)} occur ({maps.seen}), {maps.examples[offenders[-1]]} for one, but the '
        f'classes of the data leave only values up to {limit}'
    )
    end = '.'
    advice = 'name a class for each value in metainfo.classes and in num_classes of the heads, or renumber the maps'
    if not maps.reduce_zero and offenders[-1] == limit + 1:
        option = f'set --cfg-options {zero_label_options(cfg, True)}'
        if not maps.counts[0]:
            return f'{found}; as 0 never occurs, labels seem to start at 1: {option}'
        end, advice = '', f'{advice}, or if 0 stands for unlabelled, {option}'
    elif len(offenders) == 1:
        advice += ', or if it stands for unlabelled, write 255 in its place'
    return f'{found}: {advice}{end}'


def _check_variety(maps: LabelMaps) -> None:
    """Raise if the maps hold nothing to learn: every pixel ignored, or a mask of 0 and 255 whose 255 is ignored."""
    source, zero = maps.source, maps.reduce_zero
    labelled = [value for value in sorted(maps.examples) if value != IGNORED and (value or not zero)]
    if not labelled:
        raise DataError(
            f'{source.key}: every pixel is ignored ({maps.seen}): 255'
            f'{" and, with reduce_zero_label=True, 0 are" if zero else " is"} not a class; renumber the maps'
            f'{", or set reduce_zero_label=False" if zero else ""}.'
        )
    if source.split == 'train' and labelled == [0] and maps.counts[IGNORED]:
        raise DataError(
            f'{source.key}: the label maps hold 0 and 255 alone ({maps.seen}), and 255 is ignored, so there is one '
            'class: if 255 marks a class, write 1 instead.'
        )


def report_absent_classes(data: Sequence[LabelMaps]) -> None:
    """Log the classes of each split that occur in no label map looked at."""
    for split in dict.fromkeys(maps.source.split for maps in data):
        parts = [maps for maps in data if maps.source.split == split and maps.classes]
        labels = set().union(*(maps.labels() for maps in parts))
        absent = [name for maps in parts for index, name in enumerate(maps.classes) if index not in labels]
        if not absent:
            continue
        keys, looked = ', '.join(maps.source.key for maps in parts), ', '.join(maps.seen for maps in parts)
        names = listed(dict.fromkeys(absent))
        if all(maps.complete for maps in parts):
            use = 'learnt' if split == 'train' else 'scored'
            borrowed = 2 * len(absent) > len(parts[0].classes) and not parts[0].source.cfg.get('metainfo')
            hint = '; data with classes of its own is of type mmseg.BaseSegDataset and names them in metainfo.classes'
            warn(
                f'{keys}: no label map holds the classes {names} ({looked}), so they cannot be {use}{hint * borrowed}.'
            )
        else:
            note(f'{keys}: the classes {names} were not among the {looked}.')
