"""Lists of what is public, with signatures and docstrings, in the place of `<!-- reference: ... -->` on a page.

The source is read, not imported: a page needs neither torch nor OpenMMLab. `<!-- reference: registered FOLDER ... -->`
lists the classes below these folders of the package that a registry has; `<!-- reference: exported MODULE -->` what the
`__all__` of a package names; `<!-- reference: defined MODULE -->` the public classes and functions of a file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / 'mmvitdense'
_PLACE = re.compile(r'<!-- reference: (\w+) ([^>]*?) -->')
_Definition = ast.ClassDef | ast.FunctionDef | ast.Assign


class Entry(NamedTuple):
    """One class or function, or another name for one."""

    name: str
    module: str
    node: _Definition


def filled(text: str) -> str:
    """Put the lists into a page."""
    kinds = {'registered': registered, 'exported': exported, 'defined': defined}
    return _PLACE.sub(lambda match: ''.join(map(described, kinds[match[1]](*match[2].split()))), text)


def registered(*folders: str) -> list[Entry]:
    """Classes below folders of the package that stand in a registry, by name."""
    files = (file for folder in folders for file in sorted((PACKAGE / folder).rglob('*.py')))
    found = [
        entry._replace(name=_registered_name(entry))
        for file in files
        for entry in _public(file)
        if _is_registered(entry.node)
    ]
    return sorted(found, key=lambda entry: entry.name.lower())


def exported(package: str) -> list[Entry]:
    """What the `__all__` of a package names, in its order.

    Raises:
        LookupError: A name is defined nowhere in the package.
    """
    folder = PACKAGE.joinpath(*package.split('.')[1:])
    tree = _parsed(folder / '__init__.py')
    lists = [node.value for node in tree.body if isinstance(node, ast.Assign) and _name(node) == '__all__']
    here = {entry.name: entry for file in sorted(folder.glob('*.py')) for entry in _public(file)}
    names = ast.literal_eval(lists[0])
    if absent := [name for name in names if name not in here]:
        raise LookupError(f'{package} exports {absent}, which no file of it defines')
    return [here[name]._replace(module=package) for name in names]


def defined(module: str) -> list[Entry]:
    """The public classes and functions of one file."""
    found = _public(PACKAGE.joinpath(*module.split('.')[1:]).with_suffix('.py'))
    return [entry for entry in found if not isinstance(entry.node, ast.Assign)]


def described(entry: Entry) -> str:
    """A heading, the signature and the docstring of an entry, and of the methods of a class that has some."""
    lines = [f'\n### {entry.name}\n\n`{entry.module}`\n']
    if isinstance(entry.node, ast.Assign):
        return ''.join([*lines, _code(ast.unparse(entry.node))])
    lines.append(_code(f'{entry.name}{_signature(entry.node)}'))
    if text := ast.get_docstring(entry.node):
        lines.append(_code(text))
    for method in entry.node.body if isinstance(entry.node, ast.ClassDef) and not _is_registered(entry.node) else ():
        if isinstance(method, ast.FunctionDef) and not method.name.startswith('_') and ast.get_docstring(method):
            kind = '' if any(_word(each) == 'property' for each in method.decorator_list) else _arguments(method)
            lines.append(_code(f'.{method.name}{kind}\n\n{ast.get_docstring(method)}'))
    return ''.join(lines)


def _code(text: str) -> str:
    return f'\n```text\n{text}\n```\n'


def _signature(node: _Definition) -> str:
    if isinstance(node, ast.FunctionDef):
        return _arguments(node)
    starts = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == '__init__']
    return _arguments(starts[0]) if starts else ''


def _arguments(function: ast.FunctionDef) -> str:
    signature = ast.unparse(function.args)
    signature = re.sub(r'^(self|cls)(, )?', '', signature)
    return f'({signature})' + (f' -> {ast.unparse(function.returns)}' if function.returns else '')


def _public(file: Path) -> Iterator[Entry]:
    module = '.'.join(file.relative_to(ROOT).with_suffix('').parts)
    for node in _parsed(file).body:
        name = _name(node)
        if name and not name.startswith('_'):
            yield Entry(name, module, node)


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text('utf-8'))


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.Assign):
        return getattr(node.targets[0], 'id', '')
    return node.name if isinstance(node, (ast.ClassDef, ast.FunctionDef)) else ''


def _is_registered(node: _Definition) -> bool:
    return any(_word(each) == 'register_module' for each in getattr(node, 'decorator_list', ()))


def _registered_name(entry: Entry) -> str:
    given = [key.value for each in entry.node.decorator_list if isinstance(each, ast.Call) for key in each.keywords]
    return next((value.value for value in given if isinstance(getattr(value, 'value', None), str)), entry.name)


def _word(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, 'id', '')


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = filled(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by sphinx."""
    app.connect('source-read', _read)
    return {'parallel_read_safe': True}
