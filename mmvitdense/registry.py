"""The registries of this package: scope `mmvitdense`, children of mmengine's.

Classes register with `@MODELS.register_module()`; a config of any OpenMMLab library names them
`mmvitdense.Name`. The modules that hold them are imported at the first look-up; those that import mmdet or mmseg at
the first look-up of a name that the others do not have.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

from .option_types import options_checked

_SCOPE = 'mmvitdense'


class RegistryWithOptionalModules(Registry):
    """A registry some of whose modules need a library that a person may not have, or not want to import.

    Constructors that classes of this package write refuse options that their type hints exclude (`option_types`).

    Args:
        optional_modules: Modules that register more classes, each with the library it imports.
        *args: As in mmengine.
        **kwargs: As in mmengine.
    """

    def __init__(self, *args, optional_modules: dict[str, str], **kwargs):
        super().__init__(*args, **kwargs)
        self._optional_modules = optional_modules

    def get(self, key: str) -> type | None:
        """Return the class of a name, or None; optional modules are imported one by one until the name is known."""
        scope, name = self.split_scope_key(key)
        if scope in (None, self.scope):
            self.import_for(name)
        return super().get(key)

    def import_for(self, name: str) -> None:
        """Import modules of this registry one by one until one of them has registered a name, or all are imported."""
        self.import_from_location()
        for module, library in self._optional_modules.items():
            if self._knows(name):
                break
            if importlib.util.find_spec(library) is not None:
                importlib.import_module(module)

    def _register_module(self, module: type, *args: Any, **kwargs: Any) -> None:
        if inspect.isclass(module) and '__init__' in vars(module) and module.__module__.startswith(f'{_SCOPE}.'):
            module.__init__ = options_checked(module.__init__)
        super()._register_module(module, *args, **kwargs)

    def _knows(self, name: str) -> bool:
        registry = self
        while registry is not None and name not in registry.module_dict:
            registry = registry.parent
        return registry is not None


MODELS = RegistryWithOptionalModules(
    'model',
    parent=root.MODELS,
    scope=_SCOPE,
    locations=['mmvitdense.models'],
    optional_modules={'mmvitdense.models.detection': 'mmdet', 'mmvitdense.models.segmentation': 'mmseg'},
)
WEIGHT_INITIALIZERS = Registry(
    'weight initializer', parent=root.WEIGHT_INITIALIZERS, scope=_SCOPE, locations=['mmvitdense.checkpoints']
)


def _initializer(name: str) -> Callable[..., Any]:
    def build(**arguments: Any) -> Any:
        return getattr(importlib.import_module('mmvitdense.checkpoints'), name)(**arguments)

    return build


# mmengine looks up the types of init_cfg in its own registry alone. There they stand for as long as the models can be
# imported, while what they are is imported when the first is built.
for _name in ('LiFTPretrained', 'NAFPretrained', 'SinCosPositions', 'ViTPretrained'):
    root.WEIGHT_INITIALIZERS.register_module(name=_name, module=_initializer(_name))

OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=root.OPTIM_WRAPPER_CONSTRUCTORS,
    scope=_SCOPE,
    locations=['mmvitdense.engine'],
)
OPTIM_WRAPPERS = Registry('optim_wrapper', parent=root.OPTIM_WRAPPERS, scope=_SCOPE, locations=['mmvitdense.engine'])
DATASETS = RegistryWithOptionalModules(
    'dataset',
    parent=root.DATASETS,
    scope=_SCOPE,
    locations=['mmvitdense.datasets.manipulations', 'mmvitdense.datasets.image_folder'],
    optional_modules={'mmvitdense.datasets.paired_segmentation': 'mmseg'},
)
DATA_SAMPLERS = Registry(
    'data sampler',
    parent=root.DATA_SAMPLERS,
    scope=_SCOPE,
    locations=['mmvitdense.engine'],
)
HOOKS = Registry('hook', parent=root.HOOKS, scope=_SCOPE, locations=['mmvitdense.engine'])
MODEL_WRAPPERS = Registry('model_wrapper', parent=root.MODEL_WRAPPERS, scope=_SCOPE, locations=['mmvitdense.engine'])
METRICS = RegistryWithOptionalModules(
    'metric',
    parent=root.METRICS,
    scope=_SCOPE,
    locations=['mmvitdense.evaluation'],
    optional_modules={'mmvitdense.evaluation.coco_metric': 'mmdet'},
)
PARAM_SCHEDULERS = Registry(
    'parameter scheduler', parent=root.PARAM_SCHEDULERS, scope=_SCOPE, locations=['mmvitdense.engine']
)
TRANSFORMS = Registry('transform', parent=root.TRANSFORMS, scope=_SCOPE, locations=['mmvitdense.datasets.transforms'])
TASK_UTILS = Registry('task util', parent=root.TASK_UTILS, scope=_SCOPE, locations=['mmvitdense.models.detection'])
