"""Texts where the class that a config names takes a number or a flag, which many a class finds out late or never."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from .build_errors import parts_below, registries, shown
from .config import run_fields
from .errors import InputError

_SCALARS = {bool: 'True or False', int: 'a whole number', float: 'a number'}


def check_kinds(cfg: Any) -> None:
    """Compare the arguments of all classes of a run with their type hints and defaults.

    Only texts are refused, and broken numbers where a whole one is meant: hints of other libraries are loose. Classes
    are known once they were looked up, so this follows the building of a run.

    Raises:
        InputError: An argument is a text where a number or a flag is expected.
    """
    for field in sorted(run_fields() & set(cfg)):
        for place, part in parts_below(cfg[field], field):
            if isinstance(part, dict) and 'type' in part:
                _check(place, part, _classes(part['type'], cfg.get('default_scope')))


def _check(place: str, settings: dict, classes: list[type]) -> None:
    if len(classes) != 1:  # unknown, or one name for several things
        return
    for name, kinds, definer in _scalars(classes[0]):
        value = settings.get(name)
        broken = isinstance(value, float) and not value.is_integer() and kinds == (int,)
        # Hints of mmdet and mmseg are looser: a share is called an `int` in places.
        if (broken and definer.startswith('mmengine.')) or isinstance(value, str):
            expected = ' or '.join(_SCALARS[kind] for kind in kinds)
            raise InputError(f'{place}.{name}: {classes[0].__name__} expects {expected}, got {shown(value)}.')


def _classes(kind: Any, default: str | None) -> list[type]:
    """The classes that a type may mean."""
    if not isinstance(kind, str):
        return [kind] if inspect.isclass(kind) else []
    scope, _, bare = kind.rpartition('.')
    found: dict[str, set[type]] = {}
    for registry in registries():
        if inspect.isclass(one := registry.module_dict.get(bare)):
            found.setdefault(registry.scope, set()).add(one)
    scopes = [scope] if scope else [default, 'mmengine']
    for one in scopes:
        if one in found:
            return list(found[one])
    return []


def _scalars(cls: type) -> list[tuple[str, tuple[type, ...], str]]:
    """(argument, kinds, module) of what takes numbers and flags alone, by its hint or, without one, by its default."""
    found: dict[str, tuple[tuple[type, ...], str]] = {}
    for name, parameter, module in _parameters(cls):
        hint, default = parameter.annotation, parameter.default
        if hint is parameter.empty:
            kinds = (type(default),) if type(default) in (bool, float) else ()
        else:
            kinds = _kinds(hint, getattr(sys.modules.get(module), '__dict__', {}))
        found.setdefault(name, (kinds, module))
    return [(name, kinds, module) for name, (kinds, module) in found.items() if kinds]


def _parameters(cls: type) -> Iterator[tuple[str, inspect.Parameter, str]]:
    """(name, parameter, module of the function), along the bases that **kwargs hand them on to."""
    for base in inspect.getmro(cls):
        init = vars(base).get('__init__')
        if init is None or base is object:
            continue
        try:
            parameters = inspect.signature(init).parameters
        except (TypeError, ValueError):  # built into Python
            return
        for name, parameter in parameters.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                yield name, parameter, base.__module__
        if all(parameter.kind != parameter.VAR_KEYWORD for parameter in parameters.values()):
            return


def _kinds(hint: Any, scope: dict) -> tuple[type, ...]:
    """The kinds of a hint that allows numbers, flags and None alone, else none."""
    if isinstance(hint, str):
        try:
            hint = eval(hint, scope)
        except Exception:  # a hint may be any text
            return ()
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    parts = tuple(part for part in parts if part is not type(None))
    return parts if all(isinstance(part, type) and part in _SCALARS for part in parts) else ()
