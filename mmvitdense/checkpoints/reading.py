"""Reading checkpoint files without executing anything they contain."""

from __future__ import annotations

import os
import pickle

import torch
from torch import Tensor

CONTAINERS = ('model_ema', 'model', 'state_dict', 'teacher', 'target_encoder', 'module', 'network')


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit; the message says what was found and what to do."""


def read_checkpoint(path_or_url: str | os.PathLike) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint on the CPU.

    Args:
        path_or_url: A file of ``torch.save`` (read with ``weights_only=True``) or safetensors, or its http(s) address,
            which is fetched once into torch's hub cache.

    Returns:
        {name: tensor}; containers such as 'model' or 'state_dict' are opened.

    Raises:
        FileNotFoundError: Nothing lies at the path.
        CheckpointError: The file is damaged, holds objects other than tensors, or no tensors at all.
    """
    path = os.fspath(path_or_url)
    if path.startswith(('http://', 'https://')):
        path = _fetch(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint at '{path}': check the path (it is relative to {os.getcwd()})")
    content = _load_safetensors(path) if path.endswith('.safetensors') else _load_torch(path)
    return _open_containers(content, path)


def _fetch(url: str) -> str:
    target = os.path.join(torch.hub.get_dir(), 'checkpoints', os.path.basename(url.split('?')[0]))
    if not os.path.isfile(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        torch.hub.download_url_to_file(url, target)
    return target


def _load_safetensors(path: str) -> dict:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise CheckpointError(f"'{path}' is a safetensors file: run `pip install safetensors` to read it") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"'{path}' is not a complete safetensors file ({error}): fetch it again") from error


def _load_torch(path: str) -> object:
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"'{path}' holds more than tensors, or is no torch checkpoint, and is not loaded because pickled objects "
            f'can run code ({_first_line(error)}). If you trust it, load it yourself and save its state dict '
            'with torch.save'
        ) from error
    except PermissionError:
        raise
    except Exception as error:  # what torch raises depends on where the damage is: OSError, IndexError, KeyError, ...
        raise CheckpointError(
            f"'{path}' is not a complete torch checkpoint ({_first_line(error)}): fetch it again"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).split('\n')[0] or type(error).__name__


def _open_containers(content: object, path: str) -> dict[str, Tensor]:
    while isinstance(content, dict):
        inner = [key for key in CONTAINERS if isinstance(content.get(key), dict)]
        if not inner:
            break
        content = content[inner[0]]
    tensors = {}
    if isinstance(content, dict):
        tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"'{path}' holds no tensors, found {type(content).__name__}: expected a state dict")
    return tensors
