"""A stand-in for panopticapi, which no package registry has and mmdet needs to load and score panoptic data.

Offered by a finder at the end of `sys.meta_path`, so that an installed panopticapi is found before it and used. It
holds what mmdet uses of `panopticapi.utils` and `panopticapi.evaluation`; any other name is an ImportError.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Any

NAMES = {
    'panopticapi': (),
    'panopticapi.utils': ('rgb2id', 'id2rgb'),
    'panopticapi.evaluation': ('OFFSET', 'VOID', 'PQStat'),
}
"""Module -> what it holds."""


class PanopticFinder:
    """Offers the modules of the stand-in when no other finder knows them."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        if fullname not in NAMES:
            return None
        is_package = fullname == 'panopticapi'
        return importlib.machinery.ModuleSpec(fullname, self, origin=__file__, is_package=is_package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """The usual module."""

    def exec_module(self, module: types.ModuleType) -> None:
        # Not imported before: numpy is slow to import.
        source = importlib.import_module(f'{__package__}.panoptic_quality')
        module.__doc__ = __doc__
        for name in NAMES[module.__name__]:
            setattr(module, name, getattr(source, name))


def register() -> None:
    """Add the finder to `sys.meta_path`, once."""
    if not any(isinstance(finder, PanopticFinder) for finder in sys.meta_path):
        sys.meta_path.append(PanopticFinder())
