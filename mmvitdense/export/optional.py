"""Libraries that exporting needs and the package does not."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import ExportError


def needed(name: str, purpose: str, install: str | None = None) -> ModuleType:
    """Import a library.

    Raises:
        ExportError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExportError(f'{purpose} needs {name} ({error}): pip install {install or name}') from error
