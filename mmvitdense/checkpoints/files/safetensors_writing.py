"""Writing safetensors one weight at a time, in one file or in several with an index (huggingface/safetensors)."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from mmvitdense.whole_files import allow_as_new, written_whole

from .shards import SUFFIX

_NAMES = {
    torch.float64: 'F64',
    torch.float32: 'F32',
    torch.float16: 'F16',
    torch.bfloat16: 'BF16',
    torch.int64: 'I64',
    torch.int32: 'I32',
    torch.int16: 'I16',
    torch.int8: 'I8',
    torch.uint8: 'U8',
    torch.bool: 'BOOL',
    torch.float8_e4m3fn: 'F8_E4M3',
    torch.float8_e5m2: 'F8_E5M2',
    torch.complex64: 'C64',
}
_ALIGNMENT = 8


@dataclass
class _Part:
    """One file: what it holds, and where each weight begins behind the header."""

    places: dict[str, tuple[str, torch.Size, int, int]] = field(default_factory=dict)
    size: int = 0

    def add(self, name: str, tensor: Tensor, dtype: torch.dtype) -> None:
        nbytes = tensor.numel() * dtype.itemsize
        self.places[name] = (_NAMES[dtype], tensor.shape, self.size, self.size + nbytes)
        self.size += nbytes

    def header(self, metadata: Mapping[str, str] | None) -> bytes:
        content: dict = {'__metadata__': dict(metadata)} if metadata else {}
        for name, (dtype, shape, start, stop) in self.places.items():
            content[name] = {'dtype': dtype, 'shape': list(shape), 'data_offsets': [start, stop]}
        text = json.dumps(content, separators=(',', ':')).encode()
        text += b' ' * (-len(text) % _ALIGNMENT)
        return struct.pack('<Q', len(text)) + text


def write_safetensors(
    target: str | Path,
    plan: Mapping[str, Tensor],
    weights: Iterable[tuple[str, Tensor]],
    dtypes: Mapping[str, torch.dtype],
    metadata: Mapping[str, str] | None = None,
    shard_size: int | None = None,
) -> list[Path]:
    """Write weights as they come; each file is whole or absent.

    Args:
        target: The file; of several, 'vit.safetensors' gives 'vit-00001-of-00003.safetensors' and so on with
            'vit.safetensors.index.json'.
        plan: Names and shapes of all weights, on any device.
        weights: Name and values of each, in any order.
        dtypes: Types in which they are written; weights come in these.
        metadata: Text that the file holds besides, each of several.
        shard_size: Bytes of the weights of a file at most, unless one weight is larger; None for one file.

    Returns:
        The files, the index first where there is one.
    """
    parts = _planned(plan, dtypes, shard_size)
    paths = _paths(Path(target), len(parts))
    with ExitStack() as stack:
        places: dict[str, tuple[BinaryIO, int, int]] = {}
        for part, path in zip(parts, paths):
            temporary = stack.enter_context(written_whole(path))
            file = stack.enter_context(open(temporary, 'wb'))
            header = part.header({'format': 'pt', **(metadata or {})})
            file.write(header)
            file.truncate(len(header) + part.size)
            for name, (_, _, start, stop) in part.places.items():
                places[name] = (file, len(header) + start, stop - start)
            allow_as_new(temporary)
        for name, tensor in weights:
            _write(places.pop(name), tensor.to(dtypes[name]))
        if places:
            raise RuntimeError(f'{len(places)} weights were not given, first {min(places)}')
    if len(parts) == 1:
        return paths
    index = Path(target).with_name(Path(target).name.removesuffix('.safetensors') + SUFFIX)
    where = {name: path.name for part, path in zip(parts, paths) for name in part.places}
    total = {'total_size': sum(part.size for part in parts)}
    with written_whole(index) as temporary:
        temporary.write_text(json.dumps({'metadata': total, 'weight_map': where}, indent=2) + '\n', encoding='utf-8')
    return [index, *paths]


def _planned(plan: Mapping[str, Tensor], dtypes: Mapping[str, torch.dtype], shard_size: int | None) -> list[_Part]:
    """The files; in each the wider numbers come first, so that all are aligned to their size."""
    groups: list[list[str]] = [[]]
    size = 0
    for name, tensor in plan.items():
        nbytes = tensor.numel() * dtypes[name].itemsize
        if shard_size is not None and groups[-1] and size + nbytes > shard_size:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += nbytes
    parts = []
    for group in groups:
        part = _Part()
        for name in sorted(group, key=lambda name: -dtypes[name].itemsize):
            part.add(name, plan[name], dtypes[name])
        parts.append(part)
    return parts


def _paths(target: Path, count: int) -> list[Path]:
    if count == 1:
        return [target]
    stem = target.name.removesuffix('.safetensors')
    return [target.with_name(f'{stem}-{index:05d}-of-{count:05d}.safetensors') for index in range(1, count + 1)]


def _write(place: tuple[BinaryIO, int, int], tensor: Tensor) -> None:
    file, offset, nbytes = place
    if not nbytes:
        return
    content = tensor.detach().contiguous().flatten().view(torch.uint8).numpy()
    if content.nbytes != nbytes:
        raise RuntimeError(f'a weight of {content.nbytes} bytes came where {nbytes} were planned')
    file.seek(offset)
    file.write(content.data)
