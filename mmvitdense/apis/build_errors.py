"""Exceptions of a build, as one sentence with the place in the config, what was given and the nearest valid name."""

from __future__ import annotations

import difflib
import inspect
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mmengine.registry import Registry

from mmvitdense.checkpoints import CheckpointError
from mmvitdense.datasets.checks import DataError
from mmvitdense.downloads import DownloadError

from .errors import InputError

_BUILDERS = ('build_from_cfg', 'build_scheduler_from_cfg', 'build_runner_from_cfg')
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_CALLED = re.compile(r'^([\w.]+)\(\) (?:got|missing)')
_MISSING = re.compile(r'missing \d+ required (?:positional|keyword-only) arguments?: (.+)')
_NOT_REGISTERED = re.compile(r'^(\S+) is not in the .* registry')
_LISTED = 12
_LONGEST = 400
"""Characters of an exception's own message; some of OpenMMLab hold the whole config."""


class _Build(NamedTuple):
    """One object that was being built when an exception was raised."""

    place: str
    settings: Any
    cls: Any
    arguments: dict[str, Any]
    registry: Registry | None


@contextmanager
def building(key: str, settings: Any) -> Iterator[None]:
    """Turn what goes wrong inside into an `InputError` that names the place below `key` in the config.

    Args:
        key: Where the settings stand in the config, such as 'model'.
        settings: The settings.
    """
    try:
        yield
    except (InputError, DataError, CheckpointError, DownloadError):
        raise
    except Exception as error:
        raise InputError(explain(error, key, settings)) from error


def explain(error: Exception, key: str, settings: Any) -> str:
    """One sentence for an exception that was raised while `settings`, which stand at `key`, were built."""
    builds = list(_builds(error, key, settings))
    innermost = builds[-1]
    message = message_of(error)
    if (found := _NOT_REGISTERED.search(message)) and isinstance(error, KeyError):
        return _unknown_type(innermost, found[1])
    if isinstance(error, TypeError):
        if found := _UNEXPECTED.search(message):
            return _unexpected(error, builds, found[1])
        if found := _MISSING.search(message):
            return f'{innermost.place}: {_name(innermost)} needs {found[1]}, which the config does not give.'
    if 'must contain the key "type"' in message or (isinstance(error, KeyError) and error.args == ('type',)):
        return f'{innermost.place}: {shown(_without_type(innermost.settings))} has no type; add type=, a class.'
    for build in reversed(builds):
        if said := _wrong_value(build, message):
            return said
    if unknown := _unknown_below(innermost, anyhow='callable' in message or 'None' in message):
        return unknown
    if isinstance(error, KeyError) and _is_name(error):
        return _missing_key(innermost, error.args[0])
    return f'{innermost.place}: {_name(innermost)} cannot be built ({type(error).__name__}: {message}).'


def nearest(name: str, candidates: Any, cutoff: float = 0.6) -> str:
    """'; did you mean X?', or nothing if no candidate is near."""
    close = difflib.get_close_matches(name, sorted(candidates), n=1, cutoff=cutoff)
    return f'; did you mean {close[0]!r}?' if close else ''


def shown(value: Any, limit: int = 60) -> str:
    """A value in a message."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= limit else f'{text[: limit - 4]} ...'


def message_of(error: Exception) -> str:
    """The message of an exception in one line that is not too long."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = ' '.join(str(text).split()).rstrip('.')
    if not text and error.__traceback__ is not None:  # of an assertion without a message: the assertion
        text = traceback.extract_tb(error.__traceback__)[-1].line or ''
    return text if len(text) <= _LONGEST else f'{text[:_LONGEST]} ...'


def _builds(error: Exception, key: str, settings: Any) -> Iterator[_Build]:
    """What was being built, the outermost first, as the frames of the traceback tell."""
    build = _Build(key, settings, None, settings if isinstance(settings, dict) else {}, None)
    yield build
    for frame, _ in traceback.walk_tb(error.__traceback__):
        local = frame.f_locals
        if frame.f_code.co_name not in _BUILDERS or not isinstance(local.get('cfg'), dict):
            continue
        place, inner = _find(build.place, build.settings, local['cfg'])
        if inner is None:
            place, inner = _find(key, settings, local['cfg'])
        if inner is None:  # the code's own choice, such as a default loss: the config names what holds it
            continue
        arguments = local['args'] if isinstance(local.get('args'), dict) else local['cfg']
        build = _Build(place, inner, local.get('obj_cls'), arguments, local.get('registry'))
        yield build


