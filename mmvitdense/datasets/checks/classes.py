"""The class names of a data set: what metainfo says, and what the annotation file says."""

from __future__ import annotations

import os.path as osp
import re
from collections import Counter
from collections.abc import Sequence

from .messages import DataError, listed
from .source import DataSource


def class_names(source: DataSource) -> tuple[str, ...] | None:
    """Return the classes that the data set will use, or None where neither metainfo nor the class names any.

    Raises:
        DataError: If metainfo is written in a way that OpenMMLab takes for something else.
    """
    metainfo = source.option('metainfo') or {}
    for name in metainfo:
        if name != 'classes' and re.sub('[^a-z]', '', name.lower()) in ('class', 'classes', 'classname', 'classnames'):
            raise DataError(
                f'{source.key}.metainfo has the key {name!r}, which nothing reads: the class names are called '
                f"'classes', so write metainfo=dict(classes={metainfo[name]!r})."
            )
    names = metainfo.get('classes', (getattr(source.cls, 'METAINFO', None) or {}).get('classes'))
    if isinstance(names, str):
        names = _names_in_file(source, names)
    if names is None:
        return None
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f'{source.key}.metainfo.classes names {listed(repeated)} more than once: name each class once.')
    return tuple(names)


def check_categories(
    source: DataSource, classes: Sequence[str], categories: Sequence[str], annotated: Sequence[str], path: str
) -> None:
    """Raise unless every class is a category of the annotation file and both have the same order.

    mmdet numbers the classes in the order of the file (`CocoDataset.load_data_list`), whatever the order of metainfo:
    where they differ, objects are learnt and drawn under the name of another class.

    Args:
        source: The data set.
        classes: Class names of the data set.
        categories: Names of the categories of the file, in the order of the file.
        annotated: Those of them that have annotations, which are the ones to suggest.
        path: The file, for the message.
    """
    given = 'metainfo' in source.cfg and 'classes' in source.cfg['metainfo']
    said = f'{source.key}.metainfo.classes'
    if not given:
        said = f'{source.key} has no metainfo.classes, and the default of its type, {source.cls.__name__},'
    known = set(categories)
    if absent := [name for name in classes if name not in known]:
        if categories and known < set(classes):
            raise DataError(
                f'{said} names {listed(absent)}, which {path} does not have: its categories are {listed(categories)}; '
                "if the data just has no such objects, add them to its 'categories' all the same, in the order of the "
                'other splits, as mmdet numbers the classes by this list.'
            )
        meant = _meant(classes, annotated or categories)
        raise DataError(
            f'{said} names {listed(absent)}, which {path} does not have: its categories are {listed(categories)}; '
            f'write metainfo=dict(classes={_as_tuple(meant)}) for this data set.'
        )
    used = [name for name in categories if name in set(classes)]
    if repeated := [name for name, count in Counter(used).items() if count > 1]:
        raise DataError(
            f'{path} has more than one category named {listed(repeated)}: merge them, or give them different names.'
        )
    if used != list(classes):
        raise DataError(
            f'{said} and {path} name the same classes in a different order, and mmdet numbers them in the order of the '
            f'file: write metainfo=dict(classes={_as_tuple(used)}), or where other splits have the order of metainfo, '
            "sort the 'categories' of this file like theirs."
        )


def _names_in_file(source: DataSource, names: str) -> list[str]:
    # mmengine reads a string as the name of a file with one class a line, and else takes its letters for classes.
    if osp.isfile(names):
        with open(names, encoding='utf-8') as lines:
            return [line.rstrip('\n\r') for line in lines]
    parts = [part.strip() for part in names.split(',') if part.strip()]
    raise DataError(
        f'{source.key}.metainfo.classes is the text {names!r}, not a tuple of names: write '
        f'metainfo=dict(classes={_as_tuple(parts)}); a tuple of one name needs its comma.'
    )


def _meant(classes: Sequence[str], categories: Sequence[str]) -> list[str]:
    """Return the categories that the classes most likely mean: their near namesakes, or all of them."""
    meant = [[name for name in categories if _alike(name, wanted)] for wanted in classes]
    return [name for name in categories if not all(meant) or any(name in names for names in meant)]


def _alike(one: str, other: str) -> bool:
    """Say whether two names differ in case, spaces, punctuation and number at most."""
    one, other = (re.sub(r'[\W_]', '', str(name).lower()) for name in (one, other))
    return one == other or one in _plurals(other) or other in _plurals(one)


def _plurals(name: str) -> tuple[str, ...]:
    return (f'{name}s', f'{name}es', f'{name[:-1]}ies')


def _as_tuple(names: Sequence[str]) -> str:
    return repr(tuple(names))
