"""Weights of a folder: written as safetensors, in parts above a size, with sizes and hashes that say what is whole."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.weight_files import with_own_memory
from mmvitdense.checkpoints.files.hub_folder import INDEX, WEIGHTS
from mmvitdense.checkpoints.files.record_text import text_of_record
from mmvitdense.whole_files import allow_as_new, written_whole

from .layout import PretrainedError

_UNITS = {'': 1, 'B': 1, 'KB': 10**3, 'MB': 10**6, 'GB': 10**9}
_CHUNK = 1 << 22


def size_in_bytes(size: int | str) -> int:
    """Bytes of a size such as 5000000, '500MB' or '5GB' (powers of 1000).

    Raises:
        InputError: It is no size.
    """
    match = re.fullmatch(r'(\d+(?:\.\d+)?)\s*([KMG]?B?)', str(size).strip().upper())
    number = float(match[1]) * _UNITS.get(match[2], 0) if match else 0
    if number < 1:
        raise InputError(f'--max-shard-size {size}: expected a size such as 500MB or 5GB.')
    return int(number)


def write_weights(folder: Path, state: dict[str, Tensor], largest: int, name: str | None = None) -> dict[str, Any]:
    """Write a state dict as one file, or as parts of at most `largest` bytes (a larger weight is a part of its own).

    Args:
        folder: Where to; its files have the usual names.
        state: The weights, on any device.
        largest: Bytes of a part.
        name: What the one file is named, followed by the beginning of its SHA-256 as OpenMMLab names its models.

    Returns:
        'file', the one to open, and 'files': {name: 'size' and 'sha256'}.

    Raises:
        InputError: safetensors is not installed, a weight is no tensor, or a name is asked for and there are parts.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise InputError('Run `pip install safetensors` to write the weights of a folder.') from error
    if others := [key for key, value in state.items() if not isinstance(value, Tensor)]:
        raise InputError(f'The state of the model holds {others[0]}, which is no tensor: safetensors cannot keep it.')
    state = with_own_memory(state)
    metadata = {'format': 'pt', **text_of_record(state)}
    parts = _parts(state, largest)
    if name is not None and len(parts) > 1:
        raise InputError(f'A hash in the name is for one file, and these are {len(parts)}: raise --max-shard-size.')
    files = {}
    for number, part in enumerate(parts, start=1):
        file = WEIGHTS if len(parts) == 1 else f'model-{number:05}-of-{len(parts):05}.safetensors'
        with written_whole(folder / file, sync=True) as temporary:
            save_file({key: value.detach().cpu() for key, value in part.items()}, temporary, metadata=metadata)
            allow_as_new(temporary)
            fingerprint = fingerprint_of(temporary)
        if name is not None:
            file = f'{name}-{fingerprint["sha256"][:8]}.safetensors'
            (folder / WEIGHTS).replace(folder / file)
        files[file] = fingerprint
    if len(parts) == 1:
        return {'file': next(iter(files)), 'files': files}
    return {'file': INDEX, 'files': {**files, INDEX: _write_index(folder, parts, [*files])}}


def check_weights(folder: Path, weights: Any) -> Path:
    """The file to open, when every file of the weights is there, as long as it was and with its hash.

    Raises:
        PretrainedError: The message says which is not.
    """
    file, files = (weights.get(name) for name in ('file', 'files'))
    if not isinstance(files, dict) or file not in files:
        raise PretrainedError(f'{folder}/config.json does not say which files the weights are: copy or fetch it again.')
    for name, expected in files.items():
        path = folder / name
        if Path(name).name != name or not isinstance(expected, dict):
            raise PretrainedError(f'{folder}/config.json names {name!r}; expected files of weights beside it.')
        if not path.is_file():
            raise PretrainedError(f'{path} is missing: copy or fetch the whole folder again.')
        size = path.stat().st_size
        if size != expected.get('size'):
            raise PretrainedError(f'{path} has {size} bytes and not {expected.get("size")}: copy or fetch it again.')
        if fingerprint_of(path)['sha256'] != expected.get('sha256'):
            raise PretrainedError(
                f'{path} is not the file that config.json describes (another SHA-256): copy or fetch both again, or '
                'publish the model again if you changed it.'
            )
    return folder / file


def fingerprint_of(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open('rb') as file:
        while block := file.read(_CHUNK):
            digest.update(block)
            size += len(block)
    return {'size': size, 'sha256': digest.hexdigest()}


def _parts(state: dict[str, Tensor], largest: int) -> list[dict[str, Tensor]]:
    parts, room = [{}], largest
    for key, value in state.items():
        if value.nbytes > room and parts[-1]:
            parts.append({})
            room = largest
        parts[-1][key] = value
        room -= value.nbytes
    return parts


def _write_index(folder: Path, parts: list[dict[str, Tensor]], files: list[str]) -> dict[str, Any]:
    places = {key: file for part, file in zip(parts, files, strict=True) for key in part}
    total = sum(value.nbytes for part in parts for value in part.values())
    with written_whole(folder / INDEX, sync=True) as temporary:
        temporary.write_text(
            json.dumps({'metadata': {'total_size': total}, 'weight_map': places}, indent=2) + '\n', encoding='utf-8'
        )
    return fingerprint_of(folder / INDEX)
