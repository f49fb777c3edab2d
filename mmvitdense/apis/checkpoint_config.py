"""The config that a checkpoint of a run holds, read without running it."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from typing import Any

from mmvitdense.checkpoints import CheckpointError

from .checkpoint import read_run_checkpoint

_OURS = ('mmvitdense', 'mmdet', 'mmseg', 'mmpretrain')


def config_of_checkpoint(path: str, cfg_options: dict[str, Any] | None = None) -> Any:
    """The config of the run that wrote a checkpoint.

    mmengine keeps it as the text of a program. Of this only literals are read, and what it names has to be registered
    in OpenMMLab's libraries or this package, so that a checkpoint of a stranger runs nothing of its own.

    Args:
        path: The checkpoint.
        cfg_options: {dotted key: value} merged into the config.

    Raises:
        CheckpointError: It holds none, or one that is more than a description of a model.
    """
    from mmengine.config import Config

    from .config import load_config

    text = read_run_checkpoint(path)['meta'].get('cfg')
    if not isinstance(text, str) or not text.strip():
        raise CheckpointError(f'{path} holds no config, as those of `mmvitdense train` do: give the config too.')
    try:
        content = dict(_assignments(ast.parse(text)))
    except (SyntaxError, ValueError, TypeError) as error:
        raise CheckpointError(
            f'{path}: its config cannot be read as plain values ({error}): give the config.'
        ) from error
    imports = (content.get('custom_imports') or {}).get('imports') or []
    foreign = [name for name in ([imports] if isinstance(imports, str) else imports) if name.split('.')[0] not in _OURS]
    if foreign:
        raise CheckpointError(
            f'{path}: its config imports {", ".join(foreign)}, which would be run: if you trust it, give the config.'
        )
    _import_libraries(content)
    if unknown := sorted(set(_types(content)) - _registered()):
        raise CheckpointError(
            f'{path}: its config names {", ".join(unknown[:3])}, which is registered nowhere: give the config.'
        )
    return load_config(Config(content, cfg_text=text, filename=str(path)), cfg_options)


def _assignments(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    for statement in tree.body:
        if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
            raise ValueError(f'line {statement.lineno} is no assignment')
        yield statement.targets[0].id, _value(statement.value)


def _value(node: ast.expr) -> Any:
    """A literal; `dict(a=1)` counts as one."""
    if isinstance(node, ast.Call):
        if not (isinstance(node.func, ast.Name) and node.func.id == 'dict') or node.args:
            raise ValueError(f'line {node.lineno} calls a function')
        return {part.arg: _value(part.value) for part in node.keywords if part.arg is not None}
    if isinstance(node, (ast.List, ast.Tuple)):
        return (list if isinstance(node, ast.List) else tuple)(_value(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Name) and node.id in ('inf', 'nan'):
        return float(node.id)
    return ast.literal_eval(node)


def _import_libraries(content: dict[str, Any]) -> None:
    """Let the libraries register what they have."""
    import mmvitdense.models  # noqa: F401

    from .build import enter_scope

    enter_scope(content)
    # A library is known to the registries of mmengine once its own are there.
    importlib.import_module(f'{content["default_scope"]}.registry')


def _types(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield node['type']
        for value in node.values():
            yield from _types(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _types(value)


def _registered() -> set[str]:
    """Every name that a registry knows, with and without its scope."""
    from mmengine import registry

    roots = [value for value in vars(registry).values() if isinstance(value, registry.Registry)]
    names: set[str] = set()
    while roots:
        part = roots.pop()
        roots += part.children.values()
        if not part.module_dict and part._locations:
            part.import_from_location()
        names |= {name for key in part.module_dict for name in (key, f'{part.scope}.{key}')}
    return names
