"""The data sets that a config names, found below their wrappers."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmengine.fileio import join_path
from mmengine.registry import Registry
from mmengine.utils import is_abs

from mmvitdense.registry import DATASETS

from .messages import DataError

_KINDS = {
    **dict.fromkeys(('data_root', 'ann_file', 'img_suffix', 'seg_map_suffix'), (str, 'a text')),
    **dict.fromkeys(('data_prefix', 'metainfo', 'backend_args', 'filter_cfg'), (dict, 'a dict')),
}
"""What arguments of data sets are, and its name."""
_PREFIXES = ('anno', 'depth_map_path', 'img', 'img_path', 'img_path2', 'seg', 'seg_map_path', 'sub_data_root')
"""Keys of `data_prefix` that data sets of mmdet and mmseg read."""


@dataclass(frozen=True)
class DataSource:
    """One data set of a config.

    Attributes:
        split: 'train', 'val' or 'test'.
        key: Where its settings stand in the config, as --cfg-options writes it.
        cfg: Those settings.
        cls: Its class, or None if no registry knows the type.
    """

    split: str
    key: str
    cfg: dict
    cls: type | None

    def option(self, name: str, default: Any = None) -> Any:
        """Return a constructor argument: as the config gives it, else the default of the class."""
        if name in self.cfg:
            return self.cfg[name]
        return constructor_default(self.cls, name, default)

    def path(self, value: str | None) -> str:
        """Return a path of the config joined to data_root the way mmengine's BaseDataset does."""
        root = self.option('data_root')
        if not value or not root or is_abs(value):
            return value or (root or '')
        return join_path(root, value)

    def prefix(self, name: str) -> str | None:
        """Return the folder that data_prefix names, joined to data_root, or None if it has no such entry."""
        value = (self.option('data_prefix') or {}).get(name)
        return None if value is None else self.path(value)

    def is_remote(self) -> bool:
        """Say whether the data is read through something else than the local file system."""
        backend = (self.option('backend_args') or {}).get('backend', 'local')
        places = [self.option('data_root'), self.option('ann_file'), *(self.option('data_prefix') or {}).values()]
        return backend != 'local' or any(isinstance(place, str) and '://' in place for place in places)

    def transforms(self) -> Iterator[dict]:
        """Yield every transform of the pipeline, those inside of other transforms too."""
        yield from (transform for _, transform in self.keyed_transforms())

    def keyed_transforms(self) -> Iterator[tuple[str, dict]]:
        """Yield (key, settings) of every transform, the key as --cfg-options writes it."""
        yield from _nested_transforms(self.option('pipeline') or [], f'{self.key}.pipeline')

    def loads(self, name: str) -> dict | None:
        """Return the first transform of the pipeline with this class name, whatever its scope, or None."""
        return next((transform for transform in self.transforms() if type_name(transform) == name), None)


def type_name(cfg: dict) -> str:
    """Return the name of the class that a config selects, without its scope."""
    kind = cfg.get('type')
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', '')


def find_sources(cfg: dict, split: str) -> Iterator[DataSource]:
    """Yield the data sets of `{split}_dataloader`, taken out of RepeatDataset, ConcatDataset and their like."""
    loader = cfg.get(f'{split}_dataloader')
    if isinstance(loader, dict) and isinstance(loader.get('dataset'), dict):
        scope = cfg.get('default_scope') or 'mmengine'
        yield from _unwrap(split, f'{split}_dataloader.dataset', loader['dataset'], scope)


def constructor_default(cls: type | None, name: str, default: Any = None) -> Any:
    """Return the default of a constructor argument, looked up along the bases that **kwargs hand it on to."""
    for base in inspect.getmro(cls) if inspect.isclass(cls) else ():
        if '__init__' in vars(base):
            parameter = inspect.signature(base.__init__).parameters.get(name)
            if parameter is not None and parameter.default is not inspect.Parameter.empty:
                return parameter.default
    return default


def constructor_requires(cls: type | None, name: str) -> bool:
    """Say whether a constructor has an argument without default, looked up as by `constructor_default`."""
    for base in inspect.getmro(cls) if inspect.isclass(cls) else ():
        if '__init__' in vars(base) and (parameter := inspect.signature(base.__init__).parameters.get(name)):
            return parameter.default is inspect.Parameter.empty
    return False


def registered_class(registry: Registry, cfg: dict, scope: str) -> type | None:
    """Return the class that `cfg['type']` means in this scope, or None if it is not registered."""
    kind = cfg.get('type')
    if not isinstance(kind, str):
        return kind if inspect.isclass(kind) else None
    prefix, name = Registry.split_scope_key(kind)
    with registry.switch_scope_and_registry(prefix or cfg.get('_scope_') or scope) as scoped:
        # Some classes of a library are registered in mmengine's own registry (DetTTAModel): with its scope before the
        # name the library's does not look there.
        return scoped.get(name if scoped.scope == prefix else kind)


def _unwrap(split: str, key: str, cfg: dict, scope: str) -> Iterator[DataSource]:
    if isinstance(cfg.get('dataset'), dict):
        yield from _unwrap(split, f'{key}.dataset', cfg['dataset'], scope)
    elif isinstance(cfg.get('datasets'), (list, tuple)):
        for index, part in enumerate(cfg['datasets']):
            if isinstance(part, dict):
                yield from _unwrap(split, f'{key}.datasets.{index}', part, scope)
    else:
        _check_kinds(key, cfg)
        yield DataSource(split, key, cfg, registered_class(DATASETS, cfg, scope))


def _check_kinds(key: str, cfg: dict) -> None:
    """Raise for an argument of another kind, and for a mistyped folder, which data sets pass over."""
    for name, (kind, expected) in _KINDS.items():
        if cfg.get(name) is not None and not isinstance(cfg[name], kind):
            raise DataError(f'{key}.{name} must be {expected}, got {cfg[name]!r}.')
    for name, folder in (cfg.get('data_prefix') or {}).items():
        if folder is not None and not isinstance(folder, str):
            raise DataError(f'{key}.data_prefix.{name} must be a text, got {folder!r}.')
        close = [] if name in _PREFIXES else difflib.get_close_matches(name, _PREFIXES, n=1, cutoff=0.8)
        if close:
            raise DataError(f'{key}.data_prefix.{name}: nothing reads such a folder; did you mean {close[0]!r}?')


def _nested_transforms(value: Any, key: str) -> Iterator[tuple[str, dict]]:
    if isinstance(value, dict):
        if 'type' in value:
            yield key, value
        for name, part in value.items():
            yield from _nested_transforms(part, f'{key}.{name}')
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _nested_transforms(part, f'{key}.{index}')
