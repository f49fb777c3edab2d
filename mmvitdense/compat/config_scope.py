"""`_base_ = 'mmvitdense::family/name.py'` in any config.

mmengine knows by name the packages whose configs may be named so, and has no way to add one. It also ties every type in
such a config to the package it came from; ours leave the types of mmdet and mmseg to `default_scope`, so that a config
inherited by name would not find them.
"""

from types import ModuleType

from .import_hooks import after_import

_PACKAGE = 'mmvitdense'
MODULES = ('mmengine.config.utils', 'mmengine.config.config')


def register() -> None:
    for module, action in zip(MODULES, (_add_package, _leave_types_alone)):
        after_import(module, action)


def _add_package(utils: ModuleType) -> None:
    utils.MODULE2PACKAGE.setdefault(_PACKAGE, _PACKAGE)


def _leave_types_alone(config: ModuleType) -> None:
    find = config.Config._get_cfg_path

    def find_without_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = find(cfg_path, filename)
        return path, None if scope == _PACKAGE else scope

    config.Config._get_cfg_path = staticmethod(find_without_scope)
