"""Names of weights picked by patterns, which options of an `init_cfg` give."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def matches_any(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name, or its first parts, fit one of the regular expressions ('norm' fits 'norm.weight' alone)."""
    return any(re.match(rf'(?:{pattern})(?:(?<=\.)|\.|$)', name) for pattern in patterns)


def check_patterns(option: str, patterns: Sequence[str], names: Iterable[str], owner: str) -> None:
    """Raise ValueError unless every pattern is a regular expression that matches a name.

    Args:
        option: What the patterns were given as.
        patterns: Regular expressions.
        names: Names of weights.
        owner: Whose names these are.
    """
    names = list(names)
    for pattern in patterns:
        try:
            found = any(matches_any(name, [pattern]) for name in names)
        except re.error as error:
            raise ValueError(f'{option} has {pattern!r}, which is no regular expression: {error}') from error
        if not found:
            raise ValueError(
                f'{option} has {pattern!r}, which are no weights of {owner}: expected names such as '
                f'{next(iter(names), None)!r}, their first parts or regular expressions for these'
            )
