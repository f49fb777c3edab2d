"""Values of a COCO file that must be what the format says: nothing is made of a text what it is not.

NumPy reads '128' as a number and `bool('0')` is True, but mmdet and pycocotools fail at such values, or take another
meaning from them, in the middle of a run.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from .messages import DataError

_NUMBERS = {int, float}


def numbers(
    records: list[dict], key: str, name: str, path: str, length: int | None = None, least: float | None = None
) -> np.ndarray:
    """Return the numbers of a list of records as float64.

    Args:
        records: N records that all have the key.
        key: The key.
        name: The name of the list in the file, for the message.
        path: The file, for the message.
        length: How many numbers each record has in a list; None for one number that is no list.
        least: The smallest number allowed, if there is one.

    Returns:
        N or N x length.

    Raises:
        DataError: If there is anything else than finite numbers, with the first such record.
    """
    values = [record[key] for record in records]
    flat = values
    if length is not None:
        expected = 'must be four numbers (x, y, width, height) in pixels, such as [10, 20, 30.5, 40]'
        _require(records, key, name, path, expected, lambda value: isinstance(value, list) and len(value) == length)
        flat = list(chain.from_iterable(values))
    else:
        expected = 'must be a number of pixels' + (f', at least {least}' if least is not None else '')
    try:
        array = np.array(flat, dtype=np.float64) if set(map(type, flat)) <= _NUMBERS else None
    except OverflowError:
        array = None
    if array is None or not np.isfinite(array).all() or (least is not None and (array < least).any()):
        _require(records, key, name, path, expected, lambda value: _is_finite(value, least))
    return array if length is None else array.reshape(len(records), length)


def flags(records: list[dict], key: str, path: str) -> np.ndarray:
    """Return which annotations have a flag set, bool; those without the key have not."""
    values = [record.get(key, 0) for record in records]
    given = [record for record in records if key in record]
    _require(given, key, 'annotations', path, 'must be 0 or 1', _is_flag)
    return np.array([bool(value) for value in values], dtype=bool)


def check_ids(records: list[dict], key: str, name: str, path: str, text: bool = False) -> None:
    """Raise unless the ids are whole numbers, or texts where mmdet and pycocotools get along with them."""
    if not {type(record[key]) for record in records} <= ({int, str} if text else {int}):
        kinds = (int, str) if text else (int,)
        expected = 'must be a whole number' + (' or a text' if text else ' and not a text')
        _require(records, key, name, path, expected, lambda value: type(value) in kinds or _is_whole_float(value))


def check_texts(records: list[dict], key: str, name: str, path: str) -> None:
    """Raise unless each record has a text."""
    if not {type(record[key]) for record in records} <= {str}:
        _require(records, key, name, path, 'must be a text', lambda value: isinstance(value, str))


def _require(records: list[dict], key: str, name: str, path: str, expected: str, holds: Callable[[Any], bool]) -> None:
    """Raise with the first record for which `holds` is False, if there is one."""
    wrong = [index for index, record in enumerate(records) if not holds(record[key])]
    if not wrong:
        return
    first = records[wrong[0]]
    where = f'id {first["id"]!r}' if key != 'id' and 'id' in first else f'{name}[{wrong[0]}]'
    file_name = f', {first["file_name"]}' if key != 'file_name' and 'file_name' in first else ''
    raise DataError(
        f'{path}: {key!r} {expected}, and is {_short(first[key])} in {name} ({where}{file_name}); '
        f'{len(wrong)} of {len(records)} are wrong: correct them, numbers without quotes.'
    )


def _is_flag(value: Any) -> bool:
    return type(value) in (int, bool, float) and value in (0, 1)


def _is_finite(value: Any, least: float | None) -> bool:
    if isinstance(value, list):
        return all(_is_finite(item, least) for item in value)
    if type(value) not in _NUMBERS:
        return False
    try:
        return bool(np.isfinite(float(value))) and (least is None or value >= least)
    except OverflowError:
        return False


def _is_whole_float(value: Any) -> bool:
    # Some writers make every number a float; 3.0 is found where 3 is looked for.
    return isinstance(value, float) and value.is_integer()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
