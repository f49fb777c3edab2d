"""A config as JSON and back, exactly: JSON has no tuples, infinities and keys that are numbers."""

from __future__ import annotations

import math
from typing import Any

from .layout import PretrainedError

_TUPLE, _FLOAT, _ITEMS = '__tuple__', '__float__', '__items__'
_FLOATS = {'nan': math.nan, 'inf': math.inf, '-inf': -math.inf}


def to_data(value: Any, place: str = 'config') -> Any:
    """What JSON can hold of a value: `{"__tuple__": [...]}`, `{"__float__": "inf"}`, `{"__items__": [[key, value]]}`.

    Raises:
        PretrainedError: It holds something else than dicts, lists, tuples, numbers, text, True, False and None.
    """
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value) and not {_TUPLE, _FLOAT, _ITEMS} & set(value):
            return {key: to_data(item, f'{place}.{key}') for key, item in value.items()}
        return {_ITEMS: [[to_data(key, place), to_data(item, f'{place}.{key}')] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [to_data(item, f'{place}.{number}') for number, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if type(value) is float and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise PretrainedError(
        f'{place} is a {type(value).__name__}, which a file cannot hold: expected numbers, text, lists and dicts.'
    )


def from_data(data: Any) -> Any:
    """The value that `to_data` was given.

    Raises:
        PretrainedError: Nothing gives such data.
    """
    if isinstance(data, list):
        return [from_data(item) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1 or not {_TUPLE, _FLOAT, _ITEMS} & set(data):
        return {key: from_data(item) for key, item in data.items()}
    ((kind, content),) = data.items()
    try:
        if kind == _TUPLE:
            return tuple(from_data(item) for item in _list(content))
        if kind == _FLOAT:
            return _FLOATS[content]
        return {from_data(key): from_data(item) for key, item in _list(content)}
    except (TypeError, ValueError, KeyError) as error:
        raise PretrainedError(
            f'config.json holds {kind} with {str(content)[:60]!r}: copy or fetch it again.'
        ) from error


def _list(content: Any) -> list:
    if not isinstance(content, list):
        raise TypeError
    return content