def _find(place: str, node: Any, built: dict) -> tuple[str, Any]:
    """Where in `node` the settings stand that `built` was made from: copied since, and perhaps added to."""
    best, found = -1, (place, None)
    for path, candidate in _dicts_below(node, place):
        if candidate.get('type', built.get('type')) != built.get('type'):
            continue
        kept = sum(name in built and equal(value, built[name]) for name, value in candidate.items())
        lost = len(candidate) - kept
        if lost and 'type' not in candidate:
            continue
        if kept > lost and kept - lost > best:
            best, found = kept - lost, (path, candidate)
    return found


def parts_below(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(key, part) of every dict, list and tuple in settings, itself included; the key as --cfg-options writes it."""
    if isinstance(node, (dict, list, tuple)):
        yield path, node
        for name, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from parts_below(child, f'{path}.{name}')


def _dicts_below(node: Any, path: str) -> Iterator[tuple[str, dict]]:
    yield from ((key, part) for key, part in parts_below(node, path) if isinstance(part, dict))


def equal(one: Any, other: Any) -> bool:
    """Whether two settings are the same."""
    try:
        return one is other or bool(one == other)
    except Exception:  # arrays compare element by element
        return False


def _name(build: _Build) -> str:
    kind = build.cls or (build.settings.get('type') if isinstance(build.settings, dict) else None)
    return getattr(kind, '__name__', None) or (str(kind) if kind else 'it')


def _unexpected(error: Exception, builds: list[_Build], argument: str) -> str:
    build = next((build for build in reversed(builds) if argument in build.arguments), None)
    if build is not None:
        place, value = build.place, build.arguments[argument]
    else:
        below = _dicts_below(builds[0].settings, builds[0].place)
        place, value = next(((key, part[argument]) for key, part in below if argument in part), (None, None))
        if place is None:
            return f'{builds[-1].place}: {_name(builds[-1])} cannot be built ({message_of(error)}).'
    taker = (build.cls if build is not None else None) or _callee(error)
    taken = accepted(taker) if taker else set()
    hint = nearest(argument, taken)
    taken -= set(build.arguments if build is not None else ())
    if not hint and taken:
        listed = sorted(taken)
        more = ', ...' if len(listed) > _LISTED else ''
        hint = f'; besides those given it takes {", ".join(listed[:_LISTED])}{more}.'
    name = getattr(taker, '__name__', None) or 'its reader'
    return f'{place}.{argument}: {name} takes no {argument!r} (given {shown(value)}){hint or "."}'


def _callee(error: Exception) -> Any:
    """The class or function whose call raised a TypeError, looked up where it was called."""
    found = _CALLED.match(message_of(error))
    if found is None or error.__traceback__ is None:
        return None
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    owner, _, name = found[1].removesuffix('.__init__').rpartition('.')
    scopes = {**frame.f_globals, **frame.f_locals}
    if owner:
        return getattr(frame.f_locals.get('self'), name, None)
    return scopes.get(name)


def accepted(cls: Any) -> set[str]:
    """Names of the arguments of a class, along the bases that **kwargs hand them on to, or of a function."""
    functions = (
        [vars(base)['__init__'] for base in inspect.getmro(cls) if '__init__' in vars(base)]
        if (inspect.isclass(cls))
        else [cls]
    )
    names = set()
    for function in functions:
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # built into Python
            break
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {'self'}
        if all(p.kind != p.VAR_KEYWORD for p in parameters):
            break
    return names


def _unknown_type(build: _Build, kind: str) -> str:
    settings = build.settings if isinstance(build.settings, dict) else {}
    field = next((name for name, value in settings.items() if value == kind), 'type')
    return f'{build.place}.{field}: no class {kind!r} is registered{_registered_like(kind, build.registry)}'


def _registered_like(kind: str, registry: Registry | None) -> str:
    """The nearest name in a registry and its relatives, with its scope where another library has it."""
    scope, _, bare = kind.rpartition('.')
    names = registered_names(registry)
    own = registry.scope if registry is not None else None
    if scope and scope not in {place for places in names.values() for place in places}:
        return f'; nothing of a library {scope!r} is known: is it installed, and in custom_imports?'
    close = difflib.get_close_matches(bare, names, n=1, cutoff=0.6)
    if not close:
        return '; if it is yours, name the module that registers it in custom_imports.'
    places = names[close[0]]
    prefix = '' if own in places or 'mmengine' in places else f'{sorted(places)[0]}.'
    return f'; did you mean {prefix + close[0]!r}?'


def registered_names(registry: Registry | None = None) -> dict[str, set[str]]:
    """{name of a class: scopes that have it} of a registry with its parents and children, or of all registries."""
    names: dict[str, set[str]] = {}
    for one in registries(registry):
        for name in one.module_dict:
            names.setdefault(name, set()).add(one.scope)
    return names


def registries(registry: Registry | None = None) -> Iterator[Registry]:
    """A registry with its parents and children, or all registries."""
    import mmengine.registry as of_mmengine

    if registry is None:
        roots = [value for value in vars(of_mmengine).values() if isinstance(value, Registry)]
    else:
        while registry.parent is not None:
            registry = registry.parent
        roots = [registry]
    while roots:
        one = roots.pop()
        yield one
        roots += one.children.values()


def _unknown_below(build: _Build, anyhow: bool) -> str | None:
    """Of code that looks classes up by itself and does not say when there is none: the first unknown `type`.

    Args:
        build: What was being built.
        anyhow: Whether the exception is of the kind that a missing class leads to, so that no near name is needed.
    """
    known = None
    for place, settings in _dicts_below(build.settings, build.place):
        kind = settings.get('type')
        if not isinstance(kind, str):
            continue
        known = known or registered_names()
        bare = kind.rpartition('.')[2]
        if bare not in known and (close := nearest(bare, known, 0.7) or ('.' if anyhow else '')):
            return f'{place}.type: no class or function {kind!r} is registered{close}'
    return None


def _wrong_value(build: _Build, message: str) -> str | None:
    """Name the argument that an exception is about: text for a number, or a value that the message quotes."""
    defaults = _defaults(build.cls)
    given = build.settings if isinstance(build.settings, dict) else {}
    for name, value in given.items():
        expected = defaults.get(name)
        if isinstance(value, str) and expected in (int, float):
            return f'{build.place}.{name}: {_name(build)} expects a number, got {shown(value)}.'
    for name, value in given.items():
        if name != 'type' and isinstance(value, str) and value and repr(value) in message:
            return f'{build.place}.{name}: {_name(build)} cannot use {shown(value)} ({message}).'
    return None


def _defaults(cls: Any) -> dict[str, type]:
    """{argument: int or float} of a class where its annotation or its default says so."""
    if not inspect.isclass(cls):
        return {}
    found: dict[str, type] = {}
    kinds = {'int': int, 'float': float, int: int, float: float}
    for base in inspect.getmro(cls):
        if '__init__' not in vars(base) or base is object:
            continue
        try:
            parameters = inspect.signature(base.__init__).parameters
        except (TypeError, ValueError):
            continue
        for name, parameter in parameters.items():
            hinted = parameter.annotation
            kind = kinds.get(hinted) if isinstance(hinted, (str, type)) else None
            if kind is None and type(parameter.default) in (int, float):
                kind = type(parameter.default)
            if kind is not None:
                found.setdefault(name, kind)
    return found


def _without_type(settings: Any) -> Any:
    """The first of some settings, or of what is in them, that no class is named for."""
    parts = [part for _, part in _dicts_below(settings, '')]
    return next((dict(part) for part in parts if 'type' not in part), settings)


def _is_name(error: KeyError) -> bool:
    return bool(error.args) and isinstance(error.args[0], str) and error.args[0].isidentifier()


def _missing_key(build: _Build, name: str) -> str:
    given = list(build.settings) if isinstance(build.settings, dict) else []
    close = difflib.get_close_matches(name, given, n=1, cutoff=0.7)
    meant = f', which may be meant by {close[0]!r}' if close else ''
    return f'{build.place}: {_name(build)} needs {name!r}{meant}, and the config does not give it.'
