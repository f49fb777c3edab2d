"""What mmdet uses of panopticapi, which no package registry has, to load and score panoptic data.

mmdet's modules look for panopticapi when they are imported and go on without it; those that did not find it get the
names they looked for from `panoptic_quality`. No module of the name panopticapi appears, and an installed one is used.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from types import ModuleType
from typing import Any

from .import_hooks import after_import

_NAMES = ('OFFSET', 'VOID', 'PQStat', 'id2rgb', 'rgb2id')
_USING = (
    'mmdet.evaluation.functional.panoptic_utils',
    'mmdet.evaluation.metrics.coco_panoptic_metric',
    'mmdet.apis.det_inferencer',
)
_LOADING = 'mmdet.datasets.transforms.loading'
MODULES = (*_USING, _LOADING)


def register() -> None:
    for name in _USING:
        after_import(name, _give_names)
    after_import(_LOADING, _load_without)


def _is_installed() -> bool:
    return importlib.util.find_spec('panopticapi') is not None


def _source() -> ModuleType:
    # Not imported before: numpy is slow to import.
    return importlib.import_module(f'{__package__}.panoptic_quality')


def _give_names(module: ModuleType) -> None:
    if _is_installed():
        return
    for name in _NAMES:
        if hasattr(module, name):
            setattr(module, name, getattr(_source(), name))
    if hasattr(module, 'panopticapi'):
        module.panopticapi = _source()  # mmdet asks whether it is None


def _load_without(module: ModuleType) -> None:
    """Let mmdet's transform be built, whose constructor imports panopticapi for one function."""
    if _is_installed():
        return
    transform = module.LoadPanopticAnnotations
    signature = inspect.signature(transform.__init__)

    def build(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        options = {name: value for name, value in given.arguments.items() if name != 'self'}
        self.rgb2id = _source().rgb2id
        super(transform, self).__init__(**options, with_keypoints=False)

    build.__signature__ = signature
    transform.__init__ = build
