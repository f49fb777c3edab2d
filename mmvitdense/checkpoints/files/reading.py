"""Reading checkpoint files without executing anything they contain."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
import zlib
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from mmvitdense.downloads import DownloadError, fetched
from mmvitdense.safe_objects import run_objects_allowed
from mmvitdense.whole_files import damaged_part

from . import shards
from .fetched_parts import fetched_with_parts, is_index
from .hub_folder import weights_of_snapshot
from .numpy_archive import load_archive
from .numpy_pickle import load_arrays
from .other_content import LENGTH, other_content
from .prefix import without_wrappers
from .record_text import with_record_of_text
from .run_folder import folder_message
from .torchscript import is_torchscript, load_torchscript
from .wrapped import listed_members, swollen_member, unwrapped, wrapped_file

# The first of these that a file has is opened, and what it holds likewise.
CONTAINERS = (
    *('model_ema', 'state_dict_ema', 'model', 'state_dict', 'teacher', 'target_encoder', 'module', 'network'),
    *('ema', 'encoder', 'student', 'params', 'weights'),
)
# What unpicklers say of an object that they do not let through: torch's, then ours.
_REFUSALS = (r'GLOBAL (\S+)', r'asks for (the attribute .+?);', r'WeightsUnpickler error: (.+)', r'(TorchScript .+)')
# Pickles of torch begin with this number, others with their content.
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, 'little')


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit; the message says what was found and what to do."""


def read_file(path_or_url: str | os.PathLike) -> Any:
    """Read what a checkpoint file holds, on the CPU.

    Args:
        path_or_url: A file of `torch.save` (read with `weights_only=True`; mapped rather than copied),
            safetensors, TorchScript (its parameters), a pickle of numpy arrays as detectron2 writes, or an archive of
            them (npz); a zip archive around one of these; an index of safetensors or of files of torch (.bin) in parts;
            a folder with a config.json and weights beside it; or the http(s) address of a file, which is fetched once
            into torch's hub cache.

    Raises:
        CheckpointError: There is no such file, it is damaged, or it holds objects that could run code.
    """
    name = os.fspath(path_or_url)
    path = existing_file(name)
    if not shards.is_index(path):
        return _read_one(path, name)
    try:
        return shards.load_parts(path, lambda part: _read_one(part, part))
    except shards.BrokenIndexError as error:
        raise CheckpointError(str(error)) from error


def _read_one(path: str, name: str) -> Any:
    """What is in one file, which messages call by the name that was given."""
    try:
        _refuse_damaged(path, name)
        if _is_safetensors(path):
            return _load_safetensors(path)
        if path.endswith('.npz'):
            return load_archive(path)
        if is_torchscript(path):
            return load_torchscript(path)
        if _is_bare_pickle(path):
            with open(path, 'rb') as file:
                return load_arrays(file)
        with run_objects_allowed():
            return torch.load(path, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(path))
    except CheckpointError:
        raise
    except Exception as error:  # what torch raises depends on where the damage is: OSError, IndexError, KeyError, ...
        raise CheckpointError(_why(path, error, name)) from error


def existing_file(path_or_url: str | os.PathLike) -> str:
    """As `local_path`, of a file that is there.

    Raises:
        CheckpointError: It is not, or it is a folder.
    """
    path = local_path(path_or_url)
    if os.path.isdir(path):
        raise CheckpointError(folder_message(path))
    if not os.path.isfile(path):
        raise CheckpointError(f'The checkpoint {path_or_url} does not exist (a path is relative to {os.getcwd()}).')
    return path


