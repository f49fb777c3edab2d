"""TorchScript archives (as OpenAI publishes CLIP), read as names and tensors: their program is never run."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

# What the serializer of TorchScript writes for lists and typed values (torch/jit/_pickle.py).
_LISTS = ('build_intlist', 'build_tensorlist', 'build_doublelist', 'build_boollist', 'build_tensor_from_id')
_DTYPES = {
    f'{name}Storage': dtype
    for name, dtype in (
        *(('Float', torch.float32), ('Double', torch.float64), ('Half', torch.float16), ('BFloat16', torch.bfloat16)),
        *(('Bool', torch.bool), ('Byte', torch.uint8), ('Char', torch.int8), ('Short', torch.int16)),
        *(('Int', torch.int32), ('Long', torch.int64)),
    )
}


def is_torchscript(path: str) -> bool:
    """Whether a file is a TorchScript archive, which has the constants of its program beside its data."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith('/constants.pkl') for name in archive.namelist())


def load_torchscript(path: str) -> dict[str, Tensor]:
    """Read the parameters and buffers of a TorchScript archive.

    `torch.jit.load` runs what the archive holds, the `__setstate__` of its modules for one, which may write files.
    Here its modules become bare dicts of attributes.

    Args:
        path: The file.

    Returns:
        {dotted name: tensor} as the module's `state_dict` has them; tensors that are plain attributes, too.

    Raises:
        pickle.UnpicklingError: It refers to anything but modules and tensors ('GLOBAL module.name' says to what), or a
            module of it keeps its weights in a form that only its own program can read.
    """
    with zipfile.ZipFile(path) as archive:
        root = next(name for name in archive.namelist() if name.endswith('/constants.pkl')).rpartition('/')[0]
        module = _ModulesOnly(archive, root).load()
    if not isinstance(module, _Module):
        raise pickle.UnpicklingError(f'TorchScript of a {type(module).__name__} instead of a module')
    return dict(_tensors(module, ''))


class _Module:
    """A module of an archive: its attributes, whatever its class is."""

    attributes: Mapping[str, Any] = MappingProxyType({})

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError('TorchScript with a __setstate__ of its own')
        self.attributes = state


class _ModulesOnly(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str):
        super().__init__(io.BytesIO(archive.read(f'{root}/data.pkl')))
        self._archive, self._root = archive, root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == '__torch__' or module.startswith('__torch__.'):
            return _Module
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return _strided
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if module == 'torch' and name in _DTYPES:
            return _DTYPES[name]
        if module == 'torch.jit._pickle' and (name in _LISTS or name == 'restore_type_tag'):
            return _first
        if (module, name) == ('torch', 'device'):
            return str
        raise pickle.UnpicklingError(f'GLOBAL {module}.{name}')

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, numel = pid
        if key not in self._storages:
            content = bytearray(self._archive.read(f'{self._root}/data/{key}'))
            flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
            if len(flat) < numel:
                raise pickle.UnpicklingError(f'data/{key} has {len(flat)} of {numel} numbers')
            self._storages[key] = flat
        return self._storages[key]


def _strided(flat: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    # Refuses what reaches over the end of the storage.
    return torch.as_strided(flat, size, stride, offset)


def _first(value: Any, *_: Any) -> Any:
    return value


def _tensors(module: _Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in module.attributes.items():
        if isinstance(value, Tensor):
            yield f'{prefix}{name}', value
        elif isinstance(value, _Module):
            yield from _tensors(value, f'{prefix}{name}.')
