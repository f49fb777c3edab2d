"""Folders of images and label maps: numbers, palettes, or colours with a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..files import SPLITS, Files
from ..found import Found, Split
from ..images import short_names, sizes_of
from ..label_table import LabelTable
from ..lists import listed_splits, split_by_list
from ..map_values import Census, census_of, is_lossy, work_out_table
from ..pairs import find_pairs
from ..problems import Problems
from .contract import DataFormat, Options

WorkOut = Callable[[Iterable[Census], Problems, list[str]], LabelTable | None]


def matches(files: Files) -> list[str]:
    """Label maps that belong to an image."""
    return [label_map for _, label_map in find_pairs(files)[0]]


def read(files: Files, paths: list[str], options: Options) -> Found:
    """Read pairs of images and maps; values are worked out from the maps and the names of classes."""
    pairs, bare, strays = find_pairs(files)
    return read_pairs(
        files,
        'images and label maps',
        pairs,
        bare,
        strays,
        lambda censuses, problems, notes: work_out_table(censuses, files.all, options, problems, notes),
    )


def read_pairs(
    files: Files,
    name: str,
    pairs: Sequence[tuple[str, str]],
    bare: Sequence[str],
    strays: Sequence[str],
    work_out: WorkOut,
) -> Found:
    """Read images with their maps.

    Args:
        files: The data.
        name: Of the format, in words.
        pairs: (image, map).
        bare, strays: Images without a map and maps without an image.
        work_out: Makes the table of values of what occurs.
    """
    problems, notes = Problems(), []
    censuses = census_of([label_map for _, label_map in pairs])
    sizes = sizes_of([path for pair in pairs for path in pair] + list(bare))
    good: dict[str, list[tuple[str, str]]] = {}
    listed = listed_splits(files)
    for image, label_map in pairs:
        if isinstance(sizes[image], str):
            problems.add('unreadable image', f'{image}: {sizes[image]}')
        elif isinstance(censuses[label_map], str):
            problems.add('unreadable label map', censuses[label_map])
        elif sizes[image] != sizes[label_map]:
            shapes = '{}x{} and {}x{}'.format(*sizes[image], *sizes[label_map])
            problems.add('other size', f'{image} ({shapes})')
        else:
            split = split_by_list(listed, image) or files.split(image) or files.split(label_map)
            good.setdefault(split, []).append((image, label_map))
    _note_bare(files, good, bare, strays, problems, notes)
    whole = [census for census in censuses.values() if not isinstance(census, str)]
    if any(is_lossy(label_map) for _, label_map in pairs):
        problems.stop(
            f'Label maps are JPEG files, {next(path for _, path in pairs if is_lossy(path))} for one, which change the '
            'numbers of classes: write them again as PNG.'
        )
        whole = []
    table = work_out(whole, problems, notes) if whole else None
    splits = [_split(files, split, good[split], sizes, censuses) for split in (*SPLITS, '') if good.get(split)]
    table = table or LabelTable(())
    return Found(name, files.name, table.names, splits, problems, notes, table=table)


def _split(files: Files, name: str, pairs: list, sizes: dict, censuses: dict) -> Split:
    import numpy as np

    images = [image for image, _ in pairs]
    return Split(
        name,
        images,
        short_names(images, files),
        f'the {name} split' if name else 'the data',
        maps=[label_map for _, label_map in pairs],
        censuses=[censuses[label_map] for _, label_map in pairs],
        sizes=np.array([sizes[image] for image in images], dtype=np.int64).reshape(-1, 2),
    )


def _note_bare(
    files: Files, good: dict, bare: Sequence[str], strays: Sequence[str], problems: Problems, notes: list[str]
) -> None:
    """Images without a map are faults in splits that have maps; a whole split of them is merely unlabelled."""
    unlabelled: dict[str, int] = {}
    for image in bare:
        split = files.split(image)
        if split in good or not good:
            problems.add('missing label map', image)
        else:
            unlabelled[split] = unlabelled.get(split, 0) + 1
    for split, count in unlabelled.items():
        notes.append(
            f'{count} images{f" of the split {split}" if split else ""} have no label maps: they are left out.'
        )
    for label_map in strays:
        problems.add('missing image', f'that of {label_map}')


FORMAT = DataFormat('masks', 'images and label maps', matches, read, ('semantic',))
