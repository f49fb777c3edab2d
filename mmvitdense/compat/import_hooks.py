"""Act on a module of another library right after it is imported, without importing it for that."""

import functools
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

Action = Callable[[ModuleType], None]


class _AfterImport:
    """Lets Python's own path finder find the module, and appends the action to its execution.

    Not a subclass of `importlib.abc.MetaPathFinder`, which takes longer to import than everything else here.
    """

    def __init__(self, name: str, action: Action) -> None:
        self.name = name
        self.action = action

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = functools.partial(self._execute, spec.loader.exec_module)
        return spec

    def _execute(self, exec_module: Action, module: ModuleType) -> None:
        exec_module(module)
        self.action(module)


def after_import(name: str, action: Action) -> None:
    """Call `action(module)` when the module `name` is imported, or now if it has been. Once per name.

    Args:
        name: Full name of a module inside a package (not of a top-level module).
    """
    if any(isinstance(finder, _AfterImport) and finder.name == name for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _AfterImport(name, action))
    if name in sys.modules:
        action(sys.modules[name])
