"""Opening weights by the name of a file, a folder, an address or a model of the Hugging Face Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.pretrained.hub import fetch_weights_from_hub, is_hub_id
from mmvitdense.checkpoints import CheckpointError, read_file
from mmvitdense.checkpoints.files.hub_folder import weights_of_folder
from mmvitdense.checkpoints.files.reading import existing_file, open_containers, opened_containers
from mmvitdense.checkpoints.files.shards import BrokenIndexError, is_index

_SHOWN = 5


@dataclass
class WeightFile:
    """A file of weights that was read.

    Attributes:
        name: As it was given.
        address: What an `init_cfg` may name: the file, or its http(s) address.
        path: The file on this machine.
        tensors: The weights, as `read_checkpoint` returns them.
        containers: The keys in the file under which they are, the outermost first.
        beside: {key: what is there} of all else that the file holds.
    """

    name: str
    address: str
    path: str
    tensors: dict[str, Tensor]
    containers: list[str] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)


def open_weights(name: str | os.PathLike) -> WeightFile:
    """Read weights.

    Args:
        name: A file as `read_file` reads it, its http(s) address, a folder with one (or with parts of one and their
            index), or OWNER/NAME on the Hugging Face Hub.

    Raises:
        CheckpointError: It cannot be read, or holds no weights.
        DownloadError: The Hub does not serve it.
        InputError: A folder has several files and nothing says which; huggingface_hub is not installed.
    """
    address = name = os.fspath(name)
    if is_hub_id(name):
        file = _chosen(_weights_of(fetch_weights_from_hub(name)), name)
        address = str(file) if is_index(file) else f'https://huggingface.co/{name}/resolve/main/{file.name}'
        path = str(file)
    elif Path(name).is_dir() and (found := _weights_of(name)):
        address = path = str(_chosen(found, name))
    else:
        path = existing_file(name)
    content = read_file(path)
    containers = opened_containers(content)
    return WeightFile(name, address, path, open_containers(content, name), containers, _beside(content, containers))


def _weights_of(folder: str | Path) -> list[Path]:
    try:
        return weights_of_folder(folder)
    except BrokenIndexError as error:
        raise CheckpointError(str(error)) from error


def _chosen(found: list[Path], name: str) -> Path:
    if len(found) > 1:
        listed = ', '.join(path.name for path in found[:_SHOWN]) + (', ...' if len(found) > _SHOWN else '')
        raise InputError(f'{name} has {len(found)} files of weights, {listed}: give one of them.')
    return found[0]


def _beside(content: Any, containers: list[str]) -> dict[str, str]:
    """What stands beside the containers on the way to the weights; texts and numbers by their value."""
    found = {}
    prefix = ''
    for key in containers:
        found.update({f'{prefix}{other}': _kind(value) for other, value in content.items() if other != key})
        content, prefix = content[key], f'{prefix}{key}.'
    if isinstance(content, Mapping):
        others = {str(key): value for key, value in content.items() if not isinstance(value, Tensor)}
        found.update({f'{prefix}{key}': _kind(value) for key, value in others.items()})
    return found


def _kind(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, Tensor):
        return 'a tensor' if value.numel() > 1 else str(value.item())
    if isinstance(value, Mapping):
        if 'param_groups' in value:
            return 'state of an optimizer'
        tensors = [part for part in value.values() if isinstance(part, Tensor)]
        if tensors:
            return f'{len(tensors)} tensors, {sum(part.numel() for part in tensors):,} numbers'
        keys = [str(key) for key in value]
        return (
            f'a dict of {", ".join(keys[:_SHOWN])}{", ..." if len(keys) > _SHOWN else ""}' if keys else 'an empty dict'
        )
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f'{value[:57]}...')
    return f'a {type(value).__name__}'
