"""Options as they are written in a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def spelled(value: Any) -> str:
    """One value; a dict by its constructor."""
    return f'dict({spelled_options(value)})' if isinstance(value, Mapping) and value else repr(value)


def spelled_options(options: Mapping[str, Any]) -> str:
    """Keyword arguments."""
    return ', '.join(f'{name}={spelled(value)}' for name, value in options.items())
