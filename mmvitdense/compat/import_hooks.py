"""Act on a module of another library right after it is imported, without importing it for that."""

import functools
import importlib.machinery
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

Action = Callable[[ModuleType], None]
Replace = Callable[[Any, str, Any], None]


class _AfterImport:
    """Lets Python's own path finder find a module, and appends actions to its execution.

    Not a subclass of `importlib.abc.MetaPathFinder`, which takes longer to import than everything else here.
    """

    def __init__(self) -> None:
        self.actions: dict[str, list[Action]] = {}

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        if not self.actions.get(fullname):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = functools.partial(self._execute, spec.loader.exec_module)
        return spec

    def _execute(self, exec_module: Action, module: ModuleType) -> None:
        exec_module(module)
        for action in tuple(self.actions[module.__name__]):
            action(module)


_FINDER = _AfterImport()


def after_import(name: str, action: Action) -> None:
    """Call `action(module)` when the module `name` is imported, or now if it has been. Once for each action.

    Args:
        name: Full name of a module inside a package (not of a top-level module).
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    actions = _FINDER.actions.setdefault(name, [])
    if action in actions:
        return
    actions.append(action)
    if name in sys.modules:
        action(sys.modules[name])


@contextmanager
def replaced(name: str, patch: Callable[[ModuleType, Replace], None]) -> Iterator[None]:
    """Inside, attributes of the module `name` or of what it holds are others, from its import on; then as they were.

    Args:
        name: As for `after_import`.
        patch: Called with the module and with a function that takes an owner, the name of its attribute and the value.
    """
    with ExitStack() as undo:

        def replace(owner: Any, attribute: str, value: Any) -> None:
            if attribute in vars(owner):
                undo.callback(setattr, owner, attribute, vars(owner)[attribute])
            else:
                undo.callback(delattr, owner, attribute)  # inherited
            setattr(owner, attribute, value)

        def action(module: ModuleType) -> None:
            patch(module, replace)

        after_import(name, action)
        undo.callback(_FINDER.actions[name].remove, action)
        yield
