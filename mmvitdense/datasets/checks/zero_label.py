"""Is 0 of the label maps a class or not? Said by data sets and their pipelines, and to be judged by the maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .label_maps import IGNORED, LabelMaps
from .messages import DataError, listed, warn
from .source import DataSource, find_sources, type_name

_MAX_SECONDS = 60.0


def zero_label_options(cfg: dict, wanted: bool) -> str:
    """Return the --cfg-options that make every segmentation data set of a config, pipelines included, say so."""
    options = []
    for split in ('train', 'val', 'test'):
        for source in find_sources(cfg, split):
            for key, said in _places(source):
                if said not in (wanted, None):
                    options.append(f'{key}.reduce_zero_label={wanted}')
    return ' '.join(options)


def check_zero_label_agrees(maps: LabelMaps, cfg: dict) -> None:
    """Raise if a data set and the transform that loads its maps differ; mmseg stops at the first sample.

    Args:
        maps: The label maps.
        cfg: The whole config.
    """
    number = len(maps.file_classes or ()) or maps.number
    places = dict(_places(maps.source))
    if len(set(places.values()) - {None}) < 2:
        return
    said = ', '.join(f'{key}.reduce_zero_label is {value}' for key, value in places.items() if value is not None)
    values = np.flatnonzero(maps.counts[:IGNORED])
    held = f'the label maps hold {_range(values)} ({maps.seen}) for {number} classes'
    if len(values) and values.max() == number:
        advice = f'{held}, so 0 is no class: set --cfg-options {zero_label_options(cfg, True)}'
    elif maps.counts[0] and values.max() < number:
        advice = f'{held}, so 0 is a class: set --cfg-options {zero_label_options(cfg, False)}'
    else:
        advice = (
            f'{held}: if 0 is a class, set --cfg-options {zero_label_options(cfg, False)} and if it stands for '
            f'unlabelled, --cfg-options {zero_label_options(cfg, True)}'
        )
    raise DataError(f'{said}, which must be the same: {advice}')


def compare_splits(cfg: dict) -> None:
    """Warn if data sets of one kind differ on it: scores are those of neighbours unless their maps differ too."""
    by_kind: dict[tuple, dict[bool, str]] = {}
    for split in ('train', 'val', 'test'):
        for source in find_sources(cfg, split):
            said = source.option('reduce_zero_label')
            if said is not None and source.loads('LoadAnnotations'):
                kind = by_kind.setdefault((source.cls, str(source.option('metainfo'))), {})
                kind.setdefault(bool(said), source.key)
    for said in by_kind.values():
        if len(said) == 2:
            warn(
                f'{said[True]}.reduce_zero_label is True and {said[False]}.reduce_zero_label is False: unless their '
                'label maps differ by one, every class of the one is another class of the other.'
            )


def check_zero_is_no_class(maps: LabelMaps, cfg: dict, read: Callable[[DataSource], LabelMaps | None]) -> None:
    """Raise if maps that number their classes from 0 are read as if 0 stood for unlabelled.

    The first class would be lost and every other one named as its neighbour. The sign of it is that 0 occurs and the
    number of the last class does not, in no map of any split.

    Args:
        maps: The label maps.
        cfg: The whole config.
        read: Gives the label maps of a data set, all of which can be looked at, or None where they are not there.
    """
    last = len(maps.file_classes or ())
    if not maps.reduce_zero or not last or not maps.counts[0] or _occurs(maps, last):
        return
    others = [read(source) for source in _others(maps.source, cfg)]
    if any(_occurs(other, last) for other in others if other is not None):
        return
    # A few images, or those of a public data set, may lack its last class; own data to train on should not.
    own = not (getattr(maps.source.cls, 'METAINFO', None) or {}).get('classes')
    trained_on = maps.source.split == 'train' or any(other and other.source.split == 'train' for other in others)
    if not (maps.counts[:last].all() or (own and trained_on)) or not maps.complete:
        return
    first, final = maps.file_classes[0], maps.file_classes[-1]
    raise DataError(
        f'{maps.source.key}: reduce_zero_label=True takes 0 of the label maps for unlabelled, 1 for {first!r} and '
        f'{last} for {final!r}, but the maps hold {_range(np.flatnonzero(maps.counts[:IGNORED]))} ({maps.seen}): if 0 '
        f'is the class {first!r}, which would be lost, set --cfg-options {zero_label_options(cfg, False)} and if 0 '
        f'does stand for unlabelled, no map has {final!r}, so take it out of metainfo.classes and of num_classes'
    )


def _occurs(maps: LabelMaps, value: int) -> bool:
    """Say whether a value occurs in any map; where it was not among those looked at, all of them are."""
    if not maps.counts[value] and not maps.complete:
        maps.look(len(maps.pairs), _MAX_SECONDS)
    return bool(maps.counts[value])


def _others(source: DataSource, cfg: dict) -> Iterator[DataSource]:
    """Yield the other data sets of a config that number their classes the same way."""
    for split in ('train', 'val', 'test'):
        for other in find_sources(cfg, split):
            same = other.option('metainfo') == source.option('metainfo') and other.cls is source.cls
            if same and other.key != source.key:
                yield other


def _places(source: DataSource) -> Iterator[tuple[str, bool | None]]:
    """Yield (key, what it says) of a data set and its transforms that load maps; None follows the data set."""
    if source.option('reduce_zero_label') is None:
        return
    yield source.key, bool(source.option('reduce_zero_label'))
    for key, transform in source.keyed_transforms():
        if type_name(transform) == 'LoadAnnotations':
            said = transform.get('reduce_zero_label')
            yield key, None if said is None else bool(said)


def _range(values: np.ndarray) -> str:
    """Return `values 0 to 5` or `values 0, 2, 7`."""
    numbers = values.tolist()
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f'values {numbers[0]} to {numbers[-1]}'
    return f'values {listed(numbers)}'
