"""Values as the text of a config."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Any

_WIDTH = 120
_STEP = '    '


class Code(str):
    """Text that stands in a config as it is; as a key, what a dict starts from, of which no value is written."""

    __slots__ = ()


def nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with dotted keys as dicts in dicts."""
    tree: dict[str, Any] = {}
    for key, value in options.items():
        *folders, name = key.split('.')
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = value
    return tree


def assignment(name: str, value: Any) -> str:
    """`name = value` in lines of at most 120 characters where they can be broken."""
    return f'{name} = {as_code(value, len(name) + 3, 0)}'


def as_code(value: Any, used: int, depth: int) -> str:
    """Python for a value of plain parts; dicts are `dict(a=1)` where their keys are names.

    Args:
        value: Of dicts, lists, tuples, texts, numbers, None and `Code`.
        used: How many characters of the line are taken.
        depth: How deep it is indented.
    """
    line = _one_line(value)
    # One for a comma behind it.
    if len(line) + used + 1 <= _WIDTH or not isinstance(value, (Mapping, list, tuple)) or not value:
        return line
    inner = _STEP * (depth + 1)
    opening, closing = ('[', ']') if isinstance(value, list) else ('(', ')')
    if isinstance(value, Mapping):
        by_name = _has_names(value)
        opening, closing = ('dict(', ')') if by_name else ('{', '}')
        rows = []
        for key, part in value.items():
            start = f'{key}=' if by_name else f'{key!r}: '
            rows.append(
                str(key) if isinstance(key, Code) else start + as_code(part, len(inner) + len(start), depth + 1)
            )
    else:
        rows = [as_code(part, len(inner), depth + 1) for part in value]
    together = ', '.join(rows)
    if '\n' not in together and len(inner) + len(together) <= _WIDTH:
        return f'{opening}\n{inner}{together}\n{_STEP * depth}{closing}'
    return f'{opening}\n' + ''.join(f'{inner}{row},\n' for row in rows) + _STEP * depth + closing


def _one_line(value: Any) -> str:
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, Mapping):
        if _has_names(value):
            parts = (key if isinstance(key, Code) else f'{key}={_one_line(part)}' for key, part in value.items())
            return f'dict({", ".join(parts)})'
        return '{' + ', '.join(f'{key!r}: {_one_line(part)}' for key, part in value.items()) + '}'
    if isinstance(value, list):
        return f'[{", ".join(map(_one_line, value))}]'
    if isinstance(value, tuple):
        return f'({", ".join(map(_one_line, value))}{"," * (len(value) == 1)})'
    return repr(value)


def _has_names(value: Mapping) -> bool:
    return all(
        isinstance(key, Code) or (isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key))
        for key in value
    )
