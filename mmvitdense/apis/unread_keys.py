"""Keys of `train_cfg` and `test_cfg` of a model, which its code reads by name or passes over."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from .build_errors import nearest, parts_below
from .errors import InputError

_OTHERS = ('torch', 'torchvision', 'mmengine', 'builtins', 'timm', 'transformers')
"""Libraries whose modules read no config of a model."""
_READ = re.compile(r"""cfg(?:\.\w+)*\.(\w+)|\.(?:get|pop|setdefault)\(\s*['"](\w+)['"]|\[['"](\w+)['"]\]""")
_WORD = re.compile(r'\w+')
_CFGS = ('train_cfg', 'test_cfg')
_MISTYPED = 0.75


def refuse_unread_keys(model: nn.Module, settings: Any) -> None:
    """Refuse a key of a `train_cfg` or `test_cfg` that is nearly one that the model reads, such as `score_th`.

    A key is read if its name stands anywhere in the files that define the classes of the model, their bases and what
    these files import from the same library: so a key that some code reads is never refused.

    Args:
        model: The model.
        settings: Its settings, which stand at `model` in the config.

    Raises:
        InputError: There is such a key.
    """
    keys = [(f'{path}.{key}', key) for path, part in _parts(settings) for key in part]
    if not keys:
        return
    modules = _modules({type(module) for module in model.modules()})
    words = frozenset().union(*map(_words, modules))
    unread = [(path, key) for path, key in keys if not words.issuperset(_WORD.findall(str(key)))]
    if not unread:
        return
    read = frozenset().union(*map(_read, modules))
    for path, key in unread:
        if hint := nearest(str(key), read, _MISTYPED):
            raise InputError(f'{path}: nothing in the model reads such a key{hint}')


def refuse_unread_rules(settings: Any) -> None:
    """Refuse a key of `optim_wrapper.paramwise_cfg` that the constructor of the optimizer does not read.

    Raises:
        InputError: There is such a key.
    """
    rules = settings.get('paramwise_cfg')
    if not isinstance(rules, dict):
        return
    kind = settings.get('constructor', 'DefaultOptimWrapperConstructor')
    kind = OPTIM_WRAPPER_CONSTRUCTORS.get(kind) if isinstance(kind, str) else kind
    modules = {base.__module__ for base in inspect.getmro(kind)} if inspect.isclass(kind) else set()
    text = '\n'.join(map(_text, sorted(modules)))
    keys = [('optim_wrapper.paramwise_cfg', key) for key in rules]
    named = rules.get('custom_keys')
    for name, rule in named.items() if isinstance(named, dict) else ():
        if not isinstance(rule, dict):
            raise InputError(f'optim_wrapper.paramwise_cfg.custom_keys.{name}: expected a dict, got {rule!r}.')
        keys += [(f'optim_wrapper.paramwise_cfg.custom_keys.{name}', key) for key in rule]
    for place, key in keys if text else ():
        if not re.search(rf"""['"]{re.escape(str(key))}['"]""", text):
            known = frozenset().union(*map(_read, modules))
            raise InputError(f'{place}.{key}: {kind.__name__} reads no such key{nearest(str(key), known) or "."}')


def _parts(settings: Any) -> Iterator[tuple[str, dict]]:
    """(place, dict) of all in `train_cfg` and `test_cfg`, but for what classes are built from."""
    for path, part in parts_below(settings, 'model'):
        if isinstance(part, dict):
            for name in _CFGS:
                yield from _plain_dicts(part.get(name), f'{path}.{name}') if name in part else ()


def _plain_dicts(node: Any, path: str) -> Iterator[tuple[str, dict]]:
    if isinstance(node, dict) and 'type' not in node:
        yield path, node
        for name, child in node.items():
            yield from _plain_dicts(child, f'{path}.{name}')
    elif isinstance(node, (list, tuple)):
        for number, child in enumerate(node):
            yield from _plain_dicts(child, f'{path}.{number}')


def _modules(kinds: set[type]) -> set[str]:
    """Names of the files that the classes of a model, or what they import, are defined in."""
    classes = {base for kind in kinds for base in kind.__mro__}
    names = {kind.__module__ for kind in classes if kind.__module__.partition('.')[0] not in _OTHERS}
    imported = {
        getattr(value, '__module__', None)
        for name in names & sys.modules.keys()
        for value in vars(sys.modules[name]).values()
        if inspect.isfunction(value) or inspect.isclass(value)
    }
    return names | {name for name in imported if name and name.partition('.')[0] not in _OTHERS}


@functools.cache
def _words(module: str) -> frozenset[str]:
    """All words in the text of a module: a look-up for each key, not a search through megabytes."""
    return frozenset(_WORD.findall(_text(module)))


@functools.cache
def _read(module: str) -> frozenset[str]:
    """Names of what a module reads from dicts and configs."""
    return frozenset(name for found in _READ.findall(_text(module)) for name in found if name)


def _text(module: str) -> str:
    try:
        return inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):  # no file of Python, such as a module written in a shell
        return ''
