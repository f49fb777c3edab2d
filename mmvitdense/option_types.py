"""The type hints of a constructor as the check of its options: kinds and ranges, before anything is made of them.

A hint says what an option may be: `int` a whole number and no bool, `float` a finite number, `bool` True or
False, `dict` a dict and no text, `Sequence[int]` a list and no text. A range stands in the hint too, as one of the
names below or as `Annotated[float, Range(0, 1)]`. Hints that say more than this module knows accept anything.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import numpy as np

_LONGEST = 200


class Range(NamedTuple):
    """Numbers from `least` to `most`; `open_start` and `open_end` leave these two out."""

    least: float = -math.inf
    most: float = math.inf
    open_start: bool = False
    open_end: bool = False

    def __contains__(self, value: object) -> bool:
        above = value > self.least if self.open_start else value >= self.least
        return above and (value < self.most if self.open_end else value <= self.most)

    def __str__(self) -> str:
        start = f'above {self.least:g}' if self.open_start else f'of at least {self.least:g}'
        if self.most == math.inf:
            return start
        return f'{start} and {"below" if self.open_end else "at most"} {self.most:g}'


Count = Annotated[int, Range(1)]
"""How many there are of what there must be."""
CountOrZero = Annotated[int, Range(0)]
"""How many there are, 0 included."""
Positive = Annotated[float, Range(0, open_start=True)]
Factor = Annotated[float, Range(1)]
"""The largest factor by which something is stretched; what it is shrunk by is as large."""
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
"""A part of a whole, the whole included."""
DropRate = Annotated[float, Range(0, 1, open_end=True)]
"""A probability with which something is dropped; what is always dropped is never trained."""


def options_checked(init: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor refuse options that its type hints exclude.

    Raises:
        ValueError: From the constructor: an option is of another kind, or out of its range.
    """

    @wraps(init)
    def checked(self: object, *args: object, **options: object) -> None:
        check_options(init, self, *args, **options)
        init(self, *args, **options)

    return checked


def check_options(function: Callable[..., Any], *args: object, **options: object) -> None:
    """Check arguments of a function by its type hints.

    Raises:
        ValueError: One is of another kind, or out of its range.
    """
    signature, hints = _hints(function)
    try:
        bound = signature.bind(*args, **options).arguments
    except TypeError:  # the call itself says best what is missing or too much
        return
    for name, value in bound.items():
        if name in hints and not _accepts(hints[name], value):
            raise ValueError(f'{name} must be {_described(hints[name])}, got {_shown(value)}')


@cache
def _hints(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """The signature, and the hint of each argument that has one which can be evaluated."""
    signature = inspect.signature(function)
    scope = inspect.unwrap(function).__globals__
    hints = {}
    for name, parameter in signature.parameters.items():
        hint = parameter.annotation
        if hint is parameter.empty or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        try:
            hints[name] = eval(hint, scope) if isinstance(hint, str) else hint
        except (NameError, AttributeError, TypeError):  # imported for type checkers alone
            continue
    return signature, hints


def _accepts(hint: Any, value: object) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_accepts(each, value) for each in inner)
    if origin is Annotated:
        ranges = [part for part in inner[1:] if isinstance(part, Range)]
        return _accepts(inner[0], value) and all(value in part for part in ranges)
    if origin is Literal:
        return value in inner
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    kind = origin or hint
    if kind in (Sequence, list, tuple):
        return _accepts_sequence(kind, inner, value)
    if kind in (dict, Mapping):
        return isinstance(value, Mapping)
    if getattr(kind, '_is_protocol', False):
        # What it has to be able to do, its holder says best.
        return not isinstance(value, Mapping | Sequence | Real | None)
    return isinstance(value, kind) if isinstance(kind, type) and kind is not object else True


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f'a {type(value).__name__}'


def _accepts_sequence(kind: Any, inner: tuple, value: object) -> bool:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        return False
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(_accepts, inner, value))
    return not inner or all(_accepts(inner[0], each) for each in value)


def _described(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return ' or '.join(dict.fromkeys(map(_described, inner)))
    if origin is Annotated:
        return ' '.join([_described(inner[0]), *(str(part) for part in inner[1:] if isinstance(part, Range))])
    if origin is Literal:
        return ' or '.join(map(repr, inner))
    if hint is None or hint is type(None):
        return 'None'
    kind = origin or hint
    if kind in (Sequence, list, tuple):
        return 'a list' if not inner or inner[0] is Any else f'a list of {_several(inner[0])}'
    if kind in (dict, Mapping):
        return 'a dict'
    names = {bool: 'True or False', int: 'a whole number', float: 'a number', str: 'a text'}
    return names.get(kind) or f'a {getattr(kind, "__name__", kind)}'


def _several(hint: Any) -> str:
    inner = get_origin(hint) is Annotated
    kind = get_args(hint)[0] if inner else hint
    names = {int: 'whole numbers', float: 'numbers', str: 'texts', bool: 'True or False'}
    one = _described(hint)
    known = names.get(kind) if isinstance(kind, type) else None
    if known is None:
        return {'a dict': 'dicts'}.get(one) or (one.replace('a list', 'lists', 1) if one.startswith('a list') else one)
    return f'{known} {one.partition("number ")[2]}'.rstrip() if inner else known
