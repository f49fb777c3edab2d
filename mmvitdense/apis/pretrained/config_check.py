"""A config from elsewhere: nothing in it may run code, import modules of others, or name what is not known here.

mmengine builds whatever `type` names. A name that no registry has is imported as a path, so that
`type='subprocess.Popen'` would start a program; mmcv's NMS evaluates its type as an expression. So each type has to be
registered by a library that is known here, or by code of yours that was imported before, or to be one of the few names
that mmcv looks up by itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from typing import Any

from mmvitdense.registry import MODELS

from .layout import PretrainedError

SCOPES = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmvitdense')
"""Packages whose modules a config may import, and whose classes it may name."""
_PARTS_OF_MMENGINE = ('dataset', 'evaluator', 'hooks', 'model', 'optim', 'runner', 'visualization')
_LOOKED_UP_BY_MMCV = {
    *('nms', 'soft_nms', 'nms_match', 'nms_quadri', 'nms_rotated'),
    *('RoIAlign', 'RoIPool', 'DeformRoIPool', 'DeformRoIPoolPack', 'ModulatedDeformRoIPoolPack', 'PrRoIPool'),
    *('SimpleRoIAlign', 'RoIAlignRotated', 'RiRoIAlignRotated', 'PSRoIPool'),
}
"""Functions and layers of `mmcv.ops` that configs name without a registry."""
_RUN_TEXT = ('RFSearchHook', 'CameraMotionCompensation')
"""Classes that evaluate options as expressions of Python."""
_TYPES = ('type', 'constructor', 'runner_type')
_CONFIG_FILE = re.compile(r'\.(py|ya?ml|json)$')


def check_config(config: dict[str, Any]) -> None:
    """Import the libraries of a config, and refuse one that could run more than they have.

    Raises:
        PretrainedError: The message names the place.
    """
    scope = config.get('default_scope')
    if scope not in SCOPES:
        raise PretrainedError(f'config.json: default_scope is {scope!r}; expected mmdet or mmseg.')
    _import_modules(config.get('custom_imports') or {})
    known = _Registered(scope)
    for place, name, own_scope in _types(config, 'config', None):
        if not known.has(name, own_scope):
            raise PretrainedError(
                f'config.json: {place} is {str(name)[:80]!r}, which {", ".join(SCOPES[2:])} do not have: import the '
                'module that registers it before, if it is code that you trust.'
            )
        if name.rpartition('.')[2] in _RUN_TEXT:
            raise PretrainedError(f'config.json: {place} is {name!r}, which runs text of a config as a program.')
    for place, text in _texts(config.get('model'), 'config.model'):
        if _CONFIG_FILE.search(text):
            raise PretrainedError(
                f'config.json: {place} names a config file ({text[:80]!r}), and opening one could run what is in it: a '
                'model that stands alone needs no other file.'
            )


def known_imports(custom_imports: dict[str, Any]) -> list[str]:
    """The modules that a config imports and that belong to the libraries known here."""
    return [name for name in _imports(custom_imports) if name.partition('.')[0] in SCOPES]


def _imports(custom_imports: Any) -> list[str]:
    names = custom_imports.get('imports') if isinstance(custom_imports, dict) else custom_imports
    names = [names] if isinstance(names, str) else list(names or [])
    if not all(isinstance(name, str) and re.fullmatch(r'\w+(\.\w+)*', name) for name in names):
        raise PretrainedError(f'config.json: custom_imports are {str(names)[:80]}; expected names of modules.')
    return names


def _import_modules(custom_imports: Any) -> None:
    for name in _imports(custom_imports):
        if name in sys.modules:
            continue
        if name.partition('.')[0] not in SCOPES:
            raise PretrainedError(
                f'config.json: custom_imports names the module {name!r}; only those of {", ".join(SCOPES)} are '
                'imported for a model from elsewhere: import it yourself before, if it is code that you trust.'
            )
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise PretrainedError(
                f'config.json: the module {name!r} cannot be imported ({error}): install the versions of the libraries '
                'that config.json names.'
            ) from error


def _types(value: Any, place: str, scope: str | None) -> Iterator[tuple[str, Any, str | None]]:
    """All (place, name, scope) of classes that a config names."""
    if isinstance(value, dict):
        scope = value.get('_scope_', scope)
        for key, item in value.items():
            if key in _TYPES and not isinstance(item, (dict, list, tuple, type(None))):
                yield f'{place}.{key}', item, scope
            else:
                yield from _types(item, f'{place}.{key}', scope)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _types(item, f'{place}.{number}', scope)


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f'{place}.{key}')
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _texts(item, f'{place}.{number}')
    elif isinstance(value, str):
        yield place, value


class _Registered:
    """The names that the registries of the libraries have, found without importing what is named."""

    def __init__(self, default_scope: str):
        self._default = default_scope
        for part in _PARTS_OF_MMENGINE:
            importlib.import_module(f'mmengine.{part}')

    def has(self, name: Any, scope: Any) -> bool:
        if not isinstance(name, str) or not re.fullmatch(r'(\w+\.)?\w+', name):
            return False
        given, _, short = name.rpartition('.')
        scope = given or scope or self._default
        if not isinstance(scope, str) or (scope not in SCOPES and scope not in _scopes_of_imported()):
            return False
        everywhere = not given and (short in _LOOKED_UP_BY_MMCV or _is_registered(short, 'mmengine'))
        if not (everywhere or _is_registered(short, scope)):
            return False
        # In the place of another kind (a hook as a model) the name is imported as a module, if there is one.
        return importlib.util.find_spec(short) is None


def _is_registered(name: str, scope: str) -> bool:
    if scope == 'mmvitdense':
        MODELS.import_for(name)
    elif all(importlib.util.find_spec(module) for module in (scope, f'{scope}.registry')):
        importlib.import_module(f'{scope}.registry')
    return any(name in registry.module_dict for registry in _registries(scope))


def _registries(scope: str) -> Iterator[Any]:
    for root in _roots():
        registry = root if scope == 'mmengine' else root.children.get(scope)
        if registry is not None:
            registry.import_from_location()
            yield registry


def _roots() -> list[Any]:
    import mmengine.registry
    from mmengine.registry import Registry

    return [value for value in vars(mmengine.registry).values() if isinstance(value, Registry)]


def _scopes_of_imported() -> set[str]:
    """Those of libraries that were imported before by whoever runs this."""
    return {scope for root in _roots() for scope in root.children}