def read_checkpoint(path_or_url: str | os.PathLike) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint on the CPU.

    Args:
        path_or_url: As for `read_file`.

    Returns:
        {name: tensor}; containers such as 'model' or 'state_dict' are opened.

    Raises:
        CheckpointError: As for `read_file`, or there are no tensors in it.
    """
    return open_containers(read_file(path_or_url), os.fspath(path_or_url))


def local_path(path_or_url: str | os.PathLike) -> str:
    """Path of a file on this machine, fetched first where it is given by its http(s) address.

    Of an archive around one file of weights it is the path of that file, which is unpacked into torch's hub cache; of a
    folder with a config.json, as the Hugging Face Hub has them, that of the weights in it or of their index.

    Raises:
        CheckpointError: It cannot be fetched, or not be unpacked.
    """
    name = os.fspath(path_or_url)
    try:
        if '://' in name:
            name = fetched_with_parts(name) if is_index(name) else fetched(name)
        elif os.path.isdir(name):
            name = weights_of_snapshot(name) or name
    except (DownloadError, shards.BrokenIndexError) as error:
        raise CheckpointError(str(error)) from error
    return _unpacked(name)


def _unpacked(path: str) -> str:
    """The file itself, or the one that an archive has around it."""
    try:
        if os.path.isfile(path) and zipfile.is_zipfile(path) and (large := swollen_member(path)) is not None:
            raise CheckpointError(
                f'{path} is refused: its {large.filename} of {large.compress_size / 1e6:.2g} MB unpacks to '
                f'{large.file_size / 1e9:.2g} GB, as no weights do.'
            )
        member = wrapped_file(path) if os.path.isfile(path) else None
        return path if member is None else unwrapped(path, member)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f'{path} is cut short or damaged: copy or fetch it again.') from error
    except OSError as error:
        raise CheckpointError(f'{path} cannot be unpacked into the cache of torch.hub: {error}.') from error


def _load_safetensors(path: str) -> dict:
    try:
        from safetensors import safe_open
        from safetensors.torch import load_file
    except ImportError as error:
        raise CheckpointError(f'{path} is a safetensors file: run `pip install safetensors` to read it.') from error
    with safe_open(path, framework='pt') as file:
        return with_record_of_text(load_file(path), file.metadata())


def _is_safetensors(path: str) -> bool:
    """By the beginning, the length of a text in braces, where the name says something else; files get renamed."""
    with open(path, 'rb') as file:
        start = file.read(9)
    if start[8:] == b'{':
        return True
    return path.endswith('.safetensors') and start[:2] not in (b'PK', b'\x80\x02')


def _refuse_damaged(path: str, name: str) -> None:
    """Refuse an archive with bytes that are not those that were written; torch would take them for weights."""
    if zipfile.is_zipfile(path) and (part := damaged_part(path)) is not None:
        raise CheckpointError(
            f'{path} is damaged: its part {part} does not have the check sum that it was written with. '
            f'{_again(name).capitalize()}.'
        )


def _is_bare_pickle(path: str) -> bool:
    with open(path, 'rb') as file:
        start = file.read(32)
    return start[:1] == b'\x80' and _TORCH_MAGIC not in start


def _again(name: str) -> str:
    return 'fetch it again, with --refetch' if '://' in name else 'copy or fetch it again'


def _why(path: str, error: Exception, name: str) -> str:
    """Why a file could not be read, and what to do."""
    if isinstance(error, PermissionError):
        return f'{path} cannot be read: {error}.'
    # The beginning identifies a file of torch.save; zipfile.is_zipfile looks at the end, which may be missing.
    with open(path, 'rb') as file:
        start = file.read(LENGTH)
    fetched_from = f' It was fetched from {name}; --refetch fetches it again.' if '://' in name else ''
    if what := other_content(start):
        return f'{path} is {what}.{fetched_from}'
    whole_format = start[:2] == b'PK' or path.endswith('.safetensors')
    pickled = start[:2] == b'PK' or start[:1] == b'\x80'  # a text can be taken for a pickle of the first protocols
    refused = next((found for form in _REFUSALS if (found := re.search(form, str(error)))), None)
    if refused and pickled and isinstance(error, pickle.UnpicklingError):
        load = 'torch.jit.load(...)' if is_torchscript(path) else 'torch.load(..., weights_only=False)'
        return (
            f'{path} holds more than weights ({refused[1]}), which could run code when it is loaded. If '
            f'you trust the file, load it with {load} and save its state_dict with torch.save.'
        )
    if 'allow_pickle' in str(error):
        return f'{path} holds pickled objects beside its arrays, which could run code when they are loaded.'
    if others := _other_archive(path):
        return (
            f'{path} is an archive of {len(others)} files, such as {", ".join(others[:3])}: unpack it and give the '
            'file of the weights.'
        )
    if whole_format:
        return f'{path} is cut short or damaged: {_again(name)}.'
    return f'{path} is not a checkpoint: expected a file written by torch.save or safetensors.{fetched_from}'


def _kind_of(content: object) -> str:
    if _has_state_of_optimizer(content):
        return 'the state of an optimizer'
    if isinstance(content, dict) and content:
        return f'a dict of {", ".join(map(str, list(content)[:4]))}{", ..." if len(content) > 4 else ""}'
    return type(content).__name__


def _has_state_of_optimizer(content: object) -> bool:
    """Whether there is nothing with numbers but that, as it is or under a name."""
    if not isinstance(content, dict):
        return False
    return 'param_groups' in content or any('param_groups' in x for x in content.values() if isinstance(x, dict))


def _other_archive(path: str) -> list[str]:
    """The names in a zip archive that is no file of torch; [] for others."""
    if not zipfile.is_zipfile(path):
        return []
    names = [member.filename for member in listed_members(path)]
    return [] if any(name.endswith('data.pkl') for name in names) else names


def opened_containers(content: object) -> list[str]:
    """The keys by which `open_containers` goes to the weights in what a file holds, the outermost first."""
    keys = []
    while isinstance(content, dict) and (
        key := next((k for k in CONTAINERS if isinstance(content.get(k), dict)), None)
    ):
        keys.append(key)
        content = content[key]
    return keys


def open_containers(content: object, path: str) -> dict[str, Tensor]:
    """The tensors in what a file holds, without what marks of training frameworks are around and before them.

    Raises:
        CheckpointError: There are none.
    """
    for key in opened_containers(content):
        content = content[key]
    tensors = {}
    if isinstance(content, dict):
        tensors = without_wrappers({str(name): value for name, value in content.items() if isinstance(value, Tensor)})
    if not tensors:
        raise CheckpointError(f"'{path}' holds no tensors, found {_kind_of(content)}: expected a state dict")
    for name, tensor in tensors.items():
        if tensor.is_quantized or tensor.layout != torch.strided:
            kind, how = ('quantized', 'dequantize') if tensor.is_quantized else ('sparse', 'to_dense')
            raise CheckpointError(f"'{path}' holds {name} as a {kind} tensor: save its state dict with .{how}() of it")
    tensors = OrderedDict(tensors)
    if hasattr(content, '_metadata'):
        tensors._metadata = content._metadata  # the grids that our models record
    return tensors
