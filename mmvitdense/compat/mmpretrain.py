"""mmpretrain beside transformers 5.

mmdet and mmseg import mmpretrain when it is installed, and are ready for an ImportError. But with transformers >= 5,
mmpretrain's multi-modal models fail with a TypeError while they are defined, and mmdet can no longer be imported.
mmpretrain has a switch for environments without those models, `mmpretrain.utils.dependency.WITH_MULTIMODAL`, which
looks at the lowest version of transformers only; here it looks at the highest too.
"""

import importlib.abc
import importlib.machinery
import importlib.metadata
import sys
import types
from collections.abc import Sequence
from typing import Any

_MODULE = 'mmpretrain.utils.dependency'
_FIRST_UNSUPPORTED = 5


class _DependencyLoader(importlib.abc.Loader):
    """Runs the original loader of the module, then corrects its switch."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        self._loader.exec_module(module)
        if module.WITH_MULTIMODAL and _transformers_major() >= _FIRST_UNSUPPORTED:
            module.WITH_MULTIMODAL = False


class DependencyFinder(importlib.abc.MetaPathFinder):
    """Finds `mmpretrain.utils.dependency` where it is and puts our loader around its own."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        if fullname != _MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _DependencyLoader(spec.loader)
        return spec


def register() -> None:
    """Put the finder in front of `sys.meta_path`, once."""
    if not any(isinstance(finder, DependencyFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, DependencyFinder())


def _transformers_major() -> int:
    return int(importlib.metadata.version('transformers').split('.')[0])
